package providers

import (
	"errors"
	"fmt"
	"time"
)

// The error classes. Every error that a provider returns matches exactly one of them by errors.Is (or errors.As for
// ThrottledError); one that matches none counts as unavailable. Texts are for the operator: they name the object and
// what to do, are the same for the same cause (no request ids, addresses of sockets or times), and never contain a
// value, a token or the query of a URL.
var (
	// ErrInvalid: the request cannot work until somebody changes a manifest.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: the backend answered that there is no such document or version.
	ErrNotFound = errors.New("not found")
	// ErrPropertyNotFound: the document exists and has no such property. It does not match ErrNotFound: a missing
	// property never deletes a key of a target.
	ErrPropertyNotFound = errors.New("property not found")
	// ErrDenied: the backend knows who asks and refuses; it is cured outside of the cluster.
	ErrDenied = errors.New("denied")
	// ErrUnavailable: the backend did not answer, or answered something that is not an answer.
	ErrUnavailable = errors.New("unavailable")
)

// ThrottledError says that the backend asked us to slow down.
type ThrottledError struct {
	// After is how long the backend asked us to wait; zero when it did not say.
	After time.Duration
}

// Error does not say After: a store that counts down names another time with each question.
func (*ThrottledError) Error() string {
	return "throttled by the store; it is asked again when that is over"
}

// Errorf makes an error of a class with a message of its own: the text is the message alone, and errors.Is(err, class)
// holds. Wrap a cause with %w as with fmt.Errorf only when its text is safe to show.
func Errorf(class error, format string, args ...any) error {
	return &classed{class: class, err: fmt.Errorf(format, args...)}
}

type classed struct{ class, err error }

func (e *classed) Error() string   { return e.err.Error() }
func (e *classed) Unwrap() []error { return []error{e.class, e.err} }
