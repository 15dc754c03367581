package sealingkey

import (
	"slices"
	"sync/atomic"

	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// Keeper holds the current ring for any number of readers. It is safe for concurrent use.
type Keeper struct {
	current atomic.Pointer[snapshot]
}

type snapshot struct {
	ring     *keyring.Ring
	replaced chan struct{}
}

// NewKeeper returns a Keeper without a ring.
func NewKeeper() *Keeper {
	k := &Keeper{}
	k.current.Store(&snapshot{replaced: make(chan struct{})})
	return k
}

// Ring returns the current keys, and a channel that is closed when they have been replaced. The ring is nil until the
// keys were read for the first time, and empty when there are none.
func (k *Keeper) Ring() (*keyring.Ring, <-chan struct{}) {
	s := k.current.Load()
	return s.ring, s.replaced
}

// replace publishes a ring, and says whether it differs from the one before. It has one caller at a time.
func (k *Keeper) replace(ring *keyring.Ring) bool {
	before := k.current.Load()
	if before.ring != nil && slices.Equal(contents(before.ring), contents(ring)) {
		return false
	}
	k.current.Store(&snapshot{ring: ring, replaced: make(chan struct{})})
	close(before.replaced)
	return true
}

// contents of a ring stand for its keys, their order and their certificates, and for those of the namespaces.
func contents(ring *keyring.Ring) []string {
	out := make([]string, 0, ring.Len())
	for key := range ring.All() {
		out = append(out, key.Fingerprint())
		if pair, ok := key.(*keyring.Pair); ok { // its certificate may have been issued anew
			out = append(out, string(pair.CertificatePEM()))
		}
	}
	for namespace, own := range ring.Namespaces() {
		out = append(out, "of "+namespace)
		out = append(out, contents(own)...)
	}
	return out
}
