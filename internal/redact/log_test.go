package redact_test

import (
	"errors"
	"io"
	"log"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/internal/redact"
)

func TestALogLineLosesWhatItQuotes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ value, want string }{
		"text":                 {canary, "starting with [redacted]; err=<nil>\n"},
		"quotes and new lines": {`x"` + canary + `\` + "\n" + canary + `"`, "starting with [redacted]; err=<nil>\n"},
		"bytes":                {"\xff\x00" + canary, "starting with [redacted]; err=<nil>\n"},
		"nothing":              {"", "starting with [redacted]; err=<nil>\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			l := log.New(redact.Log(&out), "", 0)
			l.Printf("starting with %q; err=%v", tc.value, error(nil))
			if out.String() != tc.want {
				t.Errorf("logged %q", out.String())
			}
		})
	}
}

func TestALogSaysHowMuchOfALineItTook(t *testing.T) {
	t.Parallel()
	line := []byte(`starting with "` + canary + `"`)
	if n, err := redact.Log(io.Discard).Write(line); n != len(line) || err != nil {
		t.Errorf("%d of %d, %v", n, len(line), err)
	}
	r, w := io.Pipe()
	_ = r.Close()
	if n, err := redact.Log(w).Write(line); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%d, %v", n, err)
	}
}
