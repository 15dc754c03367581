package aws

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keyFiles are keys that OpenSSL 3 has encrypted with the passphrase, by their file names.
func keyFiles(t testing.TB) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/pkcs8/*.pem")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = string(content)
	}
	return files
}

const keyPassphrase = "correct-horse"

func TestAKeyIsDecryptedHoweverItIsEncrypted(t *testing.T) {
	t.Parallel()
	files := keyFiles(t)
	if len(files) < 10 {
		t.Fatalf("%d keys are found", len(files))
	}
	want := files["public.pem"]
	for name, content := range files {
		got, err := decryptKey(content, keyPassphrase)
		if name == "public.pem" || strings.HasPrefix(name, "refused-") {
			if !errors.Is(err, errKey) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || publicOf(t, got) != want {
			t.Errorf("%s is another key, %v", name, err)
			continue
		}
		if again, err := decryptKey(string(got), ""); err != nil || !bytes.Equal(again, got) {
			t.Errorf("%s, decrypted, is another key, %v", name, err)
		}
		if _, err := decryptKey(content, keyPassphrase+"x"); !errors.Is(err, errKey) {
			t.Errorf("%s opens with another passphrase: %v", name, err)
		}
		if _, err := decryptKey(content[:len(content)/2], keyPassphrase); !errors.Is(err, errKey) {
			t.Errorf("half of %s: %v", name, err)
		}
	}
}

// publicOf returns the public half of a key in PEM.
func publicOf(t *testing.T, key []byte) string {
	t.Helper()
	block, rest := pem.Decode(key)
	if block == nil || len(rest) > 0 {
		t.Fatal("the key is not one block of PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.(crypto.Signer).Public()) //nolint:forcetypeassert // all keys of crypto/x509 are
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func FuzzAnExportedKeyIsDecryptedOrRefused(f *testing.F) {
	files := keyFiles(f)
	if len(files) == 0 {
		f.Fatal("no seeds")
	}
	for _, content := range files {
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content string) {
		got, err := decryptKey(content, keyPassphrase)
		if (err == nil) == (len(got) == 0) {
			t.Errorf("%d bytes and %v", len(got), err)
		}
	})
}
