package sealhttp_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/controllers/sealhttp"
	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

func sealedNative(t *testing.T, namespace, name string, to ...*keyring.Identity) string {
	t.Helper()
	var recipients []*agebox.Recipient
	for _, i := range to {
		recipients = append(recipients, i.Recipient())
	}
	text, err := seal.Seal(rand.Reader, seal.Native(recipients...), seal.Strict, namespace, name, []byte(canary))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRecoveryKeysAreNamedBesideTheClustersOwn(t *testing.T) {
	t.Parallel()
	own, recovery := identityOf(t, 0), identityOf(t, 0)
	w := httptest.NewRecorder()
	options := sealhttp.Options{Recovery: []*agebox.Recipient{recovery.Recipient()}}
	server(t, keys{keyring.New().With(own)}, options).Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/recipients", http.NoBody))
	got, err := agebox.ParseRecipients(w.Body.Bytes())
	if err != nil || len(got) != 2 || got[0].Fingerprint() != own.Fingerprint() || got[1].Fingerprint() != recovery.Fingerprint() {
		t.Errorf("%v: %v", got, err)
	}
}

func TestNativeValuesAreVerifiedWithTheSameAnswers(t *testing.T) {
	t.Parallel()
	identity, stranger := identityOf(t, 0), identityOf(t, 0)
	ring := keyring.New(generate(t, 0)).With(identity)
	good := sealedNative(t, "ns", "db", identity)
	for name, test := range map[string]struct {
		value string
		code  int
	}{
		"opens":               {good, http.StatusOK},
		"of another name":     {sealedNative(t, "ns", "other", identity), http.StatusConflict},
		"of another cluster":  {sealedNative(t, "ns", "db", stranger), http.StatusConflict},
		"damaged":             {damaged(t, good, -5), http.StatusConflict},
		"cut off":             {good[:len(good)-8], http.StatusConflict},
		"an age file of none": {"YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==", http.StatusConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := post(t, ring, "/v1/verify", document("name: db, namespace: ns", "  encryptedData: {a: "+test.value+"}\n"))
			if w.Code != test.code || w.Code == http.StatusConflict && !strings.HasPrefix(w.Body.String(), "the SealedSecret cannot be decrypted: ") {
				t.Errorf("got %d %q", w.Code, w.Body.String())
			}
		})
	}
}

func TestRotateKeepsTheFormatAndTheOtherRecipients(t *testing.T) {
	t.Parallel()
	oldPair, newPair := generate(t, time.Hour), generate(t, 0)
	old, renewed, recovery := identityOf(t, time.Hour), identityOf(t, 0), identityOf(t, 0)
	ring := keyring.New(oldPair, newPair).With(old, renewed)
	current := sealedNative(t, "ns", "db", renewed, recovery)
	w := post(t, ring, "/v1/rotate", document("name: db, namespace: ns", "  encryptedData:\n"+
		"    compat: "+sealed(t, oldPair, seal.Strict, "ns", "db")+"\n"+
		"    native: "+sealedNative(t, "ns", "db", recovery, old)+"\n"+
		"    current: "+current+"\n"))
	if w.Code != http.StatusOK {
		t.Fatalf("got %d %q", w.Code, w.Body.String())
	}
	var got struct {
		Spec struct{ EncryptedData map[string]string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	values := got.Spec.EncryptedData
	if values["current"] != current {
		t.Error("a value that is sealed to the newest key was changed")
	}
	for _, test := range []struct {
		key  string
		ring *keyring.Ring
		want bool
	}{
		{"compat", keyring.New(newPair), true}, {"compat", keyring.New(oldPair).With(old, renewed), false},
		{"native", keyring.New().With(renewed), true}, {"native", keyring.New().With(recovery), true}, {"native", keyring.New(newPair).With(old), false},
	} {
		opened, err := seal.NewOpener(test.ring, "", 0).Open(t.Context(), seal.Strict, "ns", "db", values[test.key])
		if (err == nil) != test.want || test.want && string(opened) != canary {
			t.Errorf("%s: %v", test.key, err)
		}
	}
}
