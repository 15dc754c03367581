package template

import (
	"crypto/x509"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"
)

// TestSaltsFollowFromAllThatGoesIntoAFile: files with the same salt would show what they have in common, and other salts for
// the same content would write every Secret with such a file again.
func TestSaltsFollowFromAllThatGoesIntoAFile(t *testing.T) {
	t.Parallel()
	salt := func(password, key string, certs ...string) string {
		var of []*x509.Certificate
		for _, cert := range certs {
			of = append(of, &x509.Certificate{Raw: []byte(cert)})
		}
		stream, err := saltsFor(password, []byte(key), of)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, 8)
		if _, err := io.ReadFull(stream, out); err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(out)
	}
	made := map[string]string{}
	for name, salt := range map[string]string{
		"one": salt("pw", "key1", "cert1", "cert2"), "another password": salt("pv", "key1", "cert1", "cert2"), "another key": salt("pw", "key2", "cert1", "cert2"),
		"another certificate": salt("pw", "key1", "cert1", "cert3"), "another order": salt("pw", "key1", "cert2", "cert1"),
		"another border": salt("pw", "key1c", "ert1", "cert2"), "one certificate": salt("pw", "key1", "cert1cert2"),
	} {
		if made[salt] != "" {
			t.Errorf("%s has the salt of %s", name, made[salt])
		}
		made[salt] = name
	}
	if made["33c639185bab1ffe"] != "one" {
		t.Errorf("the salts are others than they were: %v", made)
	}
}

func TestAFileThatAsksForTooMuchIsRefusedBeforeItIsOpened(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("testdata/pkcs12/endless.p12") // as modern.p12, and the MAC's key is derived 2^40 times
	if err != nil {
		t.Fatal(err)
	}
	for _, function := range []string{"pkcs12key", "pkcs12cert", `pkcs12keyPass ""`, `pkcs12certPass ""`} {
		_, err := New(Options{}).Render(t.Context(), "key", "{{ "+function+" .file }}", map[string]string{"file": string(file)})
		name, _, _ := strings.Cut(function, " ")
		if err == nil || !strings.HasSuffix(err.Error(), `the file that function "`+name+`" opens asks for too many iterations, or has too large a key; export it anew: openssl pkcs12 -export -iter 2048`) {
			t.Errorf("%s: %v", function, err)
		}
	}
}
