package sealedsecret

import (
	"cmp"
	"slices"
	"sync"

	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// turn is what an object needs to go on trying keys after the first few have failed. One object has it at a time, for a
// share of a second, so that any number of objects that cannot be opened take one worker and one core between them.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take takes the turn if nobody has it.
func (t turn) take() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func (t turn) give() { <-t }

// maxRecent is how many keys are remembered to have been useful. One that is forgotten, as those are in the end that are gone, is tried
// after them.
const maxRecent = 500

// recency is the order in which sealing keys were useful last, over all objects. Most objects of a cluster are sealed to
// few keys, so that one that nothing is known of costs one operation a value, however many keys there are.
type recency struct {
	mu sync.Mutex
	// fingerprints, the last first.
	fingerprints []string
}

// used notes the key that opened a value.
func (r *recency) used(fingerprint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.fingerprints) > 0 && r.fingerprints[0] == fingerprint {
		return
	}
	rest := slices.DeleteFunc(r.fingerprints, func(f string) bool { return f == fingerprint })
	r.fingerprints = slices.Insert(rest, 0, fingerprint)
	r.fingerprints = r.fingerprints[:min(len(r.fingerprints), maxRecent)]
}

// sort puts the keys that were useful first, the last of them foremost, and the one that a hint names before all. Others
// keep their order.
func (r *recency) sort(keys []keyring.Key, hint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rank := func(k keyring.Key) int {
		if k.Fingerprint() == hint {
			return -1
		}
		if i := slices.Index(r.fingerprints, k.Fingerprint()); i >= 0 {
			return i
		}
		return len(r.fingerprints)
	}
	slices.SortStableFunc(keys, func(a, b keyring.Key) int { return cmp.Compare(rank(a), rank(b)) })
}
