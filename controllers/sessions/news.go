package sessions

import (
	"slices"

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
