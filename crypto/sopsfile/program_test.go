package sopsfile_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/pgp"

	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
)

// Whoever writes a SOPS file chooses for whom it says that it is encrypted. A recipient can name an age plugin, which is a
// program on the PATH (GHSA-32gq-x56h-299c: or anywhere), and a PGP key makes SOPS run gpg.
func TestNoRecipientOfAFileStartsAProgram(t *testing.T) {
	secret, recipient := sopstest.Identity(t)
	strangers, _ := sopstest.Identity(t)
	bin, mark := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	for _, name := range []string{"age-plugin-evil", "gpg", "gpg2"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\ntouch '"+mark+"'\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	native := sopstest.File{Format: sopsfile.YAML, Plain: secretYAML, Recipients: []string{recipient}}
	withPGP := native
	key := pgp.NewMasterKeyFromFingerprint("85D77543B3D624B63CEA9E6DBC17301B491B3F21")
	key.EncryptedKey, key.CreationDate = "-----BEGIN PGP MESSAGE-----\n\nwcBMA1\n-----END PGP MESSAGE-----", time.Now()
	withPGP.Damage = func(tree *sops.Tree) {
		tree.Metadata.KeyGroups[0] = append(sops.KeyGroup{key}, tree.Metadata.KeyGroups[0]...)
	}
	named := func(name string) string {
		return strings.ReplaceAll(string(sopstest.Encrypt(t, native)), recipient, name)
	}
	for name, doc := range map[string]string{
		"a plugin's recipient":    named("age1evil1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq"),
		"a plugin that is a path": named("age1../../../../" + bin + "/age-plugin-evil1qqqqqq"),
		"a PGP key before ours":   string(sopstest.Encrypt(t, withPGP)),
	} {
		for whose, text := range map[string]string{"ours": secret, "another's": strangers} {
			_, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, []byte(doc), mustIdentities(t, text))
			if (err == nil) != (whose == "ours") {
				t.Errorf("%s, with the key that is %s: %v", name, whose, err)
			}
		}
		if _, err := os.Stat(mark); err == nil {
			t.Fatalf("%s: a program ran", name)
		}
	}
	// The trap works: this is what SOPS itself does with such a key.
	if _, err := key.Decrypt(); err == nil {
		t.Error("the PGP key opened")
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("no program would have been noticed: %v", err)
	}
}

// The library writes to the process's standard error on its own; what it says cannot be caught within the process.
func TestTheLibraryLogsNoValue(t *testing.T) {
	const child = "SEALBRIDGE_TEST_DECRYPT"
	if os.Getenv(child) != "" {
		decryptWhatIsDamaged(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheLibraryLogsNoValue$", "-test.v")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestTheLibraryLogsNoValue") {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), canary) || strings.Contains(string(out), "second-value") {
		t.Errorf("a value was logged:\n%s", out)
	}
}

func decryptWhatIsDamaged(t *testing.T) {
	t.Helper()
	secret, recipient := sopstest.Identity(t)
	ids := mustIdentities(t, secret)
	encrypt := func(plain string, rules func(*sops.Metadata)) string {
		return string(sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: plain, Recipients: []string{recipient}, Rules: rules}))
	}
	good := encrypt(secretYAML, nil)
	partly := encrypt(secretYAML, func(m *sops.Metadata) { m.EncryptedRegex = "^(data|stringData)$" })
	commented := strings.Replace(good, "stringData:", "stringData:\n    # "+canary, 1)
	inList := strings.Replace(good, "        - ENC[", "        # "+canary+"\n        - ENC[", 1)
	for name, test := range map[string]struct {
		doc   string
		opens bool
	}{
		"whole":                  {good, true},
		"a plain comment":        {commented, true},
		"one in a list":          {inList, true},
		"a plain value changed":  {strings.Replace(partly, "name: payment", "name: "+canary, 1), false},
		"a value made plain":     {strings.Replace(good, "token: ENC[", "token: "+canary+" ENC[", 1), false},
		"a value cut short":      {strings.Replace(good, ",tag:", ",tag:AA", 1), false},
		"a MAC of another file":  {good[:strings.Index(good, "    mac: ")] + "    mac: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]\n    version: 3.13.3\n", false},
		"nothing that is a file": {"sops: {mac: " + canary + "}\na: " + canary + "\n", false},
	} {
		_, err := sopsfile.Decrypt(t.Context(), sopsfile.YAML, []byte(test.doc), ids)
		if (err == nil) != test.opens {
			t.Errorf("%s: %v", name, err)
		}
	}
}
