package keyring

import (
	"iter"
	"maps"
	"slices"
)

// WithNamespaces returns a ring with the same keys, of which For answers the rings of some namespaces: those that have
// keys of their own. What the map holds afterwards does not change it.
func (r *Ring) WithNamespaces(own map[string]*Ring) *Ring {
	out := &Ring{own: maps.Clone(own)}
	if r != nil {
		out.keys = r.keys
	}
	return out
}

// For returns the keys of a namespace: its own ring if it has one, and the ring itself if not.
func (r *Ring) For(namespace string) *Ring {
	if r == nil {
		return nil
	}
	if own := r.own[namespace]; own != nil {
		return own
	}
	return r
}

// Namespaces returns the namespaces that have keys of their own and their rings, in order.
func (r *Ring) Namespaces() iter.Seq2[string, *Ring] {
	return func(yield func(string, *Ring) bool) {
		if r == nil {
			return
		}
		for _, namespace := range slices.Sorted(maps.Keys(r.own)) {
			if !yield(namespace, r.own[namespace]) {
				return
			}
		}
	}
}

// Then returns a ring whose keys are those of this one and then those of another, whatever their age: what is sealed goes
// to the newest of the first.
func (r *Ring) Then(other *Ring) *Ring {
	out := &Ring{}
	seen := map[string]bool{}
	for _, ring := range []*Ring{r, other} {
		for key := range ring.All() {
			if !seen[key.Fingerprint()] {
				seen[key.Fingerprint()] = true
				out.keys = append(out.keys, key)
			}
		}
	}
	return out
}
