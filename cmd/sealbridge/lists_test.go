package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lists are the ways in which kubectl, the API and people put a SealedSecret (SEALED stands for its value) into a list.
func lists() map[string]string {
	const one = `{"apiVersion":"bitnami.com/v1alpha1","kind":"SealedSecret","metadata":{"name":"db","namespace":"ns"},"spec":{"encryptedData":{"k":"SEALED"}}}`
	return map[string]string{
		"list.yaml": "# why\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: b}}  # other\n" +
			"- apiVersion: bitnami.com/v1alpha1\n  kind: SealedSecret\n  metadata:\n    name: db\n    namespace: ns\n  spec:\n    encryptedData:\n      k: SEALED # kept\n",
		"sealed-list.yaml": "---\n# before\n---\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecretList\nitems:\n- metadata: {name: db, namespace: ns}\n  spec: {encryptedData: {k: SEALED}}\n---\n# after\n",
		"nested.yaml":      "apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: List\n    items:\n      - " + one + "\n",
		"list.json":        `{"apiVersion":"v1","kind":"List","items":[ {"kind":"X"}, ` + one + " ]}\n",
		"sealed-list.json": `{"kind":"SealedSecretList","apiVersion":"bitnami.com/v1alpha1","metadata":{},"items":[{"metadata":{"name":"db","namespace":"ns"},"spec":{"encryptedData":{"k":"SEALED"}}}]}`,
		"nested.json":      `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"List","items":[` + one + `]}]}`,
	}
}

func TestSealedSecretsInListsAreChangedWhereTheyStand(t *testing.T) {
	t.Parallel()
	s, dir := newSides(t), t.TempDir()
	value, stderr, ok := s.ours(t, "old", "--cert", s.cert, "--raw", "-n", "ns", "--name", "db")
	if !ok {
		t.Fatal(stderr)
	}
	for name, text := range lists() {
		path := filepath.Join(dir, name)
		for _, args := range [][]string{
			{"rewrap", "--force", "--recovery-private-key", s.key, "--cert", s.cert, path},
			{"set", "--cert", s.cert, path, "k"},
			{"edit", "--recovery-private-key", s.key, "--cert", s.cert, path, "k"},
		} {
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "SEALED", value)), 0o600); err != nil {
				t.Fatal(err)
			}
			ours(t, "new", args...)
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(after, []byte(value)) {
				t.Errorf("%s left the value in %s as it was", args[0], name)
			}
			if got := long.ReplaceAllString(string(after), "SEALED"); got != text {
				t.Errorf("%s made of %s\n%s", args[0], name, got)
			}
		}
		if out := ours(t, "", "edit", "--open", "--recovery-private-key", s.key, path, "k"); out != "new" {
			t.Errorf("%s: what was set does not open", name)
		}
		if out := ours(t, "", "lint", "--cert", s.cert, path); out != "" {
			t.Errorf("%s: %s", name, out)
		}
		ours(t, "", "unset", path, "k")
		if after, err := os.ReadFile(path); err != nil || long.Match(after) {
			t.Errorf("unset left the value in %s: %v", name, err)
		}
	}
}

func TestSecretsInListsAreFoundAndSealed(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	const one = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db","namespace":"ns"},"stringData":{"k":"` + canary + `"}}`
	for name, text := range map[string]string{
		"list.yaml":        "apiVersion: v1\nkind: List\nitems:\n- " + one + "\n",
		"secret-list.yaml": "apiVersion: v1\nkind: SecretList\nitems:\n- metadata: {name: db, namespace: ns}\n  stringData: {k: " + canary + "}\n",
		"nested.yaml":      "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: SecretList\n  items:\n  - " + one + "\n",
		"list.json":        `{"apiVersion":"v1","kind":"List","items":[` + one + `]}`,
		"nested.json":      `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"List","items":[` + one + `]}]}`,
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		code := run(t.Context(), []string{"sealbridge", "lint", path}, host{stdout: &out, stderr: &out, env: func(string) (string, bool) { return "", false }})
		if code != 1 || !strings.Contains(out.String(), `error: Secret ns/db: stringData["k"] of a Secret is in plain text [plaintext]`) || strings.Contains(out.String(), canary) {
			t.Errorf("lint of %s: %d\n%s", name, code, out.String())
		}
		sealed, stderr, ok := s.ours(t, text, "--cert", s.cert)
		if !ok || strings.Contains(sealed+stderr, canary) || strings.Count(sealed, `"kind": "SealedSecret"`) != 1 {
			t.Errorf("seal of %s: %s%s", name, sealed, stderr)
		}
		// kubeseal takes the list for a Secret without data, which it refuses, too, unless it is told not to.
		if stdout, stderr, ok := s.theirs(t, text, "--cert", s.cert); ok || strings.Contains(stdout+stderr, canary) {
			t.Errorf("kubeseal seals %s now: %s", name, stdout)
		}
	}
}
