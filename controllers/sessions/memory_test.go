package sessions

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// TestWhatNobodyAsksForAnyMoreIsForgotten lets objects come and go for more than a day, of which each reads another document,
// looks for one, or asks for what the backend fails at, while one stays that reads once in two hours.
func TestWhatNobodyAsksForAnyMoreIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var rotated atomic.Bool
		b := &backend{}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			out := answer(id, refs)
			for i, ref := range refs {
				switch {
				case strings.HasPrefix(ref.Key, "bad"):
					return nil, providers.Errorf(providers.ErrUnavailable, "internal error")
				case ref.Key == "steady" && rotated.Load():
					out[i].Document = text("new")
				}
			}
			return out, nil
		}
		finder := &searchable{backend: b}
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		s.Provider = finder
		steady := request(s, "team", "steady")
		steady.Interval = 2 * time.Hour
		const objects, tick = 100_000, time.Second
		for i := range objects {
			name := fmt.Sprintf("object-%d", i)
			if i%int(steady.Interval/tick) == 0 {
				mustFetch(t, p, steady)
			}
			switch i % 50 {
			case 0:
				foundBy(t, p, Finding{Store: s, Namespace: "team", Interval: time.Minute, Query: providers.Query{Name: regexp.MustCompile(name)}})
			case 1: // a failure that ends when another document can be read
				for _, key := range []string{"bad-" + name, name} {
					req := request(s, "team", key)
					req.Interval = time.Minute
					if results, err := p.Fetch(t.Context(), req); err == nil {
						t.Fatalf("key %s: %v", key, results)
					}
				}
				time.Sleep(9 * time.Second)
			default:
				req := request(s, "team", name)
				req.Interval = time.Minute
				mustFetch(t, p, req)
			}
			time.Sleep(tick)
		}
		for key, e := range p.entries {
			k := &e.kept
			t.Logf("session %v knows of %d questions, %d searches and %d failures, and has %d documents",
				key, len(k.known), len(k.matched), len(k.breaker.bad), len(k.shelf.docs))
			if len(k.known) > 1000 || len(k.matched) > 1000 || len(k.breaker.bad) > 1000 || len(k.shelf.docs) > 1000 {
				t.Error("it remembers what nobody has asked for in a quarter of an hour")
			}
		}
		if b.opens.Load() != 1 {
			t.Errorf("%d sessions: one was used all the time", b.opens.Load())
		}
		l.drain()
		rotated.Store(true)
		mustFetch(t, p, request(s, "team", "steady"))
		synctest.Wait()
		if got := l.drain(); len(got) != 1 || len(got[0].Changed) != 1 || got[0].Changed[0].Key != "steady" {
			t.Errorf("news %+v, want that what is read each two hours has changed", got)
		}
	})
}

func TestThatAStoreIsUsedByEachNamespaceForItselfIsForgottenWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		p := running(t, cluster())
		for i := range 100 {
			store := storeOf(b, "", fmt.Sprintf("s-%d", i), 1)
			store.Provider = local{b}
			mustFetch(t, p, request(store, "team", "k"))
			switch i % 2 {
			case 0:
				p.Forget(store.UID)
				mustFetch(t, p, request(store, "team", "k")) // by somebody who has not heard that it is gone
			default: // nobody says that it is gone
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Hour)
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.referent) > 0 {
			t.Errorf("it remembers %d stores that are gone", len(p.referent))
		}
	})
}
