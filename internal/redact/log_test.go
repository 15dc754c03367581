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
	const said = "Unsolicited response received on idle HTTP channel starting with "
	for name, tc := range map[string]struct{ value, want string }{
		"text":                 {canary, said + "[redacted]; err=<nil>\n"},
		"quotes and new lines": {`x"` + canary + `\` + "\n" + canary + `"`, said + "[redacted]; err=<nil>\n"},
		"bytes":                {"\xff\x00" + canary, said + "[redacted]; err=<nil>\n"},
		"nothing":              {"", said + "[redacted]; err=<nil>\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			l := log.New(redact.Log(&out), "", 0)
			l.Printf(said+"%q; err=%v", tc.value, error(nil))
			if out.String() != tc.want {
				t.Errorf("logged %q", out.String())
			}
		})
	}
}

func TestALogSaysHowMuchOfALineItTook(t *testing.T) {
	t.Parallel()
	line := []byte(`http: starting with "` + canary + `"`)
	if n, err := redact.Log(io.Discard).Write(line); n != len(line) || err != nil {
		t.Errorf("%d of %d, %v", n, len(line), err)
	}
	r, w := io.Pipe()
	_ = r.Close()
	if n, err := redact.Log(w).Write(line); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%d, %v", n, err)
	}
}

func TestALineOfALibraryThatLogsValuesIsNotShown(t *testing.T) {
	t.Parallel()
	for line, shown := range map[string]bool{
		"http: TLS handshake error from 127.0.0.1:1: EOF": true, "http2: invalid header: x": true, "net/http: invalid Cookie.Domain": true,
		"protocol error: received DATA after END_STREAM": true, "Unsolicited response received": true,
		"MakePrimitiveReplacer: bad replacement type=map[string]interface {} val=map[token:" + canary + "]": false,
		"ParseInt failed for value " + canary + " in label x=" + canary:                                     false,
		canary + " http: " + canary: false, "1 2 3 http: " + canary: false, "HTTP: " + canary: false,
	} {
		for _, flags := range []int{0, log.LstdFlags, log.LstdFlags | log.Lmicroseconds} {
			var out strings.Builder
			log.New(redact.Log(&out), "", flags).Print(line)
			if strings.Contains(out.String(), canary) || strings.HasSuffix(out.String(), line+"\n") != shown || !strings.HasSuffix(out.String(), "\n") {
				t.Errorf("%q became %q", line, out.String())
			}
		}
	}
}

// A library that ends the process of everybody is stopped where its caller is protected from panics.
func TestALogThatIsToEndTheProcessPanics(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := log.New(redact.Log(&out), "", 0)
	for name, end := range map[string]func(){
		"Fatal": func() { l.Fatal(canary) }, "Fatalf": func() { l.Fatalf("%s", canary) }, "Fatalln": func() { l.Fatalln(canary) },
	} {
		func() {
			defer func() {
				if said, ok := recover().(error); !ok || strings.Contains(said.Error(), canary) {
					t.Errorf("%s: %v", name, said)
				}
			}()
			end()
		}()
	}
	l.Print("http: goes on")
	if out.String() != "http: goes on\n" {
		t.Errorf("logged %q", out.String())
	}
}
