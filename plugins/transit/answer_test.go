package transit

import (
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// FuzzWhateverVaultSaysOfAKeyIsReadOrRefused holds that no answer makes the client panic, and that what is read can be sealed
// to, in the order of its versions.
func FuzzWhateverVaultSaysOfAKeyIsReadOrRefused(f *testing.F) {
	const public = `-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo\n4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0/IzW7yWR7QkrmBL7jTKEn5u\n+qKhbwKfBstIs+bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyeh\nkd3qqGElvW/VDL5AaWTg0nLVkjRo9z+40RQzuVaE8AkAFmxZzow3x+VJYKdjykkJ\n0iT9wCS0DRTXu269V264Vf/3jvredZiKRkgwlL9xNAwxXFg0x/XFw005UWVRIkdg\ncKWTjpBP2dPwVZ4WWC+9aGVd+Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbc\nmwIDAQAB\n-----END PUBLIC KEY-----\n`
	for _, keys := range []string{
		`{"1":{"creation_time":"2026-11-26T00:00:00Z","public_key":"` + public + `"}}`,
		`{"2":{"creation_time":"2026-11-26T00:00:00Z","public_key":"` + public + `"},"10":{"creation_time":"2020-01-01T00:00:00Z","public_key":"` + public + `"}}`,
		`{"1":{"public_key":""}}`, `{"x":{}}`, `{"1":1700000000}`, `{}`, `null`, `[]`, `{"-1":{"public_key":"` + public + `"}}`,
	} {
		f.Add([]byte(`{"type":"rsa-2048","min_decryption_version":1,"latest_version":10,"keys":` + keys + `}`))
	}
	f.Add([]byte(`{"type":"aes256-gcm96","keys":{"1":1700000000}}`))
	c, err := New(Options{
		Address: "https://vault:8200", Mount: "transit", Key: "k", AuthMount: "kubernetes", Role: "r", Now: time.Now,
		Token: func() ([]byte, error) { return nil, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := c.parse(raw)
		if err != nil {
			return
		}
		var before time.Time
		for _, m := range v.members {
			k, ok := m.(keyring.Remote)
			if !ok || !k.Since().After(before) {
				t.Fatalf("%v is no key, or not newer than the version before", m)
			}
			before = k.Since()
			if _, err := agebox.ParseRecipient(k.Recipient().String()); err != nil {
				t.Error(err)
			}
		}
	})
}
