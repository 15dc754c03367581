package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

func TestTheDeprecatedFormatIsRewrappedWithARecoveryKey(t *testing.T) {
	t.Parallel()
	s, dir := newSides(t), t.TempDir()
	newer, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	cert, file := filepath.Join(dir, "newer.pem"), filepath.Join(dir, "old.yaml")
	plain := `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db","namespace":"payments"},"data":{"k":"` + canary + `"}}`
	value, err := seal.Seal(rand.Reader, seal.Compat(s.pair.Public()), seal.Strict, "payments", "db", []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	before := "# kept\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: payments}\nspec:\n  data: " + value + " # kept\n"
	for path, text := range map[string]string{cert: string(newer.CertificatePEM()), file: before} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"rewrap", "--recovery-private-key", s.key, "--cert", cert, file}
	if out := ours(t, "", args...); !strings.Contains(out, "1 of 1 values") {
		t.Errorf("rewrap said %s", out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	read, err := sealing.ReadFile(text)
	if err != nil {
		t.Fatal(err)
	}
	sealed := read.Objects()[0].Deprecated
	opened, err := seal.NewOpener(keyring.New(newer), "", 0).Open(t.Context(), seal.Strict, "payments", "db", sealed)
	if err != nil || string(opened) != plain {
		t.Errorf("the new key does not open the same Secret: %v", err)
	}
	if want := strings.Replace(before, value, sealed, 1); string(text) != want {
		t.Error("more than the value has changed")
	}
}

func TestWhatIsSealedAnewNamesTheKeysOfItsFormatsAlone(t *testing.T) {
	t.Parallel()
	pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := keyring.GenerateIdentity(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(to seal.Recipient) string {
		text, err := seal.Seal(rand.Reader, to, seal.ClusterWide, "", "", []byte(canary))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	compat, native := sealed(seal.Compat(pair.Public())), sealed(seal.Native(identity.Recipient()))
	both := target{compat: "SHA256:a", native: identity.Recipient()}
	for _, c := range []struct {
		to     target
		values []string
		want   string
	}{
		{both, []string{compat, compat}, "SHA256:a"},
		{both, []string{native, native}, identity.Fingerprint()},
		{target{compat: "SHA256:"}, []string{native, compat, native}, "SHA256: unknown"},
		{target{compat: "SHA256:a"}, []string{native}, "unknown"},
	} {
		if got := c.to.of(c.values); got != c.want {
			t.Errorf("%d values: %s, want %s", len(c.values), got, c.want)
		}
	}
}
