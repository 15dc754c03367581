package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A repository has large files that are none of ours. They end nothing; what they may hide is said.
func TestAFileThatIsTooLargeHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s, dir := newSides(t), t.TempDir()
	sealed, stderr, ok := s.ours(t, "metadata: {name: db, namespace: ns}\nstringData: {k: v}\n", "--cert", s.cert, "-o", "yaml")
	if !ok {
		t.Fatal(stderr)
	}
	padding := strings.Repeat("# padding of sixty-four characters, which is more than is read..\n", maxFile/64)
	for name, text := range map[string]string{"a-data.json": padding, "b-sealed.yaml": sealed + padding, "c.yaml": sealed, "d.yaml": "kind: Secret\napiVersion: v1\nstringData: {a: " + canary + "}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"rewrap", "--recovery-private-key", s.key, "--cert", s.cert, dir}, []string{
			"skipped " + filepath.Join(dir, "a-data.json") + " has over", filepath.Join(dir, "b-sealed.yaml") + ": failed: ",
			filepath.Join(dir, "c.yaml") + ":2: ns/db: unchanged", "2 SealedSecrets in 2 files: 0 sealed anew, 1 unchanged, 1 failed\n",
		}},
		{[]string{"lint", dir}, []string{
			filepath.Join(dir, "a-data.json") + ":1: warning: the file is larger than is looked at [unreadable]",
			filepath.Join(dir, "b-sealed.yaml") + ":1: warning: ", filepath.Join(dir, "d.yaml") + ":3: error: ", "1 errors and 2 warnings in 4 files",
		}},
	} {
		var out bytes.Buffer
		code := run(t.Context(), append([]string{"sealbridge"}, c.args...), host{stdin: strings.NewReader(""), stdout: &out, stderr: &out, env: func(string) (string, bool) { return "", false }})
		for _, want := range c.want {
			if code != 1 || !strings.Contains(out.String(), want) {
				t.Errorf("%s ended with %d and without %q:\n%s", c.args[0], code, want, out.String())
			}
		}
	}
}
