package sessions

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// deliberate is a backend whose store says how long an answer may take.
type deliberate struct {
	*backend
	patience time.Duration
}

func (d deliberate) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	s, err := d.backend.Open(ctx, cfg, env)
	return patientSession{s, d.patience}, err
}

type patientSession struct {
	providers.Session
	patience time.Duration
}

func (s patientSession) Unwrap() providers.Session { return s.Session }
func (s patientSession) Patience() time.Duration   { return s.patience }

// TestAnAnswerMayTakeAsLongAsItsStoreSays: and twenty seconds where it says nothing or less, two minutes at most.
func TestAnAnswerMayTakeAsLongAsItsStoreSays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		patience, takes time.Duration
		late            bool
	}{
		"nothing is said":                 {0, 19 * time.Second, false},
		"nothing is said, and it is slow": {0, 21 * time.Second, true},
		"less than usual":                 {time.Second, 19 * time.Second, false},
		"more than usual":                 {time.Minute, 59 * time.Second, false},
		"more than usual, and slower":     {time.Minute, 61 * time.Second, true},
		"more than anybody waits":         {time.Hour, 119 * time.Second, false},
		"slower than anybody waits for":   {time.Hour, 121 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{fetch: func(ctx context.Context, identity string, refs []providers.Ref) ([]providers.Result, error) {
					select {
					case <-time.After(tc.takes):
						return answer(identity, refs), nil
					case <-ctx.Done():
						return nil, providers.ErrUnavailable
					}
				}}
				p := running(t, cluster())
				s := storeOf(b, "a", "s", 1)
				s.Provider = deliberate{b, tc.patience}
				_, err := p.Fetch(t.Context(), request(s, "a", "k"))
				if (err != nil) != tc.late || tc.late && (!errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "did not answer in time")) {
					t.Errorf("an answer after %s where %s is said: %v", tc.takes, tc.patience, err)
				}
			})
		})
	}
}

// TestHowOftenAndHowLongAFetchIsRepeated: as the store says, and for two minutes at most.
func TestHowOftenAndHowLongAFetchIsRepeated(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		retries         int
		interval, takes time.Duration
		up              bool
		calls           int64
		took            time.Duration
	}{
		"what is read is not asked for again":           {retries: 3, interval: 10 * time.Second, takes: time.Second, up: true, calls: 1, took: time.Second},
		"as often as the store says":                    {retries: 3, interval: 10 * time.Second, takes: time.Second, calls: 4, took: 34 * time.Second},
		"each may take as long as one alone":            {retries: 2, interval: 5 * time.Second, takes: 20 * time.Second, calls: 3, took: 70 * time.Second},
		"none begins that could not end in two minutes": {retries: 100, interval: 10 * time.Second, takes: time.Second, calls: 10, took: 100 * time.Second},
		"a pause that is too long is not begun":         {retries: 1, interval: time.Hour, takes: time.Second, calls: 1, took: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{fetch: func(_ context.Context, identity string, refs []providers.Ref) ([]providers.Result, error) {
					time.Sleep(tc.takes)
					if tc.up {
						return answer(identity, refs), nil
					}
					return nil, providers.Errorf(providers.ErrUnavailable, "down")
				}}
				p := running(t, cluster())
				s := storeOf(b, "team", "s", 1)
				s.Retries, s.RetryInterval = tc.retries, tc.interval
				began := time.Now()
				_, err := p.Fetch(t.Context(), request(s, "team", "k"))
				if took := time.Since(began); (err == nil) != tc.up || took != tc.took || b.fetches.Load() != tc.calls {
					t.Errorf("%d calls in %s, error %v; want %d in %s", b.fetches.Load(), took, err, tc.calls, tc.took)
				}
			})
		})
	}
}
