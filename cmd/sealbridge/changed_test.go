package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Somebody else saves the file while the certificate is fetched. What he wrote stays.
func TestAFileThatIsChangedMeanwhileStaysAsItWasLeft(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	const secret = "metadata: {name: db, namespace: ns}\nstringData: {k: v}\n"
	sealed, stderr, ok := s.ours(t, secret, "--cert", s.cert, "-o", "yaml")
	if !ok {
		t.Fatal(stderr)
	}
	certificate, err := os.ReadFile(s.cert)
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"set":          {"sealbridge", "set", "FILE", "k"},
		"edit":         {"sealbridge", "edit", "FILE", "k", "--recovery-private-key", s.key},
		"--merge-into": {"kubeseal", "--merge-into", "FILE"},
	} {
		for _, changed := range []bool{false, true} {
			dir := t.TempDir()
			file := filepath.Join(dir, "db.yaml")
			write := func(text string) {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Error(err)
				}
			}
			write(sealed)
			after := sealed + "# saved meanwhile\n"
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if changed {
					write(after)
				}
				_, _ = w.Write(certificate)
			}))
			defer server.Close()
			var out, errs bytes.Buffer
			args := strings.Split(strings.ReplaceAll(strings.Join(args, "\n"), "FILE", file), "\n")
			code := run(t.Context(), append(args, "--cert", server.URL), host{
				stdin: strings.NewReader(secret), stdout: &out, stderr: &errs, env: func(string) (string, bool) { return "", false },
			})
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !changed && (code != 0 || string(text) == sealed) {
				t.Errorf("%s of a file that nobody changes: %d %s", name, code, errs.String())
			}
			want := "error: write " + file + ": it has been changed since it was read\nhint: it is as it was left; run the command again\n"
			if changed && (code != 1 || string(text) != after || errs.String() != want) {
				t.Errorf("%s: %d %s\n%s", name, code, errs.String(), text)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 1 {
				t.Errorf("%s left %v, %v", name, left, err)
			}
		}
	}
}
