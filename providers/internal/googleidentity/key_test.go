package googleidentity

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

// What it costs to read a key grows with the square of its size.
func TestAPrivateKeyHas16KiBAtMost(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	text += strings.Repeat("\n", 16<<10-len(text))
	if got, err := readRSA(text); err != nil || !got.Equal(key) {
		t.Errorf("a key that is not too large: %v", err)
	}
	if _, err := readRSA(text + "\n"); err == nil || err.Error() != "it has 16385 bytes, 16384 are allowed" {
		t.Errorf("a key that is too large: %v", err)
	}
}
