package redact

import (
	"errors"
	"io"
	"regexp"
	"runtime"
	"strings"
)

// quoted is a text in Go's quotes.
var quoted = regexp.MustCompile(`"(?:[^"\\\n]|\\.)*"`)

// ofHTTP is how lines of net/http begin, behind the time.
var ofHTTP = regexp.MustCompile(`^(?:[0-9/]+ [0-9:.]+ )?(?:http: |http2: |net/http: |protocol error: |Unsolicited response )`)

// Log returns a writer for the standard library's logger. It hands the lines of net/http on to w without what they quote, because
// they hold the bytes that a server sends beyond its answer, and those can be the rest of a value. Of a line of anybody else it
// says only that there was one: kustomize logs fields and labels as they are.
//
// Where the logger is to end the process (log.Fatal), writing panics instead, in the goroutine of whoever called it: a library that
// is given somebody's text must not end the process of everybody, and who calls such a library is protected from panics.
func Log(w io.Writer) io.Writer { return logWriter{w} }

type logWriter struct{ to io.Writer }

// errFatal is what is panicked with.
var errFatal = errors.New("a library wanted to end the process")

// Write implements io.Writer. The logger writes a line at once.
func (l logWriter) Write(line []byte) (int, error) {
	if fatal() {
		panic(errFatal)
	}
	shown := []byte("a library logged something that is not shown, because it can hold values\n")
	if ofHTTP.Match(line) {
		shown = quoted.ReplaceAll(line, []byte("[redacted]"))
	}
	if _, err := l.to.Write(shown); err != nil {
		return 0, err
	}
	return len(line), nil
}

// fatal reports whether the logger is about to end the process. It says so to nobody, but by which of its functions was called.
func fatal() bool {
	const deep = 16 // the logger writes from three calls below
	calls := make([]uintptr, deep)
	frames := runtime.CallersFrames(calls[:runtime.Callers(1, calls)])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "log.Fatal") || strings.HasPrefix(frame.Function, "log.(*Logger).Fatal") {
			return true
		}
		if !more {
			return false
		}
	}
}
