// Package capture keeps what a program under test says, and stands in the way of what it asks.
//
// It takes what many goroutines write to a log and gives it back as one text, and makes a function a transport, which can
// count, change or answer requests.
package capture

import (
	"bytes"
	"net/http"
	"sync"
)

// Log is written to and read by many goroutines. The zero value is empty.
type Log struct {
	mu  sync.Mutex
	all bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

// String returns what was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// RoundTripper is a function as a transport.
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
