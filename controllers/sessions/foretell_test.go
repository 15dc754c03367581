package sessions

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/providers"
)

// next is an object that was read before the pool was there, and asks for the keys after a time.
func next(s Store, after time.Duration, keys ...string) Request {
	req := hourly(s, keys...)
	req.Next = time.Now().Add(after)
	return req
}

func TestWhatWasReadBeforeARestartFillsTheRequestsAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		pinned := next(s, 30*time.Second, "pinned", "labels", "soon")
		pinned.Refs[0].Version, pinned.Refs[1].Metadata, pinned.Refs[2].Property = "1", true, "password"
		p.Foretell(pinned)
		p.Foretell(next(s, 20*time.Second, "sooner", "soon"))
		p.Foretell(next(s, 50*time.Second, "soon")) // who comes later changes nothing
		p.Foretell(next(s, 30*time.Minute, "later"))
		synctest.Wait()
		if calls := b.drain(); len(calls) > 0 || b.opens.Load() > 0 || len(p.entries) > 0 {
			t.Errorf("%d sessions and the calls %v, before anybody has asked", b.opens.Load(), calls)
		}
		mustFetch(t, p, hourly(s, "own"))
		time.Sleep(20 * time.Second)
		mustFetch(t, p, hourly(s, "sooner", "soon"))
		p.Foretell(next(s, 10*time.Second, "soon")) // it is there
		mustFetch(t, p, hourly(s, "another"))
		if diff := cmp.Diff([][]string{{"own", "soon", "sooner"}, {"another"}}, b.drain()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNothingIsRememberedThatNoRequestIsFilledWith(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		size   int
		change func(*Request)
		want   int
	}{
		"what is read together":       {20, func(*Request) {}, 1},
		"each document is a request":  {1, func(*Request) {}, 0},
		"a provider that cannot":      {20, func(r *Request) { r.Store.Provider = r.Store.Provider.(*batching).backend }, 0},
		"it reuses nothing":           {20, func(r *Request) { r.MaxAge = 0 }, 0},
		"it is not known when":        {20, func(r *Request) { r.Next = time.Time{} }, 0},
		"it should have come already": {20, func(r *Request) { r.Next = time.Now().Add(-time.Second) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := running(t, cluster())
			req := next(batchStore(newBatching(tc.size, 0), "team", "s"), time.Hour, "a")
			tc.change(&req)
			p.Foretell(req)
			if len(p.forecasts) != tc.want {
				t.Errorf("%d forecasts, want %d", len(p.forecasts), tc.want)
			}
			p.mu.Lock()
			for _, f := range p.forecasts {
				if !f.sweep(time.Now().Add(2 * time.Hour)) {
					t.Error("it is remembered for ever")
				}
			}
			p.mu.Unlock()
			p.sweep(time.Now())
			if len(p.forecasts) > 0 {
				t.Errorf("%d forecasts are left of what is over", len(p.forecasts))
			}
		})
	}
}

// Before the first session nobody knows whether a store takes its credentials from the namespaces that use it, and so with whose
// requests a document may be read.
func TestWhatIsForetoldBeforeTheFirstSessionIsReadForTheNamespaceThatWillAsk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		b.credential = providers.ObjectRef{Name: "login", Key: "token"}
		p := running(t, cluster(credentialSecret("team", "login", "ours")))
		s := batchStore(b, "", "s")
		p.Foretell(next(s, 30*time.Second, "a"))
		others := next(s, 30*time.Second, "others")
		others.Namespace = "others"
		p.Foretell(others)
		mustFetch(t, p, hourly(s, "own"))
		p.Foretell(next(s, 30*time.Second, "b"))
		time.Sleep(lookEvery)
		mustFetch(t, p, hourly(s, "another"))
		if diff := cmp.Diff([][]string{{"own", "a"}, {"another", "b"}}, b.drain()); diff != "" {
			t.Error(diff)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if f := p.forecasts[key{identity: s.identity()}]; f != nil {
			t.Errorf("%d documents are expected of a session that nobody has", len(f.expected))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		p := running(t, cluster())
		s := batchStore(b, "", "s")
		p.Foretell(next(s, 30*time.Second, "a"))
		others := next(s, 20*time.Second, "others", "a")
		others.Namespace = "others"
		p.Foretell(others)
		mustFetch(t, p, hourly(s, "own"))
		p.Foretell(next(s, 30*time.Second, "b"))
		time.Sleep(lookEvery)
		mustFetch(t, p, hourly(s, "another"))
		if diff := cmp.Diff([][]string{{"own", "a", "others"}, {"another", "b"}}, b.drain()); diff != "" {
			t.Errorf("a store of its own credentials: %s", diff)
		}
		if len(p.forecasts) != 1 {
			t.Errorf("%d forecasts of one session", len(p.forecasts))
		}
	})
}

func TestWhatIsBeingFetchedAheadIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, time.Second)
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		mustFetch(t, p, hourly(s, "a"))
		time.Sleep(time.Hour - 30*time.Second)
		b.drain()
		asks := []Request{hourly(s, "own"), hourly(s, "a")}
		for _, err := range atOnce(t, p, asks...) {
			if err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff([][]string{{"own", "a"}}, b.drain()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatIsForetoldCountsUnlessSomebodyIsExpectedSooner(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct{ before, foretold, want time.Duration }{
		"another comes later":           {20 * time.Minute, 10 * time.Minute, 10 * time.Minute},
		"another comes sooner":          {5 * time.Minute, 10 * time.Minute, 5 * time.Minute},
		"another should have come now":  {-MaxReuse, 10 * time.Minute, -MaxReuse},
		"another does not come anymore": {-MaxReuse - 1, 10 * time.Minute, 10 * time.Minute},
	} {
		var f forecast
		refs := []providers.Ref{{Key: "k", Property: "p"}}
		f.expect(refs, now.Add(-time.Hour), now.Add(tc.before), time.Minute)
		f.expect(refs, now, now.Add(tc.foretold), time.Minute)
		if got := f.expected[subject{key: "k"}].due.Sub(now); got != tc.want {
			t.Errorf("%s: expected in %s, want %s", name, got, tc.want)
		}
	}
}
