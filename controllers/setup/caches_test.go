package setup

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// filling is a cache that is filled after a time.
type filling struct {
	cache.Cache
	after time.Duration
}

func (f filling) WaitForCacheSync(ctx context.Context) bool {
	select {
	case <-time.After(f.after):
		return true
	case <-ctx.Done():
		return false
	}
}

// part is what a manager starts; with a cache it is started before the controllers.
type part struct{ cache cache.Cache }

func (part) Start(context.Context) error { return nil }

type cachedPart struct{ part }

func (p cachedPart) GetCache() cache.Cache { return p.cache }

// house is a manager that keeps what is added to it, and runs until the context ends.
type house struct {
	manager.Manager
	parts []manager.Runnable
}

func (h *house) Add(r manager.Runnable) error {
	h.parts = append(h.parts, r)
	return nil
}

func (*house) Start(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

const never = time.Hour

// Whoever watches a kind waits for it, and for what others watch ten seconds at most: a kind that cannot be read holds up nobody.
func TestAControllerWaitsForWhatOthersWatchForAWhile(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		after, stops, took time.Duration
		filled             bool
	}{
		"it is filled soon":               {after: time.Second, stops: never, took: time.Second, filled: true},
		"it is not filled":                {after: never, stops: never, took: grace, filled: true},
		"the program ends before that":    {after: never, stops: 3 * time.Second, took: 3 * time.Second},
		"it is filled, and later it ends": {after: time.Second, stops: 3 * time.Second, took: time.Second, filled: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &house{}
				a := &apart{Manager: h}
				if err := a.Add(cachedPart{part{filling{after: tc.after}}}); err != nil {
					t.Fatal(err)
				}
				ctx, end := context.WithTimeout(t.Context(), tc.stops)
				defer end()
				go func() { _ = a.Start(ctx) }()
				synctest.Wait()
				began := time.Now()
				got := h.parts[0].(cached).GetCache().WaitForCacheSync(ctx)
				if took := time.Since(began); got != tc.filled || took != tc.took {
					t.Errorf("%t after %s, want %t after %s", got, took, tc.filled, tc.took)
				}
			})
		})
	}
}

func TestAllIsReadWhenEachCacheIsFilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &house{}
		a := &apart{Manager: h}
		plain := part{}
		for _, r := range []manager.Runnable{cachedPart{part{filling{after: time.Second}}}, plain, cachedPart{part{filling{after: time.Minute}}}} {
			if err := a.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if len(h.parts) != 3 || h.parts[1] != manager.Runnable(plain) {
			t.Errorf("the manager has %v", h.parts)
		}
		began := time.Now()
		if !a.filled(t.Context()) || time.Since(began) < time.Minute {
			t.Errorf("filled after %s", time.Since(began))
		}
		hasty, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if a.filled(hasty) {
			t.Error("filled though one is not")
		}
	})
}

func TestTheCacheOfTheManagerIsOneOfThoseThatAreAwaited(t *testing.T) {
	t.Parallel()
	a := &apart{}
	got, err := a.newCache(&rest.Config{Host: "http://127.0.0.1:1"}, cache.Options{Mapper: served()})
	if err != nil {
		t.Fatal(err)
	}
	if _, short := got.(brief); !short || len(a.caches) != 1 {
		t.Errorf("%T, %d are awaited", got, len(a.caches))
	}
}
