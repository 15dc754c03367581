package sessions

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/providers"
)

func TestAStoreThatIsDownIsCheckedUntilItIsUp(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]error{"up": nil, "denied": providers.Errorf(providers.ErrDenied, "no")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var down atomic.Bool
				b := &backend{open: func() error {
					if down.Load() {
						return providers.Errorf(providers.ErrUnavailable, "down")
					}
					return then
				}}
				p := running(t, cluster())
				l := listen(p)
				s := storeOf(b, "team", "s", 1)
				down.Store(true)
				for range 3 {
					if _, err := p.Check(t.Context(), s, 0); !errors.Is(err, providers.ErrUnavailable) {
						t.Fatal(err)
					}
				}
				const outage = 10 * time.Minute
				time.Sleep(outage)
				if opens := b.opens.Load(); opens > 3+manyFailures+int64(outage/latePause) {
					t.Errorf("%d attempts in an outage of %s", opens, outage)
				}
				if got := l.drain(); len(got) != 0 {
					t.Errorf("news while the backend is down: %+v", got)
				}
				down.Store(false)
				time.Sleep(maxCheckPause)
				synctest.Wait()
				if got := l.drain(); len(got) != 1 || !got[0].Recovered || got[0].Store.UID != s.UID {
					t.Errorf("news %+v, want that the store can be reached", got)
				}
				opens := b.opens.Load()
				time.Sleep(outage)
				if more := b.opens.Load() - opens; more != 0 {
					t.Errorf("%d attempts after that", more)
				}
			})
		})
	}
}

func TestAStoreThatIsGoneOrRefusesIsNotChecked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		change func(*Pool, Store)
	}{
		"refused": {providers.Errorf(providers.ErrDenied, "no"), func(*Pool, Store) {}},
		"gone":    {providers.Errorf(providers.ErrUnavailable, "down"), func(p *Pool, s Store) { p.Forget(s.UID) }},
		"reconfigured": {providers.Errorf(providers.ErrUnavailable, "down"), func(p *Pool, s Store) {
			p.mu.Lock()
			defer p.mu.Unlock()
			s.Generation++
			p.dropOlder(s.identity())
		}},
		"shut down": {providers.Errorf(providers.ErrUnavailable, "down"), func(p *Pool, _ Store) { p.close() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{open: func() error { return tc.err }}
				p := running(t, cluster())
				s := storeOf(b, "team", "s", 1)
				if _, err := p.Check(t.Context(), s, 0); err == nil {
					t.Fatal("it can be used")
				}
				tc.change(p, s)
				opens := b.opens.Load()
				time.Sleep(time.Hour)
				if more := b.opens.Load() - opens; more != 0 {
					t.Errorf("%d attempts, want none", more)
				}
			})
		})
	}
}

func TestAStoreThatLogsInAndDoesNotAnswerIsCheckedUntilItDoes(t *testing.T) {
	t.Parallel()
	down, denied := providers.Errorf(providers.ErrUnavailable, "down"), providers.Errorf(providers.ErrDenied, "no")
	for name, then := range map[string]error{"up": nil, "denied": denied} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{}
				p := running(t, cluster())
				l := listen(p)
				s := storeOf(b, "team", "s", 1)
				var up atomic.Bool
				var checks atomic.Int64
				s.Provider = checking{b, func(context.Context) error {
					checks.Add(1)
					if up.Load() {
						return then
					}
					return down
				}}
				for range 2 { // each outage
					up.Store(false)
					for range 3 {
						if _, err := p.Check(t.Context(), s, 0); !errors.Is(err, providers.ErrUnavailable) {
							t.Fatal(err)
						}
					}
					checks.Store(0)
					time.Sleep(10 * time.Minute)
					if n := checks.Load(); n < 55 || n > 65 {
						t.Errorf("%d checks in an outage of ten minutes", n)
					}
					if got := l.drain(); len(got) != 0 {
						t.Errorf("news while it does not answer: %+v", got)
					}
					up.Store(true)
					l.recoveredIn(t, maxCheckPause)
					checks.Store(0)
					time.Sleep(10 * time.Minute)
					if n := checks.Load(); n != 0 {
						t.Errorf("%d checks after that", n)
					}
				}
			})
		})
	}
}

func TestAStoreThatDoesNotAnswerIsNotCheckedOnceNobodyWantsToKnow(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(*testing.T, *Pool, Store){
		"it is gone":         func(_ *testing.T, p *Pool, s Store) { p.Forget(s.UID) },
		"the pool is closed": func(_ *testing.T, p *Pool, _ Store) { p.close() },
		"it is configured anew": func(t *testing.T, p *Pool, s Store) {
			t.Helper()
			s.Generation++
			mustFetch(t, p, request(s, "team", "a"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{}
				p := running(t, cluster())
				l := listen(p)
				s := storeOf(b, "team", "s", 1)
				var checks atomic.Int64
				s.Provider = checking{b, func(context.Context) error {
					checks.Add(1)
					return providers.Errorf(providers.ErrUnavailable, "down")
				}}
				if _, err := p.Check(t.Context(), s, 0); !errors.Is(err, providers.ErrUnavailable) {
					t.Fatal(err)
				}
				ends(t, p, s)
				checks.Store(0)
				time.Sleep(time.Hour)
				if n, news := checks.Load(), l.drain(); n != 0 || len(news) != 0 {
					t.Errorf("%d checks, news %+v", n, news)
				}
			})
		})
	}
}

func TestACheckSaysWhatIsKnownOfAStore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		says       error
		unverified string
		// logins are those of two checks.
		logins int64
		// unasked is set for a backend that is not asked.
		unasked bool
	}{
		"it can be used":       {nil, "", 1, false},
		"nobody can tell":      {providers.Errorf(providers.ErrUnverified, "no right to ask"), "no right to ask", 1, false},
		"it cannot be used":    {providers.Errorf(providers.ErrDenied, "no"), "", 2, false},
		"it does not exist":    {providers.Errorf(providers.ErrInvalid, "no such store"), "", 1, false},
		"it has no such check": {nil, "", 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
				c := cluster(credentialSecret("team", "cred", "v"))
				p := running(t, c)
				s := storeOf(b, "team", "s", 1)
				if !tc.unasked {
					s.Provider = checking{b, func(context.Context) error { return tc.says }}
				}
				for range 2 {
					checked, err := p.Check(t.Context(), s, 0)
					if tc.says != nil && tc.unverified == "" {
						if !errors.Is(err, tc.says) {
							t.Errorf("error %v", err)
						}
						continue
					}
					lent := map[watches.Object]watches.Version{{Kind: watches.Secret, Namespace: "team", Name: "cred"}: "999"}
					if err != nil || checked.Unverified != tc.unverified || checked.Pushes || !maps.Equal(checked.Lent, lent) {
						t.Errorf("%+v, error %v", checked, err)
					}
				}
				p.Forget(s.UID)
				if synctest.Wait(); b.opens.Load() != tc.logins || b.closes.Load() != tc.logins {
					t.Errorf("%d logins, %d of them ended, want %d", b.opens.Load(), b.closes.Load(), tc.logins)
				}
			})
		})
	}
}

// A check is made by whoever has put something right, and does not wait until it is tried again anyway.
func TestACheckLogsInAtOnceWhereALoginWasRefusedAMomentAgo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var right atomic.Bool
		b := &backend{open: func() error {
			if right.Load() {
				return nil
			}
			return providers.Errorf(providers.ErrDenied, "wrong password")
		}}
		p := running(t, cluster())
		s := storeOf(b, "team", "s", 1)
		failing(t, p, s, "a")
		right.Store(true)
		failing(t, p, s, "a") // who only reads waits
		if _, err := p.Check(t.Context(), s, 0); err != nil || b.opens.Load() != 2 {
			t.Errorf("%d logins, %v", b.opens.Load(), err)
		}
		mustFetch(t, p, request(s, "team", "a"))
	})
}
