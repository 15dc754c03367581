package keyring

import (
	"iter"
	"slices"
	"strings"
)

// Ring is an immutable set of keys, newest first. The nil and the zero Ring are empty.
type Ring struct {
	keys []Member
	// own are the rings of namespaces that have keys of their own.
	own map[string]*Ring
}

// New returns the ring of some pairs. With adds keys of other kinds.
func New(pairs ...*Pair) *Ring {
	keys := make([]Member, 0, len(pairs))
	for _, p := range pairs {
		keys = append(keys, p)
	}
	return (*Ring)(nil).With(keys...)
}

// With returns a ring that has further keys. Keys with one fingerprint count once, in their newest place. Of two keys of
// the same age the one with the smaller fingerprint comes first, so that every replica agrees on the newest.
func (r *Ring) With(keys ...Member) *Ring {
	sorted := slices.AppendSeq(slices.Clone(keys), r.All())
	slices.SortStableFunc(sorted, func(a, b Member) int {
		if c := b.Since().Compare(a.Since()); c != 0 {
			return c
		}
		return strings.Compare(a.Fingerprint(), b.Fingerprint())
	})
	seen := make(map[string]bool, len(sorted))
	return &Ring{keys: slices.DeleteFunc(sorted, func(k Member) bool {
		dup := seen[k.Fingerprint()]
		seen[k.Fingerprint()] = true
		return dup
	})}
}

// Len returns how many keys the ring has.
func (r *Ring) Len() int {
	if r == nil {
		return 0
	}
	return len(r.keys)
}

// Newest returns the pair that values of the compat format are sealed to; false when the ring has none.
func (r *Ring) Newest() (*Pair, bool) { return newest[*Pair](r) }

// NewestIdentity returns the identity that values of the native format are sealed to; false when the ring has none.
func (r *Ring) NewestIdentity() (*Identity, bool) { return newest[*Identity](r) }

// NewestRemote returns the key of another holder that values of the native format are sealed to; false when the ring has none.
func (r *Ring) NewestRemote() (Remote, bool) { return newest[Remote](r) }

// newest returns the newest key of a kind.
func newest[K Member](r *Ring) (K, bool) {
	for k := range r.All() {
		if k, ok := k.(K); ok {
			return k, true
		}
	}
	var none K
	return none, false
}

// All returns the keys, newest first.
func (r *Ring) All() iter.Seq[Member] {
	if r == nil {
		return slices.Values([]Member(nil))
	}
	return slices.Values(r.keys)
}

// Has says whether the ring has a key, by its fingerprint.
func (r *Ring) Has(fingerprint string) bool {
	for k := range r.All() {
		if k.Fingerprint() == fingerprint {
			return true
		}
	}
	return false
}

// Candidates returns the keys, most likely first: the one that the hint names (a fingerprint, or "" for none), then the
// others, newest first.
func (r *Ring) Candidates(hint string) []Key {
	keys := make([]Key, 0, r.Len())
	for k := range r.All() {
		if k.Fingerprint() == hint {
			keys = slices.Insert(keys, 0, Key(k))
		} else {
			keys = append(keys, k)
		}
	}
	return keys
}
