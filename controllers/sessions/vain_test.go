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

// failsEach returns a backend that says of each document alone that it cannot be read while is is set, as it is, and fails for several.
func failsEach() (b *backend, is *atomic.Bool) {
	is = &atomic.Bool{}
	is.Store(true)
	return &backend{fetch: func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
		switch {
		case !is.Load():
			return answer(id, refs), nil
		case len(refs) > 1:
			return nil, providers.Errorf(providers.ErrUnavailable, "internal error")
		default:
			return []providers.Result{{Err: providers.Errorf(providers.ErrUnavailable, "key %s: internal error", refs[0].Key)}}, nil
		}
	}}, is
}

// TestABackendThatFailsEachDocumentByItselfIsDownUntilOneCanBeRead: a provider can tell an outage only where several fail
// together, and one alone is that document's failure.
func TestABackendThatFailsEachDocumentByItselfIsDownUntilOneCanBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, is := failsEach()
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

// TestAnOutageInWhichEachDocumentFailsByItselfOutlastsTheLoginThatItBeganWith: of the next login nothing is known, but that it
// came in an outage.
func TestAnOutageInWhichEachDocumentFailsByItselfOutlastsTheLoginThatItBeganWith(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, is := failsEach()
		b.expires = time.Minute
		p := running(t, cluster())
		l := listen(p)
		s := storeOf(b, "team", "s", 1)
		if _, err := p.Fetch(t.Context(), request(s, "team", "a", "b")); err == nil {
			t.Fatal("a backend that is down answered")
		}
		opens, calls := b.opens.Load(), b.fetches.Load()
		for i := range 5 {
			time.Sleep(time.Minute)
			if _, err := p.Fetch(t.Context(), request(s, "team", fmt.Sprintf("k%d", i))); err == nil || err.Error() != "internal error" {
				t.Errorf("a user is told %v", err)
			}
		}
		if more := b.opens.Load() - opens; more == 0 {
			t.Error("no login ended")
		}
		p.retire(sessionOf(p, s)) // and a user is the first to ask with the next one
		if results, err := p.Fetch(t.Context(), request(s, "team", "k5")); err != nil || !errors.Is(results[0].Err, providers.ErrUnavailable) {
			t.Errorf("the first with a login is told %v, %v", results, err)
		}
		synctest.Wait()
		if more := b.fetches.Load() - calls; more < 30 || more > 200 {
			t.Errorf("%d calls in five minutes", more)
		}
		if got := l.drain(); len(got) != 0 {
			t.Errorf("news in the outage: %+v", got)
		}
		is.Store(false)
		l.recoveredIn(t, latePause*5/4)
	})
}

// Two calls end at once: one that was answered before the backend went down, and one that found it down.
func TestWhatWasAnsweredBeforeAnOutageDoesNotEndIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, l, s, is := sometimes(t, &backend{})
		mustFetch(t, p, request(s, "team", "a"))
		is.Store(true)
		failing(t, p, s, "b")
		synctest.Wait()
		if p.isUp(sessionOf(p, s)) {
			t.Error("the backend is up while what was asked for last says that it is down")
		}
		is.Store(false)
		l.recovered(t)
	})
}

func TestWhileAUserAsksNobodyElseHastensToFindTheEndOfAnOutage(t *testing.T) {
	t.Parallel()
	q := question{ref: providers.Ref{Key: "a"}}
	k := &kept{flights: map[question]*flight{q: {refs: []question{q}}}}
	if pause, _ := k.pause(time.Now()); pause < minPause {
		t.Errorf("a pause of %s", pause)
	}
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
