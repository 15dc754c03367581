package sealing_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// FuzzABackupHoldsKeysOrIsRefused: whatever is given for a backup of keys, it is at least one key, or an error that quotes
// nothing.
func FuzzABackupHoldsKeysOrIsRefused(f *testing.F) {
	identity, err := keyring.GenerateIdentity(time.Unix(0, 0))
	if err != nil {
		f.Fatal(err)
	}
	pem := readPair(f).PrivateKeyPEM()
	secret := func(key string, value []byte) string {
		return "apiVersion: v1\nkind: Secret\nmetadata: {name: k}\ndata: {" + key + ": " + base64.StdEncoding.EncodeToString(value) + "}\n"
	}
	compat, native := secret("tls.key", pem), secret("identity.txt", identity.Text())
	for _, seed := range []string{
		string(pem), string(identity.Text()), compat, native, compat + "---\n" + native, secret("tls.key", []byte(canary)), secret("identity.txt", []byte(canary)), secret("x", nil),
		"apiVersion: v1\nkind: List\nitems: []\n", `{"apiVersion":"v1","kind":"SecretList","items":[{"data":{"tls.key":"` + canary + `"}}]}`, "", canary, "AGE-SECRET-KEY-1" + canary, "-----BEGIN RSA PRIVATE KEY-----\n" + canary,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := sealing.ReadPrivateKeys(data)
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d keys, %v", len(keys), err)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("the error quotes: %v", err)
		}
		for _, key := range keys {
			if key.Fingerprint() == "" || len(keys.Candidates(key.Fingerprint())) == 0 {
				t.Error("a key without a name was accepted")
			}
		}
	})
}
