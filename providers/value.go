package providers

import (
	"errors"
	"fmt"
	"log/slog"
)

// Value is a secret value. It shows itself to nobody by accident: every formatting verb prints "[redacted]", structured
// loggers see the same, and it cannot be marshaled. The zero Value is empty.
type Value struct{ b []byte }

// NewValue wraps b, which the caller must not change afterwards.
func NewValue(b []byte) Value { return Value{b: b} }

// Bytes returns the value itself; the caller must not change it. This is the one door, and easy to search for.
func (v Value) Bytes() []byte { return v.b }

// Len returns the value's length in bytes.
func (v Value) Len() int { return len(v.b) }

const redacted = "[redacted]"

var errNotMarshalable = errors.New("a secret value cannot be marshaled")

// Format implements fmt.Formatter for every verb.
func (Value) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(redacted)) }

// String returns "[redacted]".
func (Value) String() string { return redacted }

// GoString returns "[redacted]".
func (Value) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalLog implements logr.Marshaler.
func (Value) MarshalLog() any { return redacted }

// MarshalJSON refuses.
func (Value) MarshalJSON() ([]byte, error) { return nil, errNotMarshalable }

// MarshalText refuses.
func (Value) MarshalText() ([]byte, error) { return nil, errNotMarshalable }
