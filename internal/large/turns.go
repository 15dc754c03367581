package large

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// Answer is how many bytes of an answer anybody may read at any time.
	Answer = 64 << 10
	// Together is how many bytes of answers a piece of work may have together at any time.
	Together = 1 << 20
	// patience is how long a turn is waited for. Who waits for somebody who waits for him waits as long.
	patience = 5 * time.Second
)

// ErrBusy says that others have had their turn for so long that this one has not come.
var ErrBusy = errors.New("others are reading large documents, which is done by one after the other; it is tried again")

// Turns are had by one piece of work at a time. They are safe for concurrent use.
type Turns struct{ one *semaphore.Weighted }

// NewTurns returns Turns that nobody has.
func NewTurns() *Turns { return &Turns{one: semaphore.NewWeighted(1)} }

type key struct{}

// hold is a piece of work, which may have its turn.
type hold struct {
	turns *Turns
	// asking is held while the turn is waited for, so that it is taken once.
	asking chan struct{}
	mu     sync.Mutex
	has    bool
	ended  bool
}

// Hold begins a piece of work, which ends when end is called: that gives back its turn, if it has taken it. What belongs to a piece
// of work already stays part of that.
func (t *Turns) Hold(ctx context.Context) (_ context.Context, end func()) {
	if _, ok := ctx.Value(key{}).(*hold); ok {
		return ctx, func() {}
	}
	h := &hold{turns: t, asking: make(chan struct{}, 1)}
	return context.WithValue(ctx, key{}, h), h.end
}

func (h *hold) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.has && !h.ended {
		h.turns.one.Release(1)
	}
	h.ended = true
}

// state reports whether the piece of work has its turn, and whether it has ended.
func (h *hold) state() (has, ended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.has && !h.ended, h.ended
}

// Taken reports whether the piece of work that a context belongs to has its turn, so that others wait for it to end.
func Taken(ctx context.Context) bool {
	h, ok := ctx.Value(key{}).(*hold)
	if !ok {
		return false
	}
	has, _ := h.state()
	return has
}

// Take returns nil when the piece of work that a context belongs to has its turn, at once where it has it already or the context
// belongs to none. Its error is ErrBusy.
func Take(ctx context.Context) error {
	h, ok := ctx.Value(key{}).(*hold)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case h.asking <- struct{}{}:
		defer func() { <-h.asking }()
	case <-ctx.Done():
		return ErrBusy
	}
	has, ended := h.state()
	if has {
		return nil
	}
	if ended || h.turns.one.Acquire(ctx, 1) != nil {
		return ErrBusy
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended { // meanwhile
		h.turns.one.Release(1)
		return ErrBusy
	}
	h.has = true
	return nil
}
