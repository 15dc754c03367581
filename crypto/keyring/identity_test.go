package keyring_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

func TestAnIdentitySurvivesItsSecretWithItsTime(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 11, 25, 21, 5, 46, 999, time.FixedZone("", 3600))
	key, err := keyring.GenerateIdentity(made)
	if err != nil {
		t.Fatal(err)
	}
	elsewhen := made.Add(1000 * time.Hour)
	again, err := keyring.ParseIdentity(key.Text(), elsewhen)
	if err != nil || again.Fingerprint() != key.Fingerprint() || !again.NotBefore().Equal(made.Truncate(time.Second)) {
		t.Errorf("%v, %v", again.NotBefore(), err)
	}
	_, bare, _ := strings.Cut(string(key.Text()), "\n")
	if bare, err := keyring.ParseIdentity([]byte(bare), elsewhen); err != nil || !bare.Since().Equal(elsewhen) {
		t.Errorf("without its time: %v", err)
	}
	if moved := again.Ordered(elsewhen); !moved.Since().Equal(elsewhen) || !moved.NotBefore().Equal(again.NotBefore()) {
		t.Error("another order changed more than the order")
	}
	if text := fmt.Sprintf("%v %+v %#v %s %x", key, key, key, key, key); strings.Contains(text, "AGE-SECRET") || !strings.Contains(text, key.Fingerprint()) {
		t.Errorf("prints as %s", text)
	}
	for text, want := range map[string]error{
		"":                                      agebox.ErrNone,
		string(key.Text()) + "AGE-PLUGIN-X":     agebox.ErrPlugin,
		string(key.Text()) + string(key.Text()): keyring.ErrSeveral,
	} {
		if _, err := keyring.ParseIdentity([]byte(text), made); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestEachKindHasItsNewestKeyAndFitsItsOwnLocks(t *testing.T) {
	t.Parallel()
	pair, older := generate(t, 0, 1024), generate(t, day, 1024)
	first, err := keyring.GenerateIdentity(start().Add(-day))
	if err != nil {
		t.Fatal(err)
	}
	second, err := keyring.GenerateIdentity(start().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ring := keyring.New(older, pair).With(first, second, first)
	newest, _ := ring.Newest()
	identity, _ := ring.NewestIdentity()
	if newest != pair || identity != second || ring.Len() != 4 {
		t.Errorf("%v, %v of %d", newest, identity, ring.Len())
	}
	named := keyring.Lock{Type: agebox.LockType, Key: first.Fingerprint()}
	unnamed := keyring.Lock{Type: agebox.LockType}
	rsa := keyring.Lock{Type: keyring.TypeRSA, Body: make([]byte, 128)}
	for _, c := range []struct {
		key  keyring.Key
		lock keyring.Lock
		want bool
	}{
		{first, named, true}, {second, named, false}, {second, unnamed, true}, {pair, named, false},
		{pair, keyring.Lock{Type: agebox.HeldLockType, Body: make([]byte, 128)}, false}, {pair, rsa, true}, {first, rsa, false}, {pair, keyring.Lock{Type: keyring.TypeRSA, Body: make([]byte, 129)}, false},
	} {
		if got := c.key.Fits(c.lock); got != c.want {
			t.Errorf("%s fits %s %s: %t", c.key.Fingerprint(), c.lock.Type, c.lock.Key, got)
		}
	}
	if _, err := first.Unwrap(t.Context(), unnamed); !errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("a lock of nothing: %v", err)
	}
}
