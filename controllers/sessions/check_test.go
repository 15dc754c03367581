package sessions

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
					if _, err := p.Check(t.Context(), s); !errors.Is(err, providers.ErrUnavailable) {
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
				if _, err := p.Check(t.Context(), s); err == nil {
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
