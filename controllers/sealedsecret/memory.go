package sealedsecret

import (
	"crypto/sha256"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// memory is what the controller knows of its objects beyond their status, until it ends: what it wrote before the cache
// shows it, and which keys do not open which values. A lost memory costs work and nothing else.
type memory struct {
	mu      sync.Mutex
	objects map[types.NamespacedName]*record
	// namespaces counts the objects in each.
	namespaces map[string]int
	// unopened are the objects that were not written since there was something to open, whatever their status says yet.
	unopened map[types.NamespacedName]bool
}

// record is the memory of one object. The queue hands an object to one worker at a time, so only the map is locked.
type record struct {
	uid types.UID
	// written is what was written last, and for what; reported is set once the status says so too.
	written    v1alpha1.SecretVersion
	generation int64
	scope      seal.Scope
	sealingKey string
	reported   bool
	// last is of the run before: an older object from the cache is not acted on.
	last flow.Last
	// retries counts the runs in a row that failed in a way that is tried again.
	retries int
	// attempts are the values that are not opened yet, by key; empty when all were.
	attempts map[string]*attempt
}

// attempt is the memory of one value that was not opened, or was opened in a run that did not come to its end.
type attempt struct {
	// digest is of the sealed bytes and what they are bound to; another digest is another value.
	digest [sha256.Size]byte
	// opens is the fingerprint of the key that opened it.
	opens string
	// failed are the keys that did not open it, as far as one ring has been tried, exhausted is a ring that was tried
	// to its end.
	failed    map[string]bool
	exhausted *keyring.Ring
	// retired is why the key that the value is for is out of use, as the ring retiredIn said.
	retired   error
	retiredIn *keyring.Ring
	// broken is set when no other key can help: the value is no sealed value, or was changed after sealing.
	broken error
}

func newMemory() *memory {
	return &memory{objects: map[types.NamespacedName]*record{}, namespaces: map[string]int{}, unopened: map[types.NamespacedName]bool{}}
}

// opening notes, before a ring of keys is looked at, that an object is opened with it: who replaces the ring finds it so. written ends that.
func (m *memory) opening(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unopened[name] = true
}

func (m *memory) written(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.unopened, name)
}

// waits reports whether other keys may open what is not opened of an object.
func (m *memory) waits(name types.NamespacedName) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.unopened[name]
}

// of returns the record of an object, a new one when another object has had its name.
func (m *memory) of(name types.NamespacedName, uid types.UID) *record {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.objects[name]
	if r == nil {
		m.namespaces[name.Namespace]++
	}
	if r == nil || r.uid != uid {
		r = &record{uid: uid}
		m.objects[name] = r
	}
	return r
}

// forget drops the record of an object that is gone, and calls emptied when it was the last of its namespace, before another
// can come.
func (m *memory) forget(name types.NamespacedName, emptied func(namespace string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.unopened, name)
	if m.objects[name] == nil {
		return
	}
	delete(m.objects, name)
	if m.namespaces[name.Namespace]--; m.namespaces[name.Namespace] == 0 {
		delete(m.namespaces, name.Namespace)
		emptied(name.Namespace)
	}
}

// keep takes over the attempts of the values that are still the same and starts the others.
func (r *record) keep(digests map[string][sha256.Size]byte) {
	kept := make(map[string]*attempt, len(digests))
	for key, digest := range digests {
		kept[key] = r.attempts[key]
		if kept[key] == nil || kept[key].digest != digest {
			kept[key] = &attempt{digest: digest}
		}
	}
	r.attempts = kept
}

// failing says whether keys have failed for a value, and others are left to try.
func (r *record) failing() bool {
	for _, a := range r.attempts {
		if len(a.failed) > 0 && a.broken == nil {
			return true
		}
	}
	return false
}

// tried says whether a key is known not to open the value.
func (a *attempt) tried(fingerprint string) bool {
	if a.failed[fingerprint] {
		return true
	}
	for key := range a.exhausted.All() {
		if key.Fingerprint() == fingerprint {
			return true
		}
	}
	return false
}

// hopeless says whether no key of the ring can open the value.
func (a *attempt) hopeless(ring *keyring.Ring) bool {
	return a.broken != nil || a.exhausted == ring || a.retiredIn == ring
}

// cause says why the value cannot be opened with a ring.
func (a *attempt) cause(ring *keyring.Ring) string {
	switch {
	case a.broken != nil:
		return a.broken.Error()
	case a.retiredIn == ring:
		return a.retired.Error()
	default:
		return seal.ErrNoKey.Error()
	}
}

// exhaust notes that every key of a ring was tried.
func (a *attempt) exhaust(ring *keyring.Ring) { a.exhausted, a.failed, a.opens = ring, nil, "" }
