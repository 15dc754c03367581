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
