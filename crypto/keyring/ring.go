package keyring

import (
	"context"
	"iter"
	"slices"
	"strings"
)

// Key is what opening a value asks of one sealing key. A Pair is one; a key that a KMS or an HSM holds can be another.
type Key interface {
	// Fingerprint names the key.
	Fingerprint() string
	// Unwrap does one private-key operation: it returns the session key that was wrapped for this key under label. It
	// returns rsahybrid.ErrDecrypt when this is not the key, and any other error when the key could not be asked.
	Unwrap(ctx context.Context, wrapped, label []byte) ([]byte, error)
}

// Ring is an immutable set of key pairs, newest first. The nil and the zero Ring are empty.
type Ring struct {
	pairs []*Pair
}

// New returns the ring of some pairs. Pairs with the same key count once, in their newest place. Of two pairs of the same
// age the one with the smaller fingerprint comes first, so that every replica agrees on the newest.
func New(pairs ...*Pair) *Ring {
	sorted := slices.Clone(pairs)
	slices.SortStableFunc(sorted, func(a, b *Pair) int {
		if c := b.order.Compare(a.order); c != 0 {
			return c
		}
		return strings.Compare(a.fingerprint, b.fingerprint)
	})
	seen := make(map[string]bool, len(sorted))
	return &Ring{pairs: slices.DeleteFunc(sorted, func(p *Pair) bool {
		dup := seen[p.fingerprint]
		seen[p.fingerprint] = true
		return dup
	})}
}

// Len returns how many keys the ring has.
func (r *Ring) Len() int {
	if r == nil {
		return 0
	}
	return len(r.pairs)
}

// Newest returns the pair that values are sealed to; false when the ring is empty.
func (r *Ring) Newest() (*Pair, bool) {
	if r.Len() == 0 {
		return nil, false
	}
	return r.pairs[0], true
}

// All returns the pairs, newest first.
func (r *Ring) All() iter.Seq[*Pair] {
	if r == nil {
		return slices.Values([]*Pair(nil))
	}
	return slices.Values(r.pairs)
}

// Candidates returns the keys that can unwrap a session key of this many bytes, most likely first: the one that the hint
// names (a fingerprint, or "" for none), then the others, newest first.
func (r *Ring) Candidates(size int, hint string) []Key {
	keys := make([]Key, 0, r.Len())
	for p := range r.All() {
		switch {
		case p.Size() != size:
		case p.fingerprint == hint:
			keys = slices.Insert(keys, 0, Key(p))
		default:
			keys = append(keys, p)
		}
	}
	return keys
}
