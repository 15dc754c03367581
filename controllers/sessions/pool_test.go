package sessions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

func TestEqualRequestsThatAreUnderWayShareOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{fetch: func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			time.Sleep(time.Second)
			return answer(id, refs), nil
		}}
		p := running(t, cluster())
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				req := request(storeOf(b, "", "s", 1), "team", "a")
				req.MaxAge = 0
				if got := mustFetch(t, p, req); got[0] != "none/a" {
					t.Errorf("got %q", got)
				}
			})
		}
		wg.Wait()
		if b.opens.Load() != 1 || b.fetches.Load() != 1 {
			t.Errorf("%d sessions and %d calls, want one of each", b.opens.Load(), b.fetches.Load())
		}
	})
}

func TestADocumentIsReusedWhileItIsYoungEnoughForTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		p := running(t, cluster())
		ask := func(maxAge time.Duration, forced bool) int64 {
			req := request(storeOf(b, "", "s", 1), "team", "a", "a")
			req.MaxAge, req.Forced = maxAge, forced
			before := b.asked.Load()
			mustFetch(t, p, req)
			return b.asked.Load() - before
		}
		steps := []struct {
			name   string
			after  time.Duration
			maxAge time.Duration
			forced bool
			calls  int64
		}{
			{"the first request asks, once for both", 0, time.Minute, false, 1},
			{"young enough", 30 * time.Second, time.Minute, false, 0},
			{"a request that allows nothing asks", 0, 0, false, 1},
			{"too old for this request", 10 * time.Second, 5 * time.Second, false, 1},
			{"a forced one always asks", 0, time.Minute, true, 1},
			{"what a forced one brought is reused", time.Second, time.Minute, false, 0},
			{"never longer than a minute", 90 * time.Second, time.Hour, false, 1},
		}
		for _, s := range steps {
			time.Sleep(s.after)
			if got := ask(s.maxAge, s.forced); got != s.calls {
				t.Errorf("%s: %d documents asked for, want %d", s.name, got, s.calls)
			}
		}
	})
}

func TestWhoMustNotHaveWhatIsOlderJoinsNoCallThatWasStartedBefore(t *testing.T) {
	t.Parallel()
	for name, now := range map[string]func(*Request){
		"one that is forced":                    func(req *Request) { req.Forced = true },
		"one who knows that something is newer": func(req *Request) { req.Since = time.Now() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			joinsNoCallOfBefore(t, now)
		})
	}
}

func joinsNoCallOfBefore(t *testing.T, now func(*Request)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var value atomic.Value
		value.Store("old")
		b := &backend{fetch: func(_ context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
			read := value.Load().(string)
			time.Sleep(time.Second)
			return answer(read, refs), nil
		}}
		p := running(t, cluster())
		s := storeOf(b, "", "s", 1)
		var wg sync.WaitGroup
		wg.Go(func() { mustFetch(t, p, request(s, "team", "a")) })
		synctest.Wait()
		time.Sleep(time.Millisecond)
		value.Store("new")
		req := request(s, "team", "a")
		now(&req)
		if got := mustFetch(t, p, req); got[0] != "new/a" {
			t.Errorf("it got %q, which was read before", got[0])
		}
		wg.Wait()
		if got := mustFetch(t, p, request(s, "team", "a")); got[0] != "new/a" {
			t.Errorf("the older answer %q replaced the newer one", got[0])
		}
	})
}

func TestABadRefFailsAlone(t *testing.T) {
	t.Parallel()
	b := &backend{fetch: func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
		out := answer(id, refs)
		for i, ref := range refs {
			if ref.Key == "missing" {
				out[i] = providers.Result{Err: providers.ErrNotFound}
			}
		}
		return out, nil
	}}
	p := running(t, cluster())
	results, err := p.Fetch(t.Context(), request(storeOf(b, "", "s", 1), "team", "a", "missing", "b"))
	if err != nil {
		t.Fatal(err)
	}
	if read(t, results[0]) != "none/a" || !errors.Is(results[1].Err, providers.ErrNotFound) || read(t, results[2]) != "none/b" {
		t.Errorf("results %+v", results)
	}
}

func TestWhatAProviderDoesWrongIsUnavailable(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3e9b"
	tests := map[string]*backend{
		"it panics with a value": {fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) { panic(canary) }},
		"it answers fewer": {fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) {
			return nil, nil
		}},
		"it answers nothing for a key": {fetch: func(_ context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
			return make([]providers.Result, len(refs)), nil
		}},
		"it panics while opening": {open: func() error { panic(canary) }},
		"it hangs until it is told to stop": {fetch: func(ctx context.Context, _ string, _ []providers.Ref) ([]providers.Result, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
		"it does not stop when told": {fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) {
			time.Sleep(time.Hour)
			return nil, nil
		}},
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := running(t, cluster())
				began := time.Now()
				results, err := p.Fetch(t.Context(), request(storeOf(b, "", "s", 1), "team", "a"))
				if err == nil {
					err = results[0].Err
				}
				if !errors.Is(err, providers.ErrUnavailable) {
					t.Fatalf("error %v, want one of class unavailable", err)
				}
				if strings.Contains(err.Error(), canary) {
					t.Errorf("the error quotes what the provider panicked with: %v", err)
				}
				if took := time.Since(began); took > 25*time.Second {
					t.Errorf("the request took %s", took)
				}
				time.Sleep(2 * time.Hour) // the provider that does not stop returns, so that the bubble ends
			})
		})
	}
}

// stacked is what a provider panics with that has waited for a goroutine of its own.
type stacked string

func (s stacked) Stack() []byte { return []byte(s) }

func TestAPanicElsewhereIsLoggedWithWhereItWas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		with any
		want string
	}{{stacked("there"), "there"}, {"canary-1b2c", "TestAPanicElsewhereIsLoggedWithWhereItWas"}} {
		err := safely(func() error { panic(c.with) })
		if p := new(panicked); !errors.As(err, &p) || !strings.Contains(string(p.stack), c.want) || strings.Contains(err.Error()+string(p.stack), "canary-1b2c") {
			t.Errorf("%v: %v", c.with, err)
		}
	}
}

func TestRetrySettingsRepeatWhatIsUnavailable(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err   error
		calls int64
	}{
		"unavailable is repeated":   {providers.ErrUnavailable, 3},
		"denied is not":             {providers.ErrDenied, 1},
		"throttled is not":          {&providers.ThrottledError{}, 1},
		"a key not found is not":    {providers.ErrNotFound, 1},
		"no class means unvailable": {errors.New("some error"), 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) { return nil, tt.err }}
				p := running(t, cluster())
				s := storeOf(b, "", "s", 1)
				s.Retries, s.RetryInterval = 2, 10*time.Second
				if _, err := p.Fetch(t.Context(), request(s, "team", "a")); !errors.Is(err, tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				if got := b.fetches.Load(); got != tt.calls {
					t.Errorf("%d calls, want %d", got, tt.calls)
				}
			})
		})
	}
}

func TestRetrySettingsRepeatTheDocumentsThatAreUnavailableAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls [][]providers.Ref
		b := &backend{}
		b.fetch = func(_ context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			calls = append(calls, refs)
			out := answer(id, refs)
			for i, ref := range refs {
				switch {
				case ref.Key == "denied":
					out[i] = providers.Result{Err: providers.ErrDenied}
				case ref.Key == "broken", ref.Key == "late" && len(calls) < 2:
					out[i] = providers.Result{Err: providers.ErrUnavailable}
				}
			}
			return out, nil
		}
		p := running(t, cluster())
		s := storeOf(b, "", "s", 1)
		s.Retries, s.RetryInterval = 2, time.Second
		results, err := p.Fetch(t.Context(), request(s, "team", "good", "late", "denied", "broken"))
		if err != nil {
			t.Fatal(err)
		}
		if read(t, results[0]) != "none/good" || read(t, results[1]) != "none/late" ||
			!errors.Is(results[2].Err, providers.ErrDenied) || !errors.Is(results[3].Err, providers.ErrUnavailable) {
			t.Errorf("results %v", results)
		}
		if len(calls) != 3 || len(calls[0]) != 4 || len(calls[1]) != 2 || len(calls[2]) != 1 {
			t.Errorf("calls %v", calls)
		}
	})
}

func TestABackendThatIsDownIsAskedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		var down atomic.Bool
		down.Store(true)
		b.fetch = func(ctx context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
			if down.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answer(id, refs), nil
		}
		p := running(t, cluster())
		s := storeOf(b, "", "s", 1)
		began := time.Now()
		for i := range 500 { // one worker, which others wait for
			if _, err := p.Fetch(t.Context(), request(s, "team", fmt.Sprintf("k%d", i))); !errors.Is(err, providers.ErrUnavailable) {
				t.Fatalf("error %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if calls := b.fetches.Load(); calls > 12 {
			t.Errorf("%d calls to a backend that is down", calls)
		}
		if took := time.Since(began); took > 5*time.Minute {
			t.Errorf("500 requests took %s", took)
		}
		down.Store(false)
		time.Sleep(p.limits.Timeout + maxPause) // a call under way hangs as long as it may
		for i := range 10 {
			mustFetch(t, p, request(s, "team", fmt.Sprintf("k%d", i)))
		}
	})
}

func TestABackendThatThrottlesIsLeftAloneAsLongAsItAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) {
			return nil, &providers.ThrottledError{After: 30 * time.Second}
		}}
		p := running(t, cluster())
		for range 55 {
			var throttled *providers.ThrottledError
			if _, err := p.Fetch(t.Context(), request(storeOf(b, "", "s", 1), "team", "a")); !errors.As(err, &throttled) {
				t.Fatalf("error %v", err)
			}
			time.Sleep(time.Second)
		}
		if calls := b.fetches.Load(); calls != 2 {
			t.Errorf("%d calls in 55 seconds, want 2", calls)
		}
	})
}

// A login that a provider sees through is ended, and whoever closes the pool waits for that.
func TestASessionThatComesWhileThePoolIsClosedIsEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{open: func() error {
			time.Sleep(3 * time.Second)
			return nil
		}}
		c := cluster()
		p := New(Deps{Reader: c, Tokens: c})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = p.Fetch(ctx, request(storeOf(b, "", "s", 1), "team", "a")) }()
		synctest.Wait()
		began := time.Now()
		cancel()
		_ = p.Start(ctx)
		if closes, took := b.closes.Load(), time.Since(began); closes != 1 || took != 3*time.Second || b.fetches.Load() > 0 {
			t.Errorf("%d sessions closed after %s, and %d fetches", closes, took, b.fetches.Load())
		}
	})
}

func TestAClosedPoolIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := &backend{fetch: func(ctx context.Context, _ string, _ []providers.Ref) ([]providers.Result, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		c := cluster()
		p := New(Deps{Reader: c, Tokens: c})
		ctx, cancel := context.WithCancel(t.Context())
		started := make(chan struct{})
		go func() { _ = p.Start(ctx); close(started) }()
		failed := make(chan error, 1)
		go func() {
			_, err := p.Fetch(t.Context(), request(storeOf(hang, "", "s", 1), "team", "a"))
			failed <- err
		}()
		synctest.Wait()
		began := time.Now()
		cancel()
		<-started
		if err := <-failed; err == nil {
			t.Error("a request under way succeeded though its session was closed")
		}
		if time.Since(began) > time.Second {
			t.Error("closing waited for a call that had been canceled")
		}
		if _, err := p.Fetch(t.Context(), request(storeOf(hang, "", "s", 1), "team", "a")); !errors.Is(err, providers.ErrUnavailable) {
			t.Errorf("a request after the end: %v", err)
		}
		synctest.Wait()
		if hang.closes.Load() != 1 {
			t.Errorf("%d sessions closed, want 1", hang.closes.Load())
		}
	})
}

func TestAPoolThatIsClosedEndsAtOnceWhateverItIsAbout(t *testing.T) {
	t.Parallel()
	isDown := providers.Errorf(providers.ErrUnavailable, "down")
	for name, about := range map[string]func(*testing.T, *Pool, *backend){
		"it asks whether a backend is up": func(t *testing.T, p *Pool, b *backend) {
			t.Helper()
			failing(t, p, storeOf(b, "team", "s", 1), "a")
		},
		"it logs in until somebody answers": func(t *testing.T, p *Pool, b *backend) {
			t.Helper()
			b.open = func() error { return isDown }
			failing(t, p, storeOf(b, "team", "s", 1), "a")
		},
		"it checks a store": func(t *testing.T, p *Pool, b *backend) {
			t.Helper()
			s := storeOf(b, "team", "s", 1)
			s.Provider = checking{b, func(context.Context) error { return isDown }}
			if _, err := p.Check(t.Context(), s, 0); err == nil {
				t.Error("a backend that is down answered")
			}
			time.Sleep(time.Minute)
		},
		"a fetch is to be repeated": func(t *testing.T, p *Pool, b *backend) {
			t.Helper()
			s := storeOf(b, "team", "s", 1)
			s.Retries, s.RetryInterval = 1, time.Minute
			go failing(t, p, s, "a")
			time.Sleep(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backend{fetch: func(context.Context, string, []providers.Ref) ([]providers.Result, error) { return nil, isDown }}
				c := cluster()
				p := New(Deps{Reader: c, Tokens: c})
				about(t, p, b)
				began := time.Now()
				p.close()
				if took := time.Since(began); took > 0 {
					t.Errorf("closing took %s", took)
				}
				if len(p.cancels) != 0 {
					t.Errorf("%d calls are not forgotten", len(p.cancels))
				}
			})
		})
	}
}

func TestWhoGivesUpDoesNotWaitForALogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{open: func() error {
			time.Sleep(10 * time.Second)
			return nil
		}}
		p := running(t, cluster())
		s := storeOf(b, "team", "s", 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := p.Fetch(ctx, request(s, "team", "a")); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		mustFetch(t, p, request(s, "team", "a"))
		p.Forget(s.UID)
		if synctest.Wait(); b.opens.Load() != 1 || b.closes.Load() != 1 {
			t.Errorf("%d logins, %d of them ended", b.opens.Load(), b.closes.Load())
		}
	})
}
