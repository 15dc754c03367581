package redact

import (
	"io"
	"regexp"
)

// quoted is a text in Go's quotes.
var quoted = regexp.MustCompile(`"(?:[^"\\\n]|\\.)*"`)

// Log returns a writer for the standard library's logger, which hands its lines on to w without what they quote: net/http logs
// the bytes that a server sends beyond its answer, and those can be the rest of a value.
func Log(w io.Writer) io.Writer { return logWriter{w} }

type logWriter struct{ to io.Writer }

// Write implements io.Writer. The logger writes a line at once.
func (l logWriter) Write(line []byte) (int, error) {
	if _, err := l.to.Write(quoted.ReplaceAll(line, []byte("[redacted]"))); err != nil {
		return 0, err
	}
	return len(line), nil
}
