package sessions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

func TestABackendIsNotAskedAnyMoreForAStoreThatWentWhileACallFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) {
			time.Sleep(time.Second)
			return nil, providers.Errorf(providers.ErrUnavailable, "down")
		}}
		p := running(t, cluster())
		s := storeOf(b, "team", "s", 1)
		go failing(t, p, s, "a")
		time.Sleep(500 * time.Millisecond)
		p.Forget(s.UID)
		time.Sleep(time.Minute)
		if opens, asked := b.opens.Load(), b.fetches.Load(); opens != 1 || asked != 1 {
			t.Errorf("%d logins and %d calls, want those of before", opens, asked)
		}
	})
}

// While many are down the pool takes its turn, and somebody may ask before it does.
func TestWhatSomebodyIsWaitingForInAnOutageIsNotAskedTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		is.Store(true)
		others, b := &backend{}, &backend{}
		down(others, &is)
		var takes, under, most atomic.Int64
		b.fetch = func(context.Context, string, []providers.Ref) ([]providers.Result, error) {
			most.Store(max(most.Load(), under.Add(1)))
			defer under.Add(-1)
			time.Sleep(time.Duration(takes.Load()))
			return nil, providers.Errorf(providers.ErrUnavailable, "down")
		}
		p := running(t, cluster())
		for i := range 40 {
			failing(t, p, storeOf(others, "team", fmt.Sprint("other-", i), 1), "a")
		}
		s := storeOf(b, "team", "s", 1)
		failing(t, p, s, "a")
		time.Sleep(minPause)
		takes.Store(int64(10 * time.Second))
		before := b.fetches.Load()
		failing(t, p, s, "a")
		if n := b.fetches.Load() - before; n != 1 || most.Load() != 1 {
			t.Errorf("%d calls, %d at once, while somebody waited for one", n, most.Load())
		}
	})
}

func TestASessionThatCannotBeOpenedInAnOutageIsAskedNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		seen := &counts{}
		b := &backend{expires: 10 * time.Second}
		down(b, &is)
		b.open = func() error {
			if is.Load() {
				return providers.Errorf(providers.ErrUnavailable, "down")
			}
			return nil
		}
		p := running(t, cluster())
		p.observer = seen
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		mustFetch(t, p, request(s, "team", "a"))
		is.Store(true)
		failing(t, p, s, "b")
		time.Sleep(30 * time.Second)
		if b.opens.Load() < 10 {
			t.Fatalf("%d logins in half a minute: the session did not end", b.opens.Load())
		}
		seen.mu.Lock()
		calls := len(seen.seen)
		seen.mu.Unlock()
		if asked := b.fetches.Load(); int64(calls) != asked {
			t.Errorf("%d calls are counted, and the backend had %d", calls, asked)
		}
		is.Store(false)
		time.Sleep(maxPause / 4) // the pause after a login that failed is so much longer
		l.recovered(t)
	})
}

// checking is a backend whose sessions can be checked.
type checking struct {
	*backend
	check func(context.Context) error
}

func (c checking) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	s, err := c.backend.Open(ctx, cfg, env)
	return checkedSession{s, c.check}, err
}

// upUnless is a check that fails while the backend is down.
func upUnless(is *atomic.Bool) func(context.Context) error {
	return func(context.Context) error {
		if is.Load() {
			return providers.Errorf(providers.ErrUnavailable, "down")
		}
		return nil
	}
}

type checkedSession struct {
	providers.Session
	check func(context.Context) error
}

func (s checkedSession) Unwrap() providers.Session       { return s.Session }
func (s checkedSession) Check(ctx context.Context) error { return s.check(ctx) }

func TestAnOutageEndsWhenALoginIsRefusedAfterThatWhichIsToBeAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var refuses atomic.Bool
		p, l, s, is := sometimes(t, &backend{expires: 2 * time.Minute, open: func() error {
			if refuses.Load() {
				return providers.Errorf(providers.ErrDenied, "no")
			}
			return nil
		}})
		is.Store(true)
		failing(t, p, s, "a")
		refuses.Store(true)
		l.recoveredIn(t, 3*time.Minute)
	})
}

func TestTheEndOfAnOutageIsNewsThoughTheStoreWasFoundDeniedInIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		b := &backend{}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if is.Load() {
				time.Sleep(time.Second)
				return nil, providers.Errorf(providers.ErrUnavailable, "down")
			}
			return answer(id, refs), nil
		}
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		s.Provider = checking{b, func(context.Context) error { return providers.Errorf(providers.ErrDenied, "denied") }}
		is.Store(true)
		failing(t, p, s, "a")
		for range 20 { // while the pool asks, and while it waits
			time.Sleep(700 * time.Millisecond)
			if _, err := p.Check(t.Context(), s, 0); !errors.Is(err, providers.ErrDenied) {
				t.Fatalf("the check: %v", err)
			}
		}
		is.Store(false)
		time.Sleep(time.Second) // a call is under way
		l.recovered(t)
	})
}

func TestAnOutageThatComesAfterOneThatNobodyFollowedToItsEndIsFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		p, l, s, is := sometimes(t, b)
		is.Store(true)
		failing(t, p, s, "a")
		time.Sleep(p.limits.Idle + time.Minute)
		calls := b.fetches.Load()
		time.Sleep(time.Hour)
		if b.fetches.Load() != calls {
			t.Fatal("it is asked though nobody wants anything")
		}
		failing(t, p, s, "a")
		time.Sleep(30 * time.Second)
		is.Store(false)
		l.recovered(t)
	})
}

func TestASessionThatWasProbedIsNotEndedWhileItIsUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		b := &backend{}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if is.Load() {
				return nil, providers.Errorf(providers.ErrUnavailable, "down")
			}
			if slices.ContainsFunc(refs, func(ref providers.Ref) bool { return ref.Key == "slow" }) {
				time.Sleep(10 * time.Second)
			}
			return answer(id, refs), nil
		}
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		is.Store(true)
		failing(t, p, s, "a")
		time.Sleep(30 * time.Second)
		is.Store(false)
		l.recovered(t)
		go func() {
			if _, err := p.Fetch(t.Context(), request(s, "team", "slow")); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(time.Second)
		p.Forget(s.UID)
		time.Sleep(5 * time.Second)
		if b.closes.Load() != 0 {
			t.Error("it was ended while somebody waited for its answer")
		}
		time.Sleep(10 * time.Second)
		if b.closes.Load() != 1 {
			t.Error("it was not ended when nobody used it any more")
		}
	})
}

// Two backends that are down for long are each asked once in about five seconds, and one that comes back says that the other may have.
func TestTheEndOfOneOutageIsAHintThatAnotherIsOver(t *testing.T) {
	t.Parallel()
	for i := range 5 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{}
				p, l, one, is := sometimes(t, b)
				is.Store(true)
				failing(t, p, one, "a")
				time.Sleep(time.Duration(i) * time.Second)
				failing(t, p, storeOf(b, "team", "other", 1), "a")
				time.Sleep(2 * time.Minute)
				is.Store(false)
				var first time.Time
				for recovered := 0; recovered < 2; time.Sleep(10 * time.Millisecond) {
					recovered += len(l.drain())
					if recovered == 1 && first.IsZero() {
						first = time.Now()
					}
				}
				if later := time.Since(first); !first.IsZero() && later > minPause+2*hintShare+20*time.Millisecond {
					t.Errorf("the other was found to be up %s later", later)
				}
			})
		})
	}
}
