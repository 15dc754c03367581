package aws

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
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

func TestAKeyOfPartsThatDoNotFitIsRefused(t *testing.T) {
	t.Parallel()
	block, _ := pem.Decode([]byte(keyFiles(t)["aes-256-cbc-hmacWithSHA256.pem"]))
	for name, change := range map[string]func(*encryptedKey){
		"blocks that are not whole":  func(k *encryptedKey) { k.Data = k.Data[1:] },
		"no block":                   func(k *encryptedKey) { k.Data = nil },
		"a vector that is too short": func(k *encryptedKey) { k.Algorithm.Scheme.Cipher.IV = k.Algorithm.Scheme.Cipher.IV[1:] },
		"the block size of another":  func(k *encryptedKey) { k.Algorithm.Scheme.Cipher.ID = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7} },
		"hours of work":              func(k *encryptedKey) { k.Algorithm.Scheme.KDF.Parameters.Iterations = 1 << 31 },
		"work without an end":        func(k *encryptedKey) { k.Algorithm.Scheme.KDF.Parameters.Iterations = -1 },
		"no work":                    func(k *encryptedKey) { k.Algorithm.Scheme.KDF.Parameters.Iterations = 0 },
		"a little too much work":     func(k *encryptedKey) { k.Algorithm.Scheme.KDF.Parameters.Iterations = 2_000_001 },
		"another derivation": func(k *encryptedKey) {
			k.Algorithm.Scheme.KDF.ID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
		},
		"another scheme": func(k *encryptedKey) { k.Algorithm.ID = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 3} },
	} {
		var key encryptedKey
		if _, err := asn1.Unmarshal(block.Bytes, &key); err != nil {
			t.Fatal(err)
		}
		change(&key)
		der, err := asn1.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decryptKey(string(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der})), keyPassphrase); !errors.Is(err, errKey) {
			t.Errorf("%s: %v", name, err)
		}
		if name != "another scheme" && wellFormed(der) {
			t.Errorf("the library is given %s", name)
		}
	}
	var key encryptedKey
	if _, err := asn1.Unmarshal(block.Bytes, &key); err != nil {
		t.Fatal(err)
	}
	key.Algorithm.Scheme.KDF.Parameters.Iterations = 2_000_000
	der, err := asn1.Marshal(key)
	if err != nil || !wellFormed(der) || wellFormed(append(der, 0)) {
		t.Errorf("as much work as may be, and nothing behind it: %v", err)
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
