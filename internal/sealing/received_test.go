package sealing_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// deaf are keys that cannot be asked.
type deaf struct{ keyring.Key }

var errDeaf = errors.New("no answer")

func (d deaf) Candidates(string) []keyring.Key { return []keyring.Key{d} }

func (deaf) Fingerprint() string { return "SHA256:deaf" }

func (deaf) Fits(keyring.Lock) bool { return true }

func (deaf) Unwrap(context.Context, keyring.Lock) ([]byte, error) { return nil, errDeaf }

func TestAKeyThatCannotBeAskedIsNoVerdict(t *testing.T) {
	t.Parallel()
	received, err := sealing.ReadReceived([]byte(sealed(t, "metadata: {name: db, namespace: ns}\nstringData: {a: "+canary+"}\n")), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := received.Verify(t.Context(), deaf{}); !errors.Is(err, errDeaf) {
		t.Errorf("verify: %v", err)
	}
	if text, err := received.Reseal(t.Context(), deaf{}, rand.Reader, seal.Newest{Compat: readPair(t).Public()}); !errors.Is(err, errDeaf) || text != nil {
		t.Errorf("reseal: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := received.Verify(ended, keys(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("verify after the end: %v", err)
	}
	if err := received.Verify(t.Context(), keys(t)); err != nil {
		t.Errorf("verify: %v", err)
	}
	if err := received.Verify(t.Context(), sealing.PrivateKeys{}); !errors.Is(err, sealing.ErrUndecryptable) || err.Error() != sealing.ErrUndecryptable.Error() {
		t.Errorf("verify without keys: %v", err)
	}
}

// Whatever is sent: no panic, and nothing of it in an error; what is read is resealed to something that verifies.
func FuzzAReceivedSealedSecretIsJudgedOrRefused(f *testing.F) {
	good := sealed(f, "metadata: {name: db, namespace: ns, labels: {a: b}}\nstringData: {a: "+canary+"}\n")
	f.Add([]byte(good))
	f.Add([]byte(good + "    data: {x: null}\n"))
	f.Add([]byte(strings.Replace(good, "spec:", "spec:\n  data: AAAA", 1)))
	f.Add([]byte(`{"apiVersion":"bitnami.com/v1alpha1","kind":"SealedSecret","spec":{"encryptedData":null}}`))
	f.Add([]byte("kind: [" + canary + "]"))
	private, pair := keys(f), readPair(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		received, err := sealing.ReadReceived(data, 1<<16)
		if err == nil {
			err = received.Verify(t.Context(), private)
		}
		if err != nil {
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error quotes: %v", err)
			}
			return
		}
		text, err := received.Reseal(t.Context(), private, rand.Reader, seal.Newest{Compat: pair.Public()})
		if err != nil {
			t.Fatal(err)
		}
		again, err := sealing.ReadReceived(text, 1<<20)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := again.Verify(t.Context(), private); err != nil {
			t.Errorf("resealed: %v", err)
		}
	})
}
