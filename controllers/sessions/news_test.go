package sessions

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// listener keeps the news of a pool.
type listener struct {
	mu   sync.Mutex
	news []News
}

func listen(p *Pool) *listener {
	l := &listener{}
	p.Subscribe(func(n News) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.news = append(l.news, n)
	})
	return l
}

func (l *listener) drain() []News {
	l.mu.Lock()
	defer l.mu.Unlock()
	got := l.news
	l.news = nil
	return got
}

// recovered checks that the recovery of the backend is the one news within two seconds, which pass.
func (l *listener) recovered(t *testing.T) {
	t.Helper()
	l.recoveredIn(t, 2*time.Second)
}

func (l *listener) recoveredIn(t *testing.T, within time.Duration) {
	t.Helper()
	time.Sleep(within)
	synctest.Wait()
	if got := l.drain(); len(got) != 1 || !got[0].Recovered {
		t.Errorf("news %+v, want that the backend has recovered", got)
	}
}

func TestADocumentThatChangedIsNewsOnceAndAloneForItsIdentity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var round atomic.Int64
		b := &backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			out := answer(id, refs)
			if round.Load() > 0 && id == "a" {
				out[0].Document = text("new")
			}
			return out, nil
		}
		p := running(t, cluster(credentialSecret("a", "cred", "a"), credentialSecret("b", "cred", "b")))
		l := listen(p)
		s := storeOf(b, "", "s", 1)
		ask := func() {
			mustFetch(t, p, request(s, "a", "k", "other"))
			mustFetch(t, p, request(s, "b", "k", "other"))
			time.Sleep(2 * time.Minute) // no document is kept as long
			synctest.Wait()
		}
		ask()
		ask()
		if got := l.drain(); len(got) != 0 {
			t.Errorf("news though nothing changed: %+v", got)
		}
		round.Add(1)
		ask()
		ask()
		got := l.drain()
		if len(got) != 1 || got[0].Namespace != "a" || got[0].Recovered || len(got[0].Changed) != 1 || got[0].Changed[0].Key != "k" {
			t.Errorf("news %+v, want that k has changed for namespace a, once", got)
		}
	})
}

func TestABackendThatIsUpAgainIsNewsThoughNobodyAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		p, l, s, is := sometimes(t, b)
		mustFetch(t, p, request(s, "team", "a"))
		is.Store(true)
		failing(t, p, s, "b")
		const outage = 2 * time.Minute
		time.Sleep(outage)
		if calls := b.fetches.Load(); calls > 2+manyFailures+int64(outage/latePause)+4 {
			t.Errorf("%d calls in an outage of %s", calls, outage)
		}
		if got := l.drain(); len(got) != 0 {
			t.Errorf("news while the backend is down: %+v", got)
		}
		is.Store(false)
		l.recoveredIn(t, latePause+time.Millisecond)
		calls := b.fetches.Load()
		time.Sleep(outage)
		if more := b.fetches.Load() - calls; more != 0 {
			t.Errorf("%d calls after the recovery, though nobody asked", more)
		}
	})
}

func TestABackendThatNobodyUsesIsNotAskedWhetherItIsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) {
			return nil, providers.Errorf(providers.ErrUnavailable, "down")
		}}
		p := running(t, cluster())
		failing(t, p, storeOf(b, "", "s", 1), "a")
		time.Sleep(16 * time.Minute)
		calls := b.fetches.Load()
		time.Sleep(time.Hour)
		if more := b.fetches.Load() - calls; more != 0 || b.closes.Load() != 1 {
			t.Errorf("%d more calls and %d sessions closed, want none and one", more, b.closes.Load())
		}
	})
}
