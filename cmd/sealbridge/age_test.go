package main

import (
	"bytes"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

func newIdentity(t *testing.T) *keyring.Identity {
	t.Helper()
	identity, err := keyring.GenerateIdentity(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// shell runs commands in a folder, where age and age-keygen are the real ones.
func shell(t *testing.T, dir, commands string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", commands)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=/nonexistent", "PATH=" + filepath.Dir(process.Require(t, "age")) + ":" + os.Getenv("PATH")}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	return out.String()
}

// documented returns the shell commands of docs/spec/sealed-formats.md that begin with a line.
func documented(t *testing.T, first string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/spec/sealed-formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "```sh\n"+first+"\n")
	block, _, end := strings.Cut(block, "```")
	if !ok || !end {
		t.Fatalf("no commands begin with %q", first)
	}
	return block
}

func ours(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), append([]string{"sealbridge"}, args...), host{
		stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, env: func(string) (string, bool) { return "", false },
	})
	if code != 0 {
		t.Fatalf("%v: %s", args, errs.String())
	}
	return out.String()
}

func TestWhatIsLeftOfAClusterOpensWithAgeAlone(t *testing.T) {
	t.Parallel()
	process.Require(t, "age-keygen")
	dir := t.TempDir()
	shell(t, dir, "umask 077; age-keygen -pq -o key.txt 2>/dev/null; age-keygen -y key.txt > recipients.txt")
	sealed := ours(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: payments}\nstringData: {password: \""+canary+"\\n\"}\n",
		"seal", "-o", "yaml", "--recipients", filepath.Join(dir, "recipients.txt"))
	var object struct {
		Spec struct{ EncryptedData map[string]string }
	}
	if err := yaml.Unmarshal([]byte(sealed), &object); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "value"), []byte(object.Spec.EncryptedData["password"]), 0o600); err != nil {
		t.Fatal(err)
	}
	got := shell(t, dir, documented(t, "# value: a value of encryptedData; key.txt: the identities"))
	if got != canary+"\n" {
		t.Errorf("the documented commands print %d bytes that are not the value", len(got))
	}
}

func TestAKeySecretIsWhatAgeTakes(t *testing.T) {
	t.Parallel()
	process.Require(t, "age-keygen")
	dir, identity := t.TempDir(), newIdentity(t)
	if err := os.WriteFile(filepath.Join(dir, "identity.txt"), identity.Text(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := shell(t, dir, "age-keygen -y identity.txt"); strings.TrimSpace(got) != identity.Recipient().String() {
		t.Error("age-keygen reads another key")
	}
	if got := shell(t, dir, documented(t, "# the fingerprint of a key")); strings.TrimSpace(got) != identity.Fingerprint() {
		t.Errorf("the documented commands print %s, the fingerprint is %s", got, identity.Fingerprint())
	}
}

func TestWhatAgeAloneSealedOpens(t *testing.T) {
	t.Parallel()
	process.Require(t, "age-keygen")
	dir := t.TempDir()
	shell(t, dir, "umask 077; age-keygen -pq -o key.txt 2>/dev/null; age-keygen -y key.txt > recipients.txt")
	if err := os.WriteFile(filepath.Join(dir, "plain"), []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	value := shell(t, dir, documented(t, "# plain: the value, for payments/db; recipients.txt: one recipient a line"))
	sealed := "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: payments}\n" +
		"spec: {encryptedData: {password: " + strings.Join(strings.Fields(value), "") + "}}\n"
	opened := ours(t, sealed, "seal", "--recovery-unseal", "--recovery-private-key", filepath.Join(dir, "key.txt"), "-o", "yaml")
	if !strings.Contains(opened, "password: "+base64.StdEncoding.EncodeToString([]byte(canary))) {
		t.Error("the value of age alone was not opened")
	}
}
