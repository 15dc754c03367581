package sessions

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/providers"
)

func TestALoginThatIsRefusedIsRepeatedLessAndLess(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err         error
		least, most int64
	}{
		"wrong credentials, which may lock an account": {providers.Errorf(providers.ErrDenied, "wrong password"), 235, 250},
		"too many, without a time":                     {&providers.ThrottledError{}, 600, 1000},
		"too many, for a time":                         {&providers.ThrottledError{After: time.Minute}, 45, 75},
		"nobody there":                                 {providers.Errorf(providers.ErrUnavailable, "down"), 600, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{open: func() error { return tc.err }}
				p := running(t, cluster())
				for range 3600 { // an hour
					failing(t, p, storeOf(b, "team", "s", 1), "a")
					time.Sleep(time.Second)
				}
				if got := b.opens.Load(); got < tc.least || got > tc.most {
					t.Errorf("%d attempts in an hour, want %d to %d", got, tc.least, tc.most)
				}
			})
		})
	}
}

func TestALoginThatEndsIsReplacedAndEndedByWhoComesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{expires: 25 * time.Second}
		p := running(t, cluster())
		s := storeOf(b, "team", "s", 1)
		mustFetch(t, p, request(s, "team", "a"))
		time.Sleep(21 * time.Second) // and nobody has looked for it yet
		mustFetch(t, p, request(s, "team", "b"))
		if synctest.Wait(); b.opens.Load() != 2 || b.closes.Load() != 1 {
			t.Errorf("%d logins, %d of them ended, want 2 and the first", b.opens.Load(), b.closes.Load())
		}
	})
}

// logins keeps what it is told that is no fetch.
type logins struct {
	nobody
	mu   sync.Mutex
	seen []Call
}

func (l *logins) Called(c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Op != OpFetch {
		c.Took, c.Provider = 0, ""
		l.seen = append(l.seen, c)
	}
}

func TestLoginsAndChecksAreCountedByHowTheyEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		denied, unverified := providers.Errorf(providers.ErrDenied, "no"), providers.Errorf(providers.ErrUnverified, "cannot tell")
		p, seen := running(t, cluster(credentialSecret("a", "cred", "of-a"))), &logins{}
		p.observer = seen
		for uid, says := range map[string]error{"1": nil, "2": denied, "3": unverified} {
			s := storeOf(&backend{}, "team", uid, 1)
			s.Provider = checking{s.Provider.(*backend), func(context.Context) error { return says }}
			_, _ = p.Check(t.Context(), s, 0) // what it says is another matter
		}
		failing(t, p, storeOf(&backend{open: func() error { return denied }}, "team", "4", 1), "k")
		// One whose credentials are those of the namespace is not asked before it is known which.
		mustFetch(t, p, request(storeOf(&backend{credential: providers.ObjectRef{Name: "cred", Key: "token"}}, "", "5", 1), "a", "k"))
		counted := map[Call]int{}
		seen.mu.Lock()
		defer seen.mu.Unlock()
		for _, c := range seen.seen {
			counted[c]++
		}
		want := map[Call]int{
			{Op: OpOpen, Succeeded: 1}: 4, {Op: OpOpen, Failed: 1}: 1, {Op: OpCheck, Succeeded: 1}: 2, {Op: OpCheck, Failed: 1}: 1,
		}
		if diff := cmp.Diff(want, counted); diff != "" {
			t.Error(diff)
		}
	})
}
