package sessions

import (
	"errors"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// breaker keeps the users of a backend that is down from waiting for it one after the other: workers that wait for one
// store are not there for others. After a call that found the backend unavailable, new calls fail at once for a while that
// doubles with each failure, and then one at a time is let through until one succeeds.
type breaker struct {
	failures int
	until    time.Time
	cause    error
	// last is the newest call that was under way when the backend was found unavailable: those fail together, and count
	// once.
	last int
}

// The bounds of the pause after a failure.
const (
	minPause = 500 * time.Millisecond
	maxPause = 5 * time.Second
	// maxThrottle bounds what a backend may ask for.
	maxThrottle = 5 * time.Minute
)

// admit returns nil when a new call may be made, and else what the last one failed with. underWay is how many refs are
// being asked for.
func (b *breaker) admit(now time.Time, underWay int) error {
	if b.failures == 0 || !now.Before(b.until) && underWay == 0 {
		return nil
	}
	return b.cause
}

// note records how a call ended. newest is the order of the newest call that was made.
func (b *breaker) note(f *flight, newest int, now time.Time) {
	var throttled *providers.ThrottledError
	asked := errors.As(f.err, &throttled)
	switch {
	case f.err == nil || !asked && !unavailable(f.err):
		b.failures = 0
	case f.order > b.last || b.failures == 0:
		b.failures, b.last, b.cause = b.failures+1, newest, f.err
		b.until = now.Add(doubled(minPause, b.failures-1, maxPause))
		if asked && throttled.After > 0 {
			b.until = now.Add(min(throttled.After, maxThrottle))
		}
	}
}

// doubled returns d doubled n times, most at most.
func doubled(d time.Duration, n int, most time.Duration) time.Duration {
	for ; n > 0 && d < most; n-- {
		d *= 2
	}
	return min(d, most)
}
