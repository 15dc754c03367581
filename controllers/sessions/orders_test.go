package sessions

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// sessionOf returns the session of a store.
func sessionOf(p *Pool, s Store) *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.entries[key{identity: s.identity()}]
}

// afterAnOutageBegan has a user ask for keys in a call that goes on for more than a second, another find the backend down that begins to be
// in it, and the call end: that is no news.
func afterAnOutageBegan(t *testing.T, b *backend, keys []string, begins func(*Pool, Store)) (*Pool, *listener, Store) {
	t.Helper()
	p := running(t, cluster())
	l := listen(p)
	s := storeOf(b, "team", "s", 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.Fetch(t.Context(), request(s, "team", keys...))
	}()
	time.Sleep(time.Second)
	begins(p, s)
	failing(t, p, s, "b")
	<-ended
	synctest.Wait()
	if got := l.drain(); len(got) != 0 {
		t.Errorf("news in the outage: %+v", got)
	}
	return p, l, s
}

// A call in several portions goes on after the first was answered, while the backend goes down.
func TestAnAnswerOfBeforeAnOutageDoesNotEndItWhenItsCallEndsLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		b := &backend{}
		b.fetch = func(ctx context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if len(refs) == 1 && refs[0].Key == "later" {
				<-ctx.Done()
			}
			if is.Load() {
				return nil, providers.Errorf(providers.ErrUnavailable, "down")
			}
			return answer(id, refs), nil
		}
		p, l, s := afterAnOutageBegan(t, b, append(keysFrom(0, portionOf(1)), "later"), func(*Pool, Store) { is.Store(true) })
		failing(t, p, s, "c")
		is.Store(false)
		l.recovered(t)
	})
}

func TestACallThatWasAnsweredBeforeAnOutageDoesNotCountAsOneThatFailedInIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, b := running(t, cluster()), &backend{}
		s := storeOf(b, "team", "s", 1)
		mustFetch(t, p, request(s, "team", "a"))
		e := sessionOf(p, s)
		before, broken := callOf(t, e, "before"), callOf(t, e, "broken")
		hears(before)
		time.Sleep(time.Second)
		broken.err = providers.Errorf(providers.ErrUnavailable, "down")
		for _, tc := range []struct {
			f    *flight
			down bool
		}{{broken, true}, {before, false}} {
			if _, down := e.kept.land(tc.f); down != tc.down || !e.kept.isDown() {
				t.Errorf("%v has failed because the backend is down: %t; it is down: %t", tc.f.refs, down, e.kept.isDown())
			}
		}
	})
}

// callOf is a call of a session for a document, which nobody makes, and hears lets it be answered.
func callOf(t *testing.T, e *entry, key string) *flight {
	t.Helper()
	now := time.Now()
	taken, err := e.kept.take(Request{}, []question{{ref: providers.Ref{Key: key}}}, now, now.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return taken.own
}

func hears(f *flight) {
	results := answer("none", []providers.Ref{f.refs[0].ref})
	f.results = map[question]providers.Result{f.refs[0]: results[0]}
	f.hear(results, nil)
}

// What a session is asked when its successor finds the backend down says nothing of the successor, which is asked in vain yet.
func TestASessionThatWasReplacedDoesNotEndTheOutageOfItsSuccessor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		b := &backend{}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if refs[0].Key == "slow" {
				time.Sleep(10 * time.Second)
			} else if is.Load() {
				return nil, providers.Errorf(providers.ErrUnavailable, "down")
			}
			return answer(id, refs), nil
		}
		_, l, _ := afterAnOutageBegan(t, b, []string{"slow"}, func(p *Pool, s Store) {
			p.retire(sessionOf(p, s))
			is.Store(true)
		})
		is.Store(false)
		l.recovered(t)
	})
}

// TestADocumentThatAloneCannotBeReadBeginsNoOutageAfterTheOneThatItWasToFindTheEndOf: a session that was opened in an outage is asked for
// it by the pool, and for another by a user, who is first to have an answer.
func TestADocumentThatAloneCannotBeReadBeginsNoOutageAfterTheOneThatItWasToFindTheEndOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		is.Store(true)
		b := &backend{}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			switch {
			case is.Load():
				return nil, providers.Errorf(providers.ErrUnavailable, "down")
			case refs[0].Key == "broken":
				time.Sleep(time.Second)
				return []providers.Result{{Err: providers.Errorf(providers.ErrUnavailable, "internal error")}}, nil
			default:
				return answer(id, refs), nil
			}
		}
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		failing(t, p, s, "broken")
		p.retire(sessionOf(p, s))
		is.Store(false)
		for calls := b.fetches.Load(); b.fetches.Load() == calls; {
			time.Sleep(time.Millisecond)
		}
		mustFetch(t, p, request(s, "team", "a"))
		synctest.Wait()
		if got := l.drain(); len(got) != 1 || !got[0].Recovered {
			t.Errorf("news %+v, want that the backend has recovered", got)
		}
		time.Sleep(time.Second + time.Millisecond)
		mustFetch(t, p, request(s, "team", "b"))
	})
}

// Of two calls that end at once one was not answered and one was. What was not is said of the backend last.
func TestWhoWasToldOfAnOutageThatIsOverIsToldThatItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if refs[0].Key == "broken" {
				return nil, providers.Errorf(providers.ErrUnavailable, "internal error")
			}
			return answer(id, refs), nil
		}
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		mustFetch(t, p, request(s, "team", "a"))
		e := sessionOf(p, s)
		broken, other := callOf(t, e, "broken"), callOf(t, e, "other")
		broken.err = providers.Errorf(providers.ErrUnavailable, "internal error")
		hears(other)
		_, down := e.kept.land(broken)
		p.landed(t.Context(), e, other)
		p.announce(t.Context(), e, broken, nil, down)
		calls := b.fetches.Load()
		time.Sleep(10 * time.Second)
		if more := b.fetches.Load() - calls; more > 2 {
			t.Errorf("%d calls in ten seconds, though the backend is up", more)
		}
		if got := l.drain(); len(got) != 1 || !got[0].Recovered {
			t.Errorf("news %+v, want that the backend has recovered", got)
		}
	})
}

func TestAnOutageOfASearchEndsWhenItFindsSomething(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		is.Store(true)
		b := &searchable{backend: &backend{}}
		b.find = func(context.Context, string, providers.Query) ([]providers.Found, error) {
			if is.Load() {
				return nil, providers.Errorf(providers.ErrUnavailable, "down")
			}
			return nil, nil
		}
		p := running(t, cluster())
		l := listen(p)
		f := finding(b, "team", "team", providers.Query{})
		if _, err := p.Find(t.Context(), f); err == nil {
			t.Error("a backend that is down answered")
		}
		is.Store(false)
		l.recovered(t)
		foundBy(t, p, f)
	})
}
