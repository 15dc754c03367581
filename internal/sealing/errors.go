package sealing

import "fmt"

// Error is a fault that its reader can mend. Neither of its texts holds a value.
type Error struct {
	// Problem says what is wrong and where. Where kubeseal has a text for it, it is kubeseal's.
	Problem string
	// Hint says what to do; it may be empty.
	Hint string
	// Cause is for errors.Is; its text is not printed.
	Cause error
}

func (e *Error) Error() string { return e.Problem }

func (e *Error) Unwrap() error { return e.Cause }

func problem(hint, format string, args ...any) error {
	return &Error{Problem: fmt.Sprintf(format, args...), Hint: hint}
}
