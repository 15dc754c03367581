package sessions

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/providers"
)

// heavy is a backend whose documents are large where their keys say so.
func heavy() *backend {
	return &backend{fetch: func(ctx context.Context, id string, refs []providers.Ref) ([]providers.Result, error) {
		for _, ref := range refs {
			if !strings.HasPrefix(ref.Key, "large") {
				continue
			}
			if err := large.Take(ctx); err != nil {
				return nil, providers.Errorf(providers.ErrUnavailable, "backend: %w", err)
			}
		}
		return answer(id, refs), nil
	}}
}

func TestLargeDocumentsAreReadForOneAfterTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, store := running(t, cluster()), storeOf(heavy(), "", "s", 1)
		first, endFirst := p.Hold(t.Context())
		if _, err := p.Fetch(first, request(store, "team", "large-1")); err != nil {
			t.Fatal(err)
		}
		began, second := time.Now(), make(chan error)
		go func() {
			ctx, end := p.Hold(t.Context())
			defer end()
			_, err := p.Fetch(ctx, request(store, "team", "large-2"))
			second <- err
		}()
		synctest.Wait()
		mustFetch(t, p, request(store, "team", "small"))
		if waited := time.Since(began); waited > 0 {
			t.Errorf("a small one has waited %s", waited)
		}
		time.Sleep(2 * time.Second)
		select {
		case err := <-second:
			t.Fatalf("the second did not wait for the first: %v", err)
		default:
		}
		endFirst()
		if err := <-second; err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("the second after the first: %v after %s", err, time.Since(began))
		}
		if _, err := p.Fetch(t.Context(), request(store, "team", "large-3")); err != nil {
			t.Errorf("who has not begun a piece of work: %v", err)
		}
	})
}

func TestATurnThatDoesNotComeSaysNothingAboutTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := heavy()
		p, store := running(t, cluster()), storeOf(b, "", "s", 1)
		store.Retries, store.RetryInterval = 3, time.Second
		first, end := p.Hold(t.Context())
		defer end()
		if err := large.Take(first); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			began := time.Now()
			_, err := p.Fetch(t.Context(), request(store, "team", "large"))
			if !errors.Is(err, large.ErrBusy) || OutOfReach(err) || time.Since(began) != 5*time.Second {
				t.Errorf("try %d: %v after %s", i, err, time.Since(began))
			}
		}
		if n := b.fetches.Load(); n != 4 {
			t.Errorf("the store was asked %d times", n)
		}
		mustFetch(t, p, request(store, "team", "small"))
	})
}

func TestACheckWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		p, s := running(t, cluster()), storeOf(b, "team", "s", 1)
		var asks context.Context
		s.Provider = checking{b, func(ctx context.Context) error { asks = ctx; return large.Take(ctx) }}
		holder, end := p.Hold(t.Context())
		if err := large.Take(holder); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Check(t.Context(), s, 0); !errors.Is(err, large.ErrBusy) {
			t.Errorf("beside another: %v", err)
		}
		end()
		if _, err := p.Check(t.Context(), s, 0); err != nil {
			t.Errorf("alone: %v", err)
		}
		if err := large.Take(asks); !errors.Is(err, large.ErrBusy) {
			t.Errorf("the turn is not over with the check: %v", err)
		}
	})
}

func TestWhoWaitsForAnothersCallAsksHimselfWhenItsTurnDoesNotCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, store := running(t, cluster()), storeOf(heavy(), "", "s", 1)
		holder, end := p.Hold(t.Context())
		if err := large.Take(holder); err != nil {
			t.Fatal(err)
		}
		var first, second error
		var asking sync.WaitGroup
		asking.Go(func() { _, first = p.Fetch(t.Context(), request(store, "team", "large")) })
		asking.Go(func() {
			time.Sleep(time.Second)
			_, second = p.Fetch(t.Context(), request(store, "team", "large"))
		})
		time.Sleep(6 * time.Second)
		end()
		asking.Wait()
		if !errors.Is(first, large.ErrBusy) || second != nil {
			t.Errorf("who asked first: %v, who waited for that: %v", first, second)
		}
	})
}

func TestManyDocumentsAreAsLargeAsALargeOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &backend{fetch: func(_ context.Context, _ string, refs []providers.Ref) ([]providers.Result, error) {
			out := make([]providers.Result, len(refs))
			for i := range out {
				out[i].Document = text(strings.Repeat("x", large.Together/maxRequests+1))
			}
			return out, nil
		}}
		p, store := running(t, cluster()), storeOf(b, "", "s", 1)
		req := Request{Store: store, Namespace: "team"}
		for _, key := range upTo(0, 2*maxRequests) {
			req.Refs = append(req.Refs, providers.Ref{Key: string(rune('a' + key))})
		}
		first, end := p.Hold(t.Context())
		if err := large.Take(first); err != nil {
			t.Fatal(err)
		}
		results, err := p.Fetch(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if want := i >= maxRequests; want != errors.Is(r.Err, large.ErrBusy) {
				t.Errorf("document %d: %v", i, r.Err)
			}
		}
		end()
		req.MaxAge = 0
		if results, err = p.Fetch(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Err != nil {
				t.Errorf("document %d, when its turn comes: %v", i, r.Err)
			}
		}
	})
}
