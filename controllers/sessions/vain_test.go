package sessions

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// TestABackendThatFailsEachDocumentByItselfIsDownUntilOneCanBeRead: a provider can tell an outage only where several fail
// together, and one alone is that document's failure.
func TestABackendThatFailsEachDocumentByItselfIsDownUntilOneCanBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var is atomic.Bool
		is.Store(true)
		b := &backend{fetch: func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			switch {
			case !is.Load():
				return answer(id, refs), nil
			case len(refs) > 1:
				return nil, providers.Errorf(providers.ErrUnavailable, "internal error")
			default:
				return []providers.Result{{Err: providers.Errorf(providers.ErrUnavailable, "key %s: internal error", refs[0].Key)}}, nil
			}
		}}
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		results, err := p.Fetch(t.Context(), request(s, "team", "alone"))
		if err != nil || !errors.Is(results[0].Err, providers.ErrUnavailable) {
			t.Fatalf("one document that cannot be read: %v, %v", results, err)
		}
		if _, err := p.Fetch(t.Context(), request(s, "team", "a", "b")); err == nil {
			t.Fatal("a backend that is down answered")
		}
		for i := range 300 { // half a minute
			if _, err := p.Fetch(t.Context(), request(s, "team", fmt.Sprintf("k%d", i))); err == nil || err.Error() != "internal error" {
				t.Fatalf("a user is told %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if calls := b.fetches.Load(); calls > 30 {
			t.Errorf("%d calls in half a minute", calls)
		}
		if got := l.drain(); len(got) != 0 {
			t.Errorf("news in the outage: %+v", got)
		}
		is.Store(false)
		l.recovered(t)
		mustFetch(t, p, request(s, "team", "a", "b"))
	})
}

// Whether the backend is up is found out by a call that may succeed: one of what could not be read the last time would only prolong
// the outage for all others.
func TestWhatWasReadInVainIsAskedForAgainOnlyWhereNothingElseIs(t *testing.T) {
	t.Parallel()
	call := func(key string) *flight {
		return &flight{call: &call{}, refs: []question{{ref: providers.Ref{Key: key}}}}
	}
	now := time.Now()
	b := &breaker{}
	failed := call("broken")
	failed.err = providers.Errorf(providers.ErrUnavailable, "internal error")
	b.note(failed, 0, now)
	vain, other, later, last := call("broken"), call("other"), call("later"), call("broken")
	for _, step := range []struct{ comes, fails, asked *flight }{
		{vain, nil, vain}, {other, nil, other}, {vain, nil, other}, {later, nil, later}, {last, nil, later}, {last, later, last},
	} {
		if step.fails != nil {
			step.fails.order, step.fails.err = 1, failed.err
			b.note(step.fails, 1, now)
		}
		if b.admit(step.comes, now, 0) == nil {
			t.Fatal("a backend that is down is asked at once")
		}
		if b.refused != step.asked {
			t.Errorf("after %v was refused, %v is asked for again, want %v", step.comes.refs, b.refused.refs, step.asked.refs)
		}
	}
}
