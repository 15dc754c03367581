package sealingkey_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/controllers/sealingkey"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// holder holds identities, and answers when it is told to.
type holder struct {
	mu     sync.Mutex
	answer chan struct{}
	keys   []keyring.Member
	err    error
}

func (h *holder) Ask(ctx context.Context) error {
	select {
	case <-h.answer:
	case <-ctx.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

func (h *holder) Keys() []keyring.Member {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keys
}

func (h *holder) set(err error, keys ...keyring.Member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys, h.err = keys, err
}

func TestAHolderThatDoesNotAnswerHoldsUpNoOtherKeyAndItsKeysComeAndGo(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	h := &holder{answer: make(chan struct{})}
	var keepers []*sealingkey.Keeper
	for range 2 {
		k, _ := replica(t, cp.Config(), ns, true, func(d *sealingkey.Deps) { d.Held, d.HeldPeriod = h, 100*time.Millisecond })
		keepers = append(keepers, k)
	}
	for _, k := range keepers {
		eventually(t, "the key of the cluster's own is there while the holder is silent", func() bool { return size(k) == 1 })
	}
	first, second := heldKey(t), heldKey(t)
	h.set(nil, first)
	close(h.answer)
	for _, k := range keepers {
		eventually(t, "every replica has the held key", func() bool { return size(k) == 2 })
	}
	h.set(nil, first, second)
	for _, k := range keepers {
		eventually(t, "a key that was rotated is there without a restart", func() bool { return size(k) == 3 })
	}
	_, replaced := keepers[0].Ring()
	h.set(errors.New("down"), first, second)
	select {
	case <-replaced:
		t.Error("the same keys were given out again")
	case <-time.After(time.Second):
	}
	h.set(nil)
	for _, k := range keepers {
		eventually(t, "held keys that are gone are used no more", func() bool { return size(k) == 1 })
	}
}

func heldKey(t *testing.T) keyring.Member {
	t.Helper()
	key, err := keyring.GenerateIdentity(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return key
}
