package redact

import (
	"io"
	"regexp"
)

// quoted is a text in Go's quotes.
var quoted = regexp.MustCompile(`"(?:[^"\\\n]|\\.)*"`)

// ofHTTP is how lines of net/http begin, behind the time.
var ofHTTP = regexp.MustCompile(`^(?:[0-9/]+ [0-9:.]+ )?(?:http: |http2: |net/http: |protocol error: |Unsolicited response )`)

// Log returns a writer for the standard library's logger. It hands the lines of net/http on to w without what they quote, because
// they hold the bytes that a server sends beyond its answer, and those can be the rest of a value. Of a line of anybody else it
// says only that there was one: kustomize logs fields and labels as they are.
func Log(w io.Writer) io.Writer { return logWriter{w} }

type logWriter struct{ to io.Writer }

// Write implements io.Writer. The logger writes a line at once.
func (l logWriter) Write(line []byte) (int, error) {
	shown := []byte("a library logged something that is not shown, because it can hold values\n")
	if ofHTTP.Match(line) {
		shown = quoted.ReplaceAll(line, []byte("[redacted]"))
	}
	if _, err := l.to.Write(shown); err != nil {
		return 0, err
	}
	return len(line), nil
}
