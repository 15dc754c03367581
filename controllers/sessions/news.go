package sessions

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// News is what the users of a store want to know at once, though none of them is due.
type News struct {
	// Store is the store, and Namespace the one whose credentials the session was opened with; empty when all namespaces
	// share it.
	Store     Store
	Namespace string
	// Changed are the refs whose documents are not what they were when they were fetched before.
	Changed []providers.Ref
	// Recovered is set when the backend answers again after it was unavailable.
	Recovered bool
}

// Subscribe calls hear for all news from now on. Hear must be safe for concurrent use and return soon; what was fetched can
// be had from the pool by then.
func (p *Pool) Subscribe(hear func(News)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hearers = append(p.hearers, hear)
}

// tell hands news to the subscribers.
func (p *Pool) tell(n News) {
	if len(n.Changed) == 0 && !n.Recovered {
		return
	}
	p.mu.Lock()
	hearers := p.hearers
	p.mu.Unlock()
	for _, hear := range hearers {
		hear(n)
	}
}

// print tells the contents of documents apart: a keyed hash, which says nothing about what it is of. It is known for as
// long as the session lives, while the documents are soon dropped.
func (k *kept) print(q question, r providers.Result) (uint64, bool) {
	if k.seed == (maphash.Seed{}) {
		k.seed = maphash.MakeSeed()
	}
	var whole providers.Value
	err := safely(func() (err error) {
		whole, err = r.Document.Value(q.ref.Property)
		return err
	})
	if err == nil {
		return maphash.Bytes(k.seed, whole.Bytes()), true
	}
	return maphash.String(k.seed, r.Version), r.Version != ""
}

// changedLocked reports whether the document is another one than the one that was fetched before, and remembers it.
func (k *kept) changedLocked(q question, r providers.Result) bool {
	now, ok := k.print(q, r)
	if !ok {
		return false
	}
	was, known := k.prints[q]
	if k.prints == nil {
		k.prints = map[question]uint64{}
	}
	k.prints[q] = now
	return known && was != now
}

// probe asks a backend that is down again for the first thing that a failed flight asked for, whenever the pause of the breaker is over, until it answers:
// its users wait longer each time and would find out late. It ends when the session is retired or nobody has asked for a
// while.
func (p *Pool) probe(ctx context.Context, e *entry, failed *flight) {
	ask := failed.refs[:1]
	for {
		wait, down := e.kept.pause(time.Now())
		if !down || !p.wanted(e) {
			break
		}
		select {
		case <-time.After(max(wait, time.Millisecond)):
		case <-p.closed:
			return
		}
		now := time.Now()
		if _, _, own, err := e.kept.take(Request{query: failed.query}, ask, now, now.Add(p.patience(e.store)), 0); err == nil && own != nil {
			p.fly(ctx, e, own)
		}
	}
	e.kept.mu.Lock()
	defer e.kept.mu.Unlock()
	e.kept.probing = false
}

// pause returns how long the backend is left alone yet, and whether it is down.
func (k *kept) pause(now time.Time) (time.Duration, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.breaker.failures == 0 || k.dropped {
		return 0, false
	}
	if len(k.flights) > 0 { // somebody else is asking
		return max(k.breaker.until.Sub(now), minPause), true
	}
	return k.breaker.until.Sub(now), true
}

// wanted reports whether a session is still in the pool and was used lately.
func (p *Pool) wanted(e *entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.shut && !e.retired && time.Since(e.used) < p.limits.Idle
}
