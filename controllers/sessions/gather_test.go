package sessions

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/providers"
)

// atOnce lets each ask a moment after the one before, and returns what they are told when all are done.
func atOnce(t *testing.T, p *Pool, asks ...Request) []error {
	t.Helper()
	errs := make([]error, len(asks))
	var wg sync.WaitGroup
	for i, req := range asks {
		wg.Go(func() { _, errs[i] = p.Fetch(t.Context(), req) })
		synctest.Wait()
		time.Sleep(time.Millisecond)
	}
	wg.Wait()
	return errs
}

// keysFrom are so many keys.
func keysFrom(first, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("k%02d", first+i)
	}
	return keys
}

func TestACallWithRoomWaitsForOthersWhileAnotherIsUnderWay(t *testing.T) {
	t.Parallel()
	type asks = func(Store) []Request
	of := func(keys ...[]string) asks {
		return func(s Store) []Request {
			var out []Request
			for _, k := range keys {
				out = append(out, request(s, "team", k...))
			}
			return out
		}
	}
	for name, tc := range map[string]struct {
		takes time.Duration
		size  int
		asks  asks
		calls [][]string
		took  time.Duration
	}{
		"one alone waits for nobody": {50 * time.Millisecond, 20, of(keysFrom(0, 5)), [][]string{keysFrom(0, 5)}, 50 * time.Millisecond},
		"others share the next call": {50 * time.Millisecond, 20, of(keysFrom(0, 5), keysFrom(5, 5), keysFrom(10, 5)),
			[][]string{keysFrom(0, 5), keysFrom(5, 10)}, 100 * time.Millisecond},
		"it is made when it is full, and the rest is the next": {50 * time.Millisecond, 10, of(keysFrom(0, 5), keysFrom(5, 7), keysFrom(12, 7)),
			[][]string{keysFrom(0, 5), keysFrom(5, 10), keysFrom(15, 4)}, 102 * time.Millisecond},
		"one that is full waits for nobody": {50 * time.Millisecond, 5, of(keysFrom(0, 5), keysFrom(5, 5)),
			[][]string{keysFrom(0, 5), keysFrom(5, 5)}, 51 * time.Millisecond},
		"nobody waits long for a slow one": {10 * time.Second, 20, of(keysFrom(0, 5), keysFrom(5, 5), keysFrom(10, 5)),
			[][]string{keysFrom(0, 5), keysFrom(5, 10)}, 10*time.Second + maxGather + time.Millisecond},
		"where each document is a request nobody waits": {50 * time.Millisecond, 1, of(keysFrom(0, 2), keysFrom(2, 2)),
			[][]string{keysFrom(0, 2), keysFrom(2, 2)}, 51 * time.Millisecond},
		"what is not read together waits for nobody": {50 * time.Millisecond, 20, func(s Store) []Request {
			pinned := request(s, "team", "b", "pinned")
			pinned.Refs[1].Version = "1"
			return []Request{request(s, "team", "a"), pinned}
		}, [][]string{{"a"}, {"b", "pinned"}}, 51 * time.Millisecond},
		"what is not read together joins nobody who waits": {50 * time.Millisecond, 20, func(s Store) []Request {
			pinned := request(s, "team", "c", "pinned")
			pinned.Refs[1].Version = "1"
			return []Request{request(s, "team", "a"), request(s, "team", "b"), pinned}
		}, [][]string{{"a"}, {"c", "pinned"}, {"b"}}, 102 * time.Millisecond},
		"what is asked for twice is asked once": {50 * time.Millisecond, 20, func(s Store) []Request {
			return []Request{request(s, "team", "a"), request(s, "team", "b", "a"), request(s, "team", "c", "b")}
		}, [][]string{{"a"}, {"b", "c"}}, 100 * time.Millisecond},
		"a forced one joins the call that is not made yet, and none that is": {50 * time.Millisecond, 20, func(s Store) []Request {
			forced := request(s, "team", "b", "a")
			forced.Forced = true
			return []Request{request(s, "team", "a"), request(s, "team", "b"), forced}
		}, [][]string{{"a"}, {"b", "a"}}, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBatching(tc.size, tc.takes)
				p := running(t, cluster())
				s := batchStore(b, "team", "s")
				began := time.Now()
				for _, err := range atOnce(t, p, tc.asks(s)...) {
					if err != nil {
						t.Error(err)
					}
				}
				took := time.Since(began)
				if diff := cmp.Diff(tc.calls, b.drain()); diff != "" {
					t.Error(diff)
				}
				if took != tc.took {
					t.Errorf("it took %s, want %s", took, tc.took)
				}
			})
		})
	}
}

func TestWhatASharedCallFailsWithIsToldToThoseWhoShareIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			b.seen(refs)
			time.Sleep(50 * time.Millisecond)
			out := answer(id, refs)
			for i, ref := range refs {
				if ref.Key == "missing" {
					out[i] = providers.Result{Err: providers.ErrNotFound}
				}
			}
			return out, nil
		}
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		var wg sync.WaitGroup
		for i, key := range []string{"a", "b", "missing"} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				results, err := p.Fetch(t.Context(), request(s, "team", key))
				if err != nil || errors.Is(results[0].Err, providers.ErrNotFound) != (key == "missing") {
					t.Errorf("%s: %v, %v", key, results, err)
				}
			})
		}
		wg.Wait()
		if calls := b.drain(); len(calls) != 2 {
			t.Errorf("calls %v, want that two share one", calls)
		}
	})
}

// TestNoCallIsMadeOnceTheBackendIsDown: also none that waited for others meanwhile.
func TestNoCallIsMadeOnceTheBackendIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		p := running(t, cluster())
		l := listen(p)
		s := batchStore(b, "team", "s")
		isDown := providers.Errorf(providers.ErrUnavailable, "down")
		var up atomic.Bool
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			b.seen(refs)
			time.Sleep(50 * time.Millisecond)
			if up.Load() {
				return answer(id, refs), nil
			}
			return nil, isDown
		}
		for i, err := range atOnce(t, p, request(s, "team", "a"), request(s, "team", "b"), request(s, "team", "c")) {
			if err == nil || err.Error() != isDown.Error() {
				t.Errorf("request %d is told %v", i, err)
			}
		}
		if diff := cmp.Diff([][]string{{"a"}}, b.drain()); diff != "" {
			t.Error(diff)
		}
		up.Store(true)
		l.recovered(t)
		mustFetch(t, p, request(s, "team", "a", "b", "c"))
	})
}

// TestWhatFailsCallsIsAskedForAlone: it costs those who share a call with it one failure, as an outage does, and no second one.
func TestWhatFailsCallsIsAskedForAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			b.seen(refs)
			time.Sleep(50 * time.Millisecond)
			for _, ref := range refs {
				if ref.Key == "broken" {
					return nil, providers.Errorf(providers.ErrUnavailable, "internal error")
				}
			}
			return answer(id, refs), nil
		}
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		failed := 0
		for i := range 600 {
			fails := request(s, "team", "broken")
			errs := atOnce(t, p, request(s, "team", fmt.Sprintf("a%d", i)), fails, request(s, "team", fmt.Sprintf("b%d", i)))
			for _, err := range []error{errs[0], errs[2]} {
				if err != nil {
					failed++
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		if failed > 20 {
			t.Errorf("%d of 1200 requests for other documents failed, want those of about the first second", failed)
		}
	})
}

func TestWhoGivesUpTakesNobodyAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 50*time.Millisecond)
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		var wg sync.WaitGroup
		wg.Go(func() { mustFetch(t, p, request(s, "team", "a")) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := p.Fetch(ctx, request(s, "team", "b")); !errors.Is(err, context.Canceled) {
				t.Errorf("who gave up is told %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { mustFetch(t, p, request(s, "team", "c")) })
		synctest.Wait()
		cancel()
		wg.Wait()
		if diff := cmp.Diff([][]string{{"a"}, {"b", "c"}}, b.drain()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestACallThatWaitsForOthersEndsWithThePool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, time.Hour)
		c := cluster()
		p := New(Deps{Reader: c, Tokens: c})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { _ = p.Start(ctx); close(ended) }()
		s := batchStore(b, "team", "s")
		var wg sync.WaitGroup
		for _, key := range []string{"a", "b"} {
			wg.Go(func() {
				if _, err := p.Fetch(t.Context(), request(s, "team", key)); err == nil {
					t.Error("a closed pool answered")
				}
			})
			synctest.Wait()
		}
		began := time.Now()
		cancel()
		<-ended
		wg.Wait()
		if took := time.Since(began); took > 0 {
			t.Errorf("closing took %s", took)
		}
		synctest.Wait()
		if b.closes.Load() != 1 {
			t.Errorf("%d sessions closed, want 1", b.closes.Load())
		}
	})
}

// TestACallThatWaitsForOthersKeepsItsSession: its store is gone meanwhile.
func TestACallThatWaitsForOthersKeepsItsSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 50*time.Millisecond)
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		var wg sync.WaitGroup
		for _, key := range []string{"a", "b"} {
			wg.Go(func() { mustFetch(t, p, request(s, "team", key)) })
			synctest.Wait()
		}
		p.Forget(s.UID)
		wg.Wait()
		synctest.Wait()
		if b.opens.Load() != 1 || b.closes.Load() != 1 || len(p.forecasts) != 0 {
			t.Errorf("%d sessions opened, %d closed, %d forecasts", b.opens.Load(), b.closes.Load(), len(p.forecasts))
		}
	})
}

// TestAnIdentityThatMayNotReadSeveralAtOnceIsAskedAsBefore: the session finds out, and reads one document after the other.
func TestAnIdentityThatMayNotReadSeveralAtOnceIsAskedAsBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			b.seen(refs)
			if len(refs) > 1 {
				b.size.Store(1)
			}
			time.Sleep(50 * time.Millisecond)
			return answer(id, refs), nil
		}
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		mustFetch(t, p, hourly(s, "a"))
		time.Sleep(time.Hour - 30*time.Second)
		mustFetch(t, p, hourly(s, "b"))
		mustFetch(t, p, hourly(s, "a"))
		time.Sleep(time.Hour - 30*time.Second)
		asks := []Request{hourly(s, "c"), hourly(s, "d"), hourly(s, "e")}
		began := time.Now()
		for _, err := range atOnce(t, p, asks...) {
			if err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took != 52*time.Millisecond {
			t.Errorf("three requests took %s: they waited for one another", took)
		}
		if diff := cmp.Diff([][]string{{"a"}, {"b", "a"}, {"c"}, {"d"}, {"e"}}, b.drain()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRetrySettingsRepeatOfASharedCallWhatIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBatching(20, 0)
		failures := 0
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			b.seen(refs)
			time.Sleep(50 * time.Millisecond)
			out := answer(id, refs)
			for i, ref := range refs {
				if ref.Key == "late" && failures < 2 {
					failures++
					out[i] = providers.Result{Err: providers.ErrUnavailable}
				}
			}
			return out, nil
		}
		p := running(t, cluster())
		s := batchStore(b, "team", "s")
		s.Retries, s.RetryInterval = 2, time.Second
		for _, err := range atOnce(t, p, request(s, "team", "a"), request(s, "team", "b"), request(s, "team", "late")) {
			if err != nil {
				t.Error(err)
			}
		}
		if diff := cmp.Diff([][]string{{"a"}, {"b", "late"}, {"late"}, {"late"}}, b.drain()); diff != "" {
			t.Error(diff)
		}
	})
}
