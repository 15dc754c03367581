package redact_test

import (
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
