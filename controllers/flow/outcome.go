package flow

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// State is how a run ended.
type State string

const (
	// Ready: every step succeeded, or one said Done.
	Ready State = "Ready"
	// Waiting: something outside is not there yet; the run is repeated after Outcome.After.
	Waiting State = "Waiting"
	// Stalled: repeating the run changes nothing until the object, or something it depends on, changes.
	Stalled State = "Stalled"
	// Failed: the run is repeated with backoff.
	Failed State = "Failed"
	// Cancelled: the controller is shutting down; nothing is reported.
	Cancelled State = "Cancelled"
)

// Outcome is how a run ended and why, as the report function of a controller reads it.
type Outcome struct {
	State State
	// Step is the name of the step that ended the run early; empty when all ran.
	Step string
	// Reason is the CamelCase reason that the step gave, or the one of the error's class; empty when Ready.
	Reason string
	// Message is for the operator: safe to show, the same for the same cause, 4096 bytes at most and the marks of a cut. Empty when Ready.
	Message string
	// After is when a Waiting run is repeated.
	After time.Duration
	// Err is the error that ended the run; nil when Ready.
	Err error
}

// The reasons that the error classes of package providers carry when a step names none of its own.
const (
	ReasonInvalid          = "InvalidConfiguration"
	ReasonNotFound         = "NotFound"
	ReasonPropertyNotFound = "PropertyNotFound"
	ReasonDenied           = "AccessDenied"
	ReasonThrottled        = "Throttled"
	ReasonUnavailable      = "Unavailable"
)

// ReasonInternal is the reason when a step panicked.
const ReasonInternal = "InternalError"

// errDone ends a run early and well.
var errDone = errors.New("done")

// Done ends the run: the object is as it should be and the remaining steps are not needed.
func Done() error { return errDone }

// Wait ends the run until after has passed; err says what is missing and what will bring it.
func Wait(reason string, after time.Duration, err error) error {
	return &ending{state: Waiting, reason: reason, after: after, err: err}
}

// Stall ends the run until the object or something it depends on changes; err says what must change.
func Stall(reason string, err error) error {
	return &ending{state: Stalled, reason: reason, err: err}
}

// Fail ends the run with a reason of its own and repeats it with backoff.
func Fail(reason string, err error) error {
	return &ending{state: Failed, reason: reason, err: err}
}

type ending struct {
	state  State
	reason string
	after  time.Duration
	err    error
}

func (e *ending) Error() string { return e.err.Error() }
func (e *ending) Unwrap() error { return e.err }

// outcomeOf is the one table from errors to outcomes.
func outcomeOf(ctx context.Context, step string, err error) Outcome {
	if err == nil || errors.Is(err, errDone) {
		return Outcome{State: Ready}
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return Outcome{State: Cancelled}
	}
	err = &shortError{text: cut(err.Error(), longestMessage), err: err}
	out := Outcome{Step: step, Message: err.Error(), Err: err}
	out.Reason, out.State, out.After = classOf(err)
	var end *ending
	if errors.As(err, &end) {
		out.State, out.After = end.state, end.after
		if end.reason != "" {
			out.Reason = end.reason
		}
	}
	return out
}

// longestMessage bounds a message, in bytes. Names of things in it can be as long as an object may be, and a status that
// repeated one could not be written.
const longestMessage = 4096

// shortError is an error with a text that can be shown.
type shortError struct {
	text string
	err  error
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.err }

// cut keeps a text within a length, and marks where it was cut.
func cut(text string, longest int) string {
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + " ..."
}

// classOf maps the error classes: only a request that cannot work stalls, and only a store that names a time is waited
// for; everything else is repeated with backoff, also what is cured outside of the cluster, because nothing tells us when.
func classOf(err error) (reason string, state State, after time.Duration) {
	var throttled *providers.ThrottledError
	switch {
	case errors.As(err, &throttled):
		if throttled.After > 0 {
			return ReasonThrottled, Waiting, throttled.After
		}
		return ReasonThrottled, Failed, 0
	case errors.Is(err, providers.ErrInvalid):
		return ReasonInvalid, Stalled, 0
	case errors.Is(err, providers.ErrNotFound):
		return ReasonNotFound, Failed, 0
	case errors.Is(err, providers.ErrPropertyNotFound):
		return ReasonPropertyNotFound, Failed, 0
	case errors.Is(err, providers.ErrDenied):
		return ReasonDenied, Failed, 0
	default:
		return ReasonUnavailable, Failed, 0
	}
}
