package providertest

import (
	"context"
	"sync"
	"time"
)

// Crowd counts the requests that are under way at once. A backend has each join it before it answers. It is safe for concurrent use.
type Crowd struct {
	size int
	mu   sync.Mutex
	// now are under way, and most ever were.
	now, most int
	// gathered is closed a while after as many were there as have to be.
	gathered chan struct{}
}

// NewCrowd returns a crowd that lets nobody go before so many are there.
func NewCrowd(size int) *Crowd { return &Crowd{size: size, gathered: make(chan struct{})} }

// Join returns when the crowd has gathered, or ctx ends because too few come at once.
func (c *Crowd) Join(ctx context.Context) {
	c.count(1)
	defer c.count(-1)
	select {
	case <-c.gathered:
	case <-ctx.Done():
	}
}

func (c *Crowd) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now += n; c.now == c.size && c.most < c.size {
		time.AfterFunc(100*time.Millisecond, func() { close(c.gathered) }) // in which one more would come
	}
	c.most = max(c.most, c.now)
}

// Most returns how many were under way at once.
func (c *Crowd) Most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}
