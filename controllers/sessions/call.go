package sessions

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sealbridge/sealbridge/providers"
)

// grace is how much later than its context a provider may return before nobody waits for it any longer.
const grace = 2 * time.Second

// call is something under way that many may wait for.
type call struct {
	done chan struct{}
	// late is when a provider that ignores its context is no longer waited for.
	late time.Time
}

func newCall(deadline time.Time) *call {
	return &call{done: make(chan struct{}), late: deadline.Add(grace)}
}

func (c *call) end() { close(c.done) }

func (c *call) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// wait returns nil when the call has ended, and an error when the context or the patience ends first.
func (p *Pool) wait(ctx context.Context, c *call, s Store) error {
	return p.waitFor(ctx, c, s, nil, c.late)
}

// waitFor is wait until a time, and returns nil too when something else has happened.
func (p *Pool) waitFor(ctx context.Context, c *call, s Store, event <-chan struct{}, until time.Time) error {
	if c.ended() {
		return nil
	}
	patience := time.NewTimer(time.Until(until))
	defer patience.Stop()
	select {
	case <-c.done:
		return nil
	case <-event:
		return nil
	case <-ctx.Done():
		return providers.Errorf(providers.ErrUnavailable, "%s: %w", s.Config.Store, context.Cause(ctx))
	case <-patience.C:
		return unanswered(s)
	}
}

// guard calls a provider: it contains a panic, and says which store did not answer in time.
func guard[T any](ctx context.Context, s Store, do func() (T, error)) (T, error) {
	var got T
	err := safelyLogged(ctx, s, func() (err error) {
		got, err = do()
		return err
	})
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = unanswered(s)
	}
	return got, err
}

// unanswered is the error for a store that took too long.
func unanswered(s Store) error {
	return providers.Errorf(providers.ErrUnavailable, "%s did not answer in time", s.Config.Store)
}

// panicked stands for a panic of a provider. What it panicked with may quote a value and is shown to nobody.
type panicked struct{ stack []byte }

func (*panicked) Error() string {
	return "the provider failed unexpectedly (a panic, see the controller's log)"
}

func safely(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			stack := debug.Stack()
			if elsewhere, ok := p.(interface{ Stack() []byte }); ok { // in a goroutine that the provider has waited for
				stack = elsewhere.Stack()
			}
			err = &panicked{stack: stack}
		}
	}()
	return do()
}

func safelyLogged(ctx context.Context, s Store, do func() error) error {
	err := safely(do)
	var p *panicked
	if errors.As(err, &p) {
		log.FromContext(ctx).Error(p, "provider panicked", "store", s.Config.Store, "stack", string(p.stack))
		return providers.Errorf(providers.ErrUnavailable, "%s: %w", s.Config.Store, p)
	}
	return err
}
