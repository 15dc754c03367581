package sessions

import (
	"errors"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// proof is what shows that a session can be used: a check, and after it each document that was read.
type proof struct {
	// checked is set when the last check succeeded, and unverified says what it could not tell.
	checked    bool
	unverified string
	// read is when the newest document was asked for, and failed when something was denied or nobody answered.
	read, failed time.Time
}

// note notes what a call brought; down says that the backend is.
func (p *proof) note(f *flight, down bool, now time.Time) {
	read, denied := false, down || errors.Is(f.err, providers.ErrDenied)
	for _, r := range f.results {
		read = read || r.Err == nil
		denied = denied || errors.Is(r.Err, providers.ErrDenied)
	}
	switch {
	case denied:
		p.failed = now
	case read && f.asked.After(p.read):
		p.read = f.asked
	}
}

// holds reports whether another check would say what the last one did: a document was read that was asked for after a time and
// after the last failure.
func (p *proof) holds(after time.Time) bool {
	return p.checked && p.read.After(after) && p.read.After(p.failed)
}

// vouched returns what the last check could not tell, where that holds: see proof.holds.
func (k *kept) vouched(after time.Time) (unverified string, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proof.unverified, k.proof.holds(after)
}

// checked notes what a check brought.
func (k *kept) checked(unverified string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.proof.checked, k.proof.unverified = err == nil, unverified
}
