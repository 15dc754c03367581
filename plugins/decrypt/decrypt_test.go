package decrypt_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
	"github.com/sealbridge/sealbridge/plugins/decrypt"
)

func TestAFileIsOpenedByTheDecryptorItAsksFor(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	doc := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: "token: canary-7f3e\n", Recipients: []string{recipient}})
	other, _ := sopstest.Identity(t)
	d, err := decrypt.SOPS(map[string][]byte{"team.agekey": []byte(other), "ops.agekey": []byte(secret), "x.asc": []byte("pgp")})
	if err != nil {
		t.Fatal(err)
	}
	document, err := decrypt.First(t.Context(), []decrypt.Decryptor{d}, "apps/secret.yaml", doc)
	if err != nil {
		t.Fatal(err)
	}
	if string(document.Plain) != "token: canary-7f3e\n" || !document.Sealed([]byte("canary-7f3e")) {
		t.Errorf("got %q", document.Plain)
	}
	plain, err := decrypt.First(t.Context(), []decrypt.Decryptor{d}, "apps/plain.yaml", []byte("token: x\n"))
	if plain != nil || err != nil {
		t.Errorf("a plain file: got %v, %v", plain, err)
	}
}

func TestAFileThatCannotBeOpenedIsNamedWithItsReason(t *testing.T) {
	t.Parallel()
	_, recipient := sopstest.Identity(t)
	doc := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: "token: canary-7f3e\n", Recipients: []string{recipient}})
	without, err := decrypt.SOPS(nil)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		doc   []byte
		class error
		says  string
	}{
		"no key":  {doc, decrypt.ErrNoKey, "decrypt apps/secret.yaml (SOPS): no usable key: this file is encrypted for age " + recipient},
		"damaged": {[]byte("token: canary-7f3e\nsops: {mac: x}\n"), decrypt.ErrRefused, "decrypt apps/secret.yaml (SOPS): not a well-formed"},
	}
	_, err = decrypt.First(t.Context(), []decrypt.Decryptor{without}, "a\nb\x7f\xff c.yaml", doc)
	if err == nil || !strings.HasPrefix(err.Error(), "decrypt a?b?? c.yaml (SOPS): no usable key") {
		t.Errorf("a name that cannot be shown: %v", err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decrypt.First(t.Context(), []decrypt.Decryptor{without}, "apps/secret.yaml", c.doc)
			if !errors.Is(err, c.class) || !strings.HasPrefix(err.Error(), c.says) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAFileThatNobodyWaitsForIsNotSaidToBeDamaged(t *testing.T) {
	t.Parallel()
	secret, recipient := sopstest.Identity(t)
	doc := sopstest.Encrypt(t, sopstest.File{Format: sopsfile.YAML, Plain: "token: canary-7f3e\n", Recipients: []string{recipient}})
	d, err := decrypt.SOPS(map[string][]byte{"x.agekey": []byte(secret)})
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("another commit has come")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	document, err := decrypt.First(ctx, []decrypt.Decryptor{d}, "x.yaml", doc)
	if document != nil || !errors.Is(err, why) || errors.Is(err, decrypt.ErrRefused) || errors.Is(err, decrypt.ErrNoKey) {
		t.Errorf("got %v, %v", document, err)
	}
}

func TestADecryptionSecretThatCannotBeUsedIsRefusedByEntry(t *testing.T) {
	t.Parallel()
	secret, _ := sopstest.Identity(t)
	cases := map[string]struct {
		secret map[string][]byte
		says   string
	}{
		"empty":           {map[string][]byte{}, "no age key; add an entry whose name ends in .agekey"},
		"only other keys": {map[string][]byte{"pgp.asc": []byte("x")}, "no age key"},
		"a plugin":        {map[string][]byte{"a.agekey": []byte(secret), "b.agekey": []byte("AGE-PLUGIN-X-1QQ")}, `entry "b.agekey" of the decryption Secret: line 1: age plugin identities are refused`},
		"damaged":         {map[string][]byte{"a.agekey": []byte(secret[:40])}, `entry "a.agekey"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decrypt.SOPS(c.secret)
			if !errors.Is(err, decrypt.ErrRefused) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), secret[:30]) {
				t.Errorf("got %v", err)
			}
		})
	}
}
