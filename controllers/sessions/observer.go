package sessions

import (
	"errors"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// Op is what a backend is asked to do.
type Op string

// What a backend is asked to do.
const (
	// OpOpen opens a session: where the backend has a login, this is it.
	OpOpen Op = "open"
	// OpFetch reads documents.
	OpFetch Op = "fetch"
	// OpFind looks for documents.
	OpFind Op = "find"
	// OpCheck asks whether the session can be used.
	OpCheck Op = "check"
)

// Call is one call of a provider that ended.
type Call struct {
	// Provider is its name, and Service the one of its services that the store names, where it has several.
	Provider, Service string
	Op                Op
	// Succeeded, Missing and Failed count the documents of a fetch, and the call itself for everything else. The backend has
	// answered that it does not have what is missing.
	Succeeded, Missing, Failed int
	// Batched counts those of a fetch of several from a backend that answers several in one request, and Ahead those that
	// nobody had asked for yet.
	Batched, Ahead int
	Took           time.Duration
}

// Answer is how the documents of one request were come by.
type Answer struct {
	// Provider is the name of the store's.
	Provider string
	// Fetched were asked for, Joined were being asked for by another request, Reused had been read a short while before.
	Fetched, Joined, Reused int
}

// Observer is told what is asked of backends, to make metrics of it. It is safe for concurrent use.
type Observer interface {
	Called(c Call)
	Answered(a Answer)
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Called(Call)     {}
func (nobody) Answered(Answer) {}

func (p *Pool) called(s Store, op Op, started time.Time, err error) {
	c := Call{Provider: s.Provider.Name(), Service: serviceOf(s.Config.Spec), Op: op, Took: time.Since(started)}
	c.count(err)
	p.observer.Called(c)
}

func (p *Pool) fetched(s Store, started time.Time, f *flight, asked int, results []providers.Result, err error) {
	c := Call{Provider: s.Provider.Name(), Service: serviceOf(s.Config.Spec), Op: OpFetch, Took: time.Since(started)}
	if err == nil {
		for _, r := range results {
			c.count(r.Err)
		}
	}
	c.Failed = max(0, asked-c.Succeeded-c.Missing)
	if f.batch > 1 && asked > 1 {
		c.Batched, c.Ahead = asked, max(0, asked-len(f.refs)) // what is asked for again is not ahead
	}
	p.observer.Called(c)
}

func (c *Call) count(err error) {
	switch {
	case err == nil:
		c.Succeeded++
	case errors.Is(err, providers.ErrNotFound):
		c.Missing++
	default:
		c.Failed++
	}
}

func (p *Pool) answered(s Store, t taken) {
	p.observer.Answered(Answer{Provider: s.Provider.Name(), Reused: len(t.have), Fetched: t.asked, Joined: len(t.waits) - t.asked})
}
