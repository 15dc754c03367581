package setup

import (
	"context"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// grace is how long the controllers wait for one another: for all that any of them watches to be read. It is the rule that this
// takes less; what takes longer is a kind that may not be read, or that the API server fails to convert.
const grace = 10 * time.Second

// apart is a manager whose controllers wait for what they watch themselves, and for what others watch for a while only. Nobody reads
// what a cache does not have yet: such a read waits until it is filled.
type apart struct {
	manager.Manager
	// caches are all that are to be filled before the controllers begin.
	caches []cache.Cache
	// over ends the time in which controllers wait for one another.
	over <-chan struct{}
}

// cached is how a manager recognizes what it starts before the controllers.
type cached interface {
	manager.Runnable
	GetCache() cache.Cache
}

// newCache is a cache.NewCacheFunc.
func (a *apart) newCache(cfg *rest.Config, o cache.Options) (cache.Cache, error) {
	c, err := cache.New(cfg, o)
	if err != nil {
		return nil, err
	}
	a.caches = append(a.caches, c)
	return brief{c, a}, nil
}

// Add implements manager.Manager.
func (a *apart) Add(r manager.Runnable) error {
	if c, ok := r.(cached); ok {
		a.caches = append(a.caches, c.GetCache())
		r = awaited{c, a}
	}
	return a.Manager.Add(r)
}

// Start implements manager.Manager.
func (a *apart) Start(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	a.over = waiting.Done()
	return a.Manager.Start(ctx)
}

// filled reports whether all caches are, before the context ends.
func (a *apart) filled(ctx context.Context) bool {
	for _, c := range a.caches {
		if !c.WaitForCacheSync(ctx) {
			return false
		}
	}
	return true
}

// awaited is something with a cache that is awaited for a while.
type awaited struct {
	cached
	apart *apart
}

// GetCache implements cached.
func (w awaited) GetCache() cache.Cache { return brief{w.cached.GetCache(), w.apart} }

// brief is a cache that is awaited for a while: a controller that watches a kind waits for that kind besides.
type brief struct {
	cache.Cache
	apart *apart
}

// WaitForCacheSync implements cache.Cache.
func (b brief) WaitForCacheSync(ctx context.Context) bool {
	short, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-b.apart.over:
			cancel()
		case <-short.Done():
		}
	}()
	return b.Cache.WaitForCacheSync(short) || ctx.Err() == nil
}
