package sessions

import (
	"context"
	"slices"
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
	// Queries are those, in the form of Canonical, that find other documents than before, or documents that have changed.
	Queries []string
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

// newsOf makes news of the questions to a session that have another answer now.
func newsOf(e *entry, changed []question, recovered bool) News {
	n := News{Store: e.store, Namespace: e.key.referent, Recovered: recovered}
	for _, q := range changed {
		switch {
		case q.find == "":
			n.Changed = append(n.Changed, q.ref)
		case !slices.Contains(n.Queries, q.find):
			n.Queries = append(n.Queries, q.find)
		}
	}
	return n
}

// tell hands news to the subscribers.
func (p *Pool) tell(n News) {
	if len(n.Changed) == 0 && len(n.Queries) == 0 && !n.Recovered {
		return
	}
	p.mu.Lock()
	hearers := p.hearers
	p.mu.Unlock()
	for _, hear := range hearers {
		hear(n)
	}
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
