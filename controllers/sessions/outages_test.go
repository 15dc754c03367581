package sessions

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/providers"
)

// down makes the reads of a backend fail while it is set.
func down(b *backend, is *atomic.Bool) {
	b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
		if is.Load() {
			return nil, providers.Errorf(providers.ErrUnavailable, "down")
		}
		return answer(id, refs), nil
	}
}

// failing asks for a key of a backend that is down.
func failing(t *testing.T, p *Pool, s Store, key string) {
	t.Helper()
	if _, err := p.Fetch(t.Context(), request(s, "team", key)); err == nil {
		t.Error("a backend that is down answered")
	}
}

// sometimes returns a store whose backend cannot be read while is is set, and a pool for it with a listener.
func sometimes(t *testing.T, b *backend) (p *Pool, l *listener, s Store, is *atomic.Bool) {
	t.Helper()
	is = &atomic.Bool{}
	down(b, is)
	p = running(t, cluster())
	return p, listen(p), storeOf(b, "team", "s", 1), is
}

func TestTheEndOfAShortOutageIsKnownWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	for _, outage := range []time.Duration{700 * time.Millisecond, 5 * time.Second, 31 * time.Second} {
		t.Run(outage.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{}
				p, l, s, is := sometimes(t, b)
				mustFetch(t, p, request(s, "team", "a"))
				is.Store(true)
				failing(t, p, s, "b")
				time.Sleep(outage)
				calls := b.fetches.Load()
				if calls > 30 {
					t.Errorf("%d calls in an outage of %s", calls, outage)
				}
				is.Store(false)
				l.recovered(t)
			})
		})
	}
}

func TestADocumentThatAloneCannotBeReadKeepsNobodyFromTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if refs[0].Key == "broken" {
				return nil, providers.Errorf(providers.ErrUnavailable, "an internal error")
			}
			return answer(id, refs), nil
		}
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		failed := 0
		for i := range 600 { // a minute
			if i%5 == 0 {
				if _, err := p.Fetch(t.Context(), request(s, "team", "broken")); !errors.Is(err, providers.ErrUnavailable) {
					t.Fatalf("error %v", err)
				}
			}
			if _, err := p.Fetch(t.Context(), request(s, "team", fmt.Sprintf("k%d", i))); err != nil {
				failed++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if failed > 10 {
			t.Errorf("%d of 600 requests for other documents failed, want those of about the first half second", failed)
		}
		if got := l.drain(); len(got) != 1 || !got[0].Recovered {
			t.Errorf("%d news, want one: that the others can be read", len(got))
		}
	})
}

func TestADocumentThatAloneCannotBeReadHidesNoOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		p, l, s, is := sometimes(t, b)
		for range 3 {
			is.Store(true)
			for _, key := range []string{"a", "b", "a", "b"} {
				failing(t, p, s, key)
			}
			time.Sleep(10 * time.Second)
			if calls := b.fetches.Swap(0); calls > 12 {
				t.Errorf("%d calls in an outage of 10 s", calls)
			}
			is.Store(false)
			l.recovered(t)
			mustFetch(t, p, request(s, "team", "a", "b"))
			time.Sleep(time.Minute + time.Second)
		}
	})
}

// TestWhateverBecomesOfTheSessionInAnOutageItsEndIsNews: the login that is up when the backend goes down ends, is replaced or
// is refused before the backend comes back.
func TestWhateverBecomesOfTheSessionInAnOutageItsEndIsNews(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		// logins is set when the backend does not even take a login in the outage, and meanwhile is what happens in it.
		logins    bool
		meanwhile func(t *testing.T, p *Pool, c client.WithWatch, s Store)
	}{
		"its login ends": {logins: true, meanwhile: func(*testing.T, *Pool, client.WithWatch, Store) {}},
		"its login ends and another is possible, though nothing can be read": {meanwhile: func(*testing.T, *Pool, client.WithWatch, Store) {}},
		"its credential is replaced": {logins: true, meanwhile: func(t *testing.T, p *Pool, c client.WithWatch, s Store) {
			if err := c.Update(t.Context(), credentialSecret("team", "cred", "new")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
			_, _ = p.Fetch(t.Context(), request(s, "team", "b")) // which compares it
		}},
		"nobody asks for a while": {logins: true, meanwhile: func(_ *testing.T, p *Pool, _ client.WithWatch, _ Store) {
			time.Sleep(p.limits.Idle - 4*time.Minute)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var is atomic.Bool
				b := &backend{expires: 2 * time.Minute, credential: providers.ObjectRef{Name: "cred", Key: "token"}}
				down(b, &is)
				b.open = func() error {
					if tc.logins && is.Load() {
						return providers.Errorf(providers.ErrUnavailable, "down")
					}
					return nil
				}
				c := cluster(credentialSecret("team", "cred", "old"))
				p := running(t, c)
				l := listen(p)
				s := storeOf(b, "team", "s", 1)
				mustFetch(t, p, request(s, "team", "a"))
				is.Store(true)
				for range 4 { // the users, who try again later each time
					if _, err := p.Fetch(t.Context(), request(s, "team", "b")); !errors.Is(err, providers.ErrUnavailable) {
						t.Fatalf("error %v", err)
					}
					time.Sleep(time.Minute)
				}
				tc.meanwhile(t, p, c, s)
				if got := l.drain(); len(got) != 0 {
					t.Errorf("news in the outage: %+v", got)
				}
				began := b.opens.Load() + b.fetches.Load()
				time.Sleep(time.Minute)
				if n := b.opens.Load() + b.fetches.Load() - began; n < 8 || n > 40 {
					t.Errorf("the backend was asked %d times in a minute of a long outage", n)
				}
				is.Store(false)
				time.Sleep(latePause * 5 / 4)
				synctest.Wait()
				got := l.drain()
				if len(got) != 1 || !got[0].Recovered || got[0].Store.UID != s.UID {
					t.Errorf("news %+v, want that the backend has recovered", got)
				}
				mustFetch(t, p, request(s, "team", "b"))
			})
		})
	}
}

func TestAnOutageEndsForALoginThatIsRefusedAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var refuses atomic.Bool
		b := &backend{open: func() error {
			if refuses.Load() {
				return providers.Errorf(providers.ErrDenied, "no")
			}
			return providers.Errorf(providers.ErrUnavailable, "down")
		}}
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		failing(t, p, s, "a")
		time.Sleep(10 * time.Second)
		refuses.Store(true)
		l.recoveredIn(t, 3*time.Second)
		opens := b.opens.Load()
		time.Sleep(time.Hour)
		if more := b.opens.Load() - opens; more != 0 {
			t.Errorf("%d attempts after it was refused, though nobody asked", more)
		}
	})
}

// TestManyOutagesTogetherAreNoLoadOnTheBackendAndEndTogether lets one backend serve many stores, each with a session of its own.
func TestManyOutagesTogetherAreNoLoadOnTheBackendAndEndTogether(t *testing.T) {
	t.Parallel()
	const stores = 400
	for name, session := range map[string]bool{"with open sessions": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{}
				var is atomic.Bool
				is.Store(!session)
				down(b, &is)
				b.open = func() error {
					if is.Load() {
						return providers.Errorf(providers.ErrUnavailable, "down")
					}
					return nil
				}
				p := running(t, cluster())
				l := listen(p)
				for round := range 2 {
					for i := range stores {
						s := storeOf(b, "team", fmt.Sprintf("s-%d", i), 1)
						if _, err := p.Fetch(t.Context(), request(s, "team", fmt.Sprintf("k-%d", round))); (err == nil) != (session && round == 0) {
							t.Fatal(err)
						}
					}
					is.Store(true)
				}
				time.Sleep(time.Minute)
				before := b.fetches.Load() + b.opens.Load()
				time.Sleep(time.Minute)
				if n := b.fetches.Load() + b.opens.Load() - before; n > 60*int64(time.Second/askShare) {
					t.Errorf("%d attempts in a minute", n)
				}
				is.Store(false)
				const soon = 10 * time.Second
				time.Sleep(soon)
				synctest.Wait()
				recovered := map[string]int{}
				for _, n := range l.drain() {
					recovered[string(n.Store.UID)]++
				}
				if len(recovered) != stores {
					t.Errorf("%d of %d stores are known to be up after %s", len(recovered), stores, soon)
				}
			})
		})
	}
}

func TestABackendThatAsksForAnHourIsLeftAloneForFiveMinutes(t *testing.T) {
	t.Parallel()
	for name, login := range map[string]bool{"reads": false, "logins": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var is atomic.Bool
				is.Store(true)
				throttle := func() error {
					if is.Load() {
						return &providers.ThrottledError{After: time.Hour}
					}
					return nil
				}
				b := &backend{}
				if login {
					b.open = throttle
				} else {
					b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
						return answer(id, refs), throttle()
					}
				}
				p := running(t, cluster())
				l := listen(p)
				s, other := storeOf(b, "team", "s", 1), storeOf(&backend{}, "team", "other", 1)
				began := time.Now()
				for time.Since(began) < 29*time.Minute {
					var throttled *providers.ThrottledError
					if _, err := p.Fetch(t.Context(), request(s, "team", "a")); !errors.As(err, &throttled) {
						t.Fatalf("error %v", err)
					}
					if login {
						if _, err := p.Check(t.Context(), s, 0); !errors.As(err, &throttled) {
							t.Fatalf("check: %v", err)
						}
					}
					mustFetch(t, p, request(other, "team", "a"))
					time.Sleep(10 * time.Second)
				}
				asked := b.fetches.Load()
				if login {
					asked = b.opens.Load()
				}
				if asked < 5 || asked > 6 {
					t.Errorf("asked %d times in half an hour, want once in five minutes", asked)
				}
				is.Store(false)
				l.recoveredIn(t, MaxThrottle*5/4)
			})
		})
	}
}

func TestABackendThatFlapsIsAskedLittleAndItsUsersAreToldEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := &backend{}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if time.Since(began)/time.Second%2 == 1 {
				return nil, providers.Errorf(providers.ErrUnavailable, "down")
			}
			return answer(id, refs), nil
		}
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		failed, vain := 0, 0
		for i := range 600 { // a minute, in which ten new documents are wanted each second
			before := b.fetches.Load()
			if _, err := p.Fetch(t.Context(), request(s, "team", fmt.Sprintf("k%d", i))); err != nil {
				failed++
				vain += int(b.fetches.Load() - before)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if vain > 60*2 {
			t.Errorf("%d calls in vain", vain)
		}
		if failed > 600*3/4 {
			t.Errorf("%d of 600 requests failed though it is up half of the time", failed)
		}
		if news := len(l.drain()); news < 10 || news > 31 {
			t.Errorf("%d news in a minute", news)
		}
		time.Sleep(time.Minute)
		calls := b.fetches.Load()
		time.Sleep(time.Minute)
		if more := b.fetches.Load() - calls; more != 0 {
			t.Errorf("%d calls though nobody asks", more)
		}
	})
}

// TestABackendThatAnswersNobodyInTimeHoldsUpItsUsersOnce: each request to it takes until its deadline, and whoever waits is a
// worker that is not there for others.
func TestABackendThatAnswersNobodyInTimeHoldsUpItsUsersOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		is.Store(true)
		b := &backend{fetch: func(ctx context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if is.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answer(id, refs), nil
		}}
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		const workers = 10
		took := make(chan time.Duration, workers)
		ask := func(key string) {
			began := time.Now()
			if _, err := p.Fetch(t.Context(), request(s, "team", key)); !errors.Is(err, providers.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
			took <- time.Since(began)
		}
		for i := range workers {
			go ask(fmt.Sprintf("k%d", i))
		}
		for range workers {
			if waited := <-took; waited > p.limits.Timeout {
				t.Errorf("the first requests took %s", waited)
			}
		}
		held := time.Duration(0)
		for i := range 1000 { // ten minutes
			go ask(fmt.Sprintf("later-%d", i))
			held += <-took
			time.Sleep(600 * time.Millisecond)
		}
		if held > 2*p.limits.Timeout {
			t.Errorf("1000 later requests took %s together", held)
		}
		if calls := b.fetches.Load(); calls > workers+60 {
			t.Errorf("%d calls", calls)
		}
		is.Store(false)
		l.recoveredIn(t, p.limits.Timeout+latePause)
	})
}

func TestEverybodyIsToldTheSameOfAnOutageUntilSomethingElseIsWrong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sealed atomic.Bool
		b := &backend{fetch: func(_ context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
			if sealed.Load() {
				return nil, providers.Errorf(providers.ErrUnavailable, "key %s: sealed", refs[0].Key)
			}
			return nil, providers.Errorf(providers.ErrUnavailable, "key %s: down", refs[0].Key)
		}}
		p := running(t, cluster())
		s := storeOf(b, "team", "s", 1)
		told := func() map[string]bool {
			texts := map[string]bool{}
			for i := range 200 { // twenty seconds
				_, err := p.Fetch(t.Context(), request(s, "team", fmt.Sprintf("k%d", i)))
				texts[err.Error()] = true
				time.Sleep(100 * time.Millisecond)
			}
			return texts
		}
		if got := told(); len(got) != 1 {
			t.Errorf("users are told %v", got)
		}
		sealed.Store(true)
		time.Sleep(2*maxPause + time.Second)
		if got := told(); len(got) != 1 || !got["key k0: sealed"] {
			t.Errorf("when something else is wrong, users are told %v", got)
		}
	})
}
