package sealingkey

import (
	"context"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sealbridge/sealbridge/crypto/keyring"
)

const (
	// heldPeriod is how often a holder is asked for its keys, so that one that was rotated is used without a restart, and
	// heldRetry how often while it does not answer.
	heldPeriod = time.Minute
	heldRetry  = 5 * time.Second
	// heldGrace is how long a start waits for the holder's first answer, before the other keys are given out.
	heldGrace = time.Second
)

// heldKeys returns the keys that the holder has, as far as they are known.
func (c *Controller) heldKeys(ctx context.Context) []keyring.Member {
	if c.deps.Held == nil {
		return nil
	}
	grace := time.NewTimer(heldGrace)
	defer grace.Stop()
	select {
	case <-c.asked:
	case <-grace.C:
	case <-ctx.Done():
	}
	return c.deps.Held.Keys()
}

// watchHolder asks the holder for its keys until the context ends, and tells of each answer.
func (c *Controller) watchHolder(ctx context.Context, answered func()) {
	failed := ""
	for first := true; ; first = false {
		err := c.deps.Held.Ask(ctx)
		if first {
			close(c.asked)
		}
		answered()
		wait := c.deps.HeldPeriod
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && failed != "":
			log.FromContext(ctx).Info("the holder of sealing keys answers again")
		case err != nil && err.Error() != failed:
			log.FromContext(ctx).Error(err, "the holder of sealing keys cannot be asked; what is sealed to them opens when it can")
		}
		failed = ""
		if err != nil {
			failed, wait = err.Error(), min(heldRetry, c.deps.HeldPeriod)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}
