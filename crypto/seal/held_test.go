package seal_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// remote is a key that a holder uses for us, or does not.
type remote struct {
	keyring.Key
	recipient *agebox.Recipient
	err       error
}

func (r *remote) Since() time.Time             { return time.Time{} }
func (r *remote) Recipient() *agebox.Recipient { return r.recipient }
func (r *remote) Holder() string               { return "a test" }

func (r *remote) Unwrap(ctx context.Context, l keyring.Lock) ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	return r.Key.Unwrap(ctx, l)
}

// inOrder is a ring that has its keys tried in their order.
type inOrder []keyring.Key

func (o inOrder) Candidates(string) []keyring.Key { return o }

func heldKey(t testing.TB, version string) *remote {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r, err := agebox.NewHeld("transit/payments", version, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &remote{Key: keyring.NewPrivateKey(key), recipient: r}
}

func sealHeld(t testing.TB, to ...*remote) string {
	t.Helper()
	var recipients []*agebox.Recipient
	for _, r := range to {
		recipients = append(recipients, r.recipient)
	}
	text, err := seal.Seal(rand.Reader, seal.Native(recipients...), seal.Strict, "ns", "n", []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAHeldKeyIsAskedOnceForAValueAndOnlyForThoseThatNameIt(t *testing.T) {
	t.Parallel()
	one, two := heldKey(t, "1"), heldKey(t, "2")
	ring := keyring.New().With(one, two, identity(t, 0))
	opener := seal.NewOpener(ring, "", 0)
	if got, err := opener.Open(t.Context(), seal.Strict, "ns", "n", sealHeld(t, one)); err != nil || string(got) != "v" || opener.Opened() != one.Fingerprint() {
		t.Errorf("%q, %v", got, err)
	}
	if n := opener.Operations(); n != 1 {
		t.Errorf("%d operations for a value", n)
	}
	if _, err := opener.Open(t.Context(), seal.Strict, "ns", "n", sealHeld(t, heldKey(t, "1"))); !errors.Is(err, seal.ErrNoKey) || opener.Operations() != 1 {
		t.Errorf("a value for others: %v after %d operations", err, opener.Operations())
	}
}

func TestAKeyThatCannotBeAskedStandsInTheWayOfNoOther(t *testing.T) {
	t.Parallel()
	down, retired, up := heldKey(t, "1"), heldKey(t, "2"), heldKey(t, "3")
	down.err, retired.err = errors.New("the holder is down"), keyring.ErrRetired
	ring := keyring.New().With(down, retired, up)
	open := func(to ...*remote) error {
		_, err := seal.NewOpener(ring, "", 0).Open(t.Context(), seal.Strict, "ns", "n", sealHeld(t, to...))
		return err
	}
	if err := open(down, retired, up); err != nil {
		t.Errorf("the third key was not asked: %v", err)
	}
	if err := open(down); !errors.Is(err, down.err) {
		t.Errorf("got %v", err)
	}
	// While one can still answer, nothing is given up.
	for _, keys := range []inOrder{{down, retired}, {retired, down}} {
		_, err := seal.NewOpener(keys, "", 0).Open(t.Context(), seal.Strict, "ns", "n", sealHeld(t, down, retired))
		if !errors.Is(err, down.err) {
			t.Errorf("got %v", err)
		}
	}
	if err := open(retired); !errors.Is(err, keyring.ErrRetired) || errors.Is(err, seal.ErrNoKey) {
		t.Errorf("got %v", err)
	}
}

func TestResealingLeavesAValueWithItsKindOfKey(t *testing.T) {
	t.Parallel()
	old, next, pq := heldKey(t, "1"), heldKey(t, "2"), identity(t, 0)
	ring := keyring.New().With(old, next, pq)
	reseal := func(text string, to seal.Newest) (string, error) {
		return seal.NewOpener(ring, "", 0).Reseal(t.Context(), rand.Reader, to, seal.Strict, "ns", "n", text)
	}
	both := seal.Newest{Native: pq.Recipient(), Held: next.recipient}
	again, err := reseal(sealHeld(t, old), both)
	if err != nil {
		t.Fatal(err)
	}
	info, err := seal.Inspect(again)
	if err != nil || !info.Classic || len(info.Keys) != 1 || info.Keys[0] != next.Fingerprint() {
		t.Errorf("%+v, %v", info, err)
	}
	if twice, err := reseal(again, both); err != nil || twice != again {
		t.Errorf("a value that is sealed to the newest key changed: %v", err)
	}
	native := sealNative(t, "v", pq)
	if text, err := reseal(native, both); err != nil || text != native {
		t.Errorf("a post-quantum value changed: %v", err)
	}
	if _, err := reseal(native, seal.Newest{Held: next.recipient}); !errors.Is(err, seal.ErrNoRecipient) {
		t.Errorf("a post-quantum value went to a key that is not: %v", err)
	}
	if _, err := reseal(sealHeld(t, old), seal.Newest{Native: pq.Recipient()}); !errors.Is(err, seal.ErrNoRecipient) {
		t.Errorf("got %v", err)
	}
}
