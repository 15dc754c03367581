package sessions

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// breaker keeps the users of a backend that is down from waiting for it one after the other: workers that wait for one
// store are not there for others. After a call that found the backend unavailable, new calls fail at once for a while that
// doubles with each failure, and then one at a time is let through until one succeeds. What alone cannot be read while
// everything else can is no outage: it begins none a second time. A call all of whose documents could not be read, each by
// itself, begins none, and ends none. A session that is opened in an outage is in it as soon as the call that is to find out whether
// it lasts fails in whichever way, unless the session was answered before.
type breaker struct {
	failures int
	until    time.Time
	// failed is when a call was last found to have failed, and up is set once one was answered.
	failed time.Time
	up     bool
	// cause is what everybody is told, and first the call that failed with it. While the backend is down only the same call
	// changes it: everybody is told the same until something else is wrong.
	cause error
	first *flight
	// last is the newest call that was under way when the backend was found unavailable: those fail together, and count
	// once.
	last int
	// bad is what was asked for in vain when it was asked for last.
	bad map[question]bool
	// refused is a call that was not made; see refuse.
	refused *flight
}

// The bounds of the pause after a failure. Whoever waits for a backend finds out not much later than maxPause that it is up, and
// than latePause when it was down for about a minute, after manyFailures.
const (
	minPause     = 500 * time.Millisecond
	maxPause     = 2 * time.Second
	latePause    = 5 * time.Second
	manyFailures = 30
)

// MaxThrottle is how long a backend that asks for time is left alone at most.
const MaxThrottle = 5 * time.Minute

// admit returns nil when a new call may be made, and else what the last one failed with. underWay is how many refs are
// being asked for.
func (b *breaker) admit(f *flight, now time.Time, underWay int) error {
	if b.failures == 0 || !now.Before(b.until) && underWay == 0 {
		return nil
	}
	b.refuse(f)
	return b.cause
}

// refuse notes a call that is not made: the last one, but none of what could not be read the last time, which says little of the
// backend, where there is another.
func (b *breaker) refuse(f *flight) {
	if b.refused == nil || !b.inVain(f) || b.inVain(b.refused) {
		b.refused = f
	}
}

// note records how a call ended. newest is the order of the newest call that was made.
func (b *breaker) note(f *flight, newest int, now time.Time) {
	switch {
	case f.answered() && f.heard.Before(b.failed): // what failed since says more
		return
	case f.answered(), f.vain() && b.failures == 0 && (f.outage == nil || b.up):
		b.failures, b.refused, b.up = 0, nil, b.up || f.answered()
		for _, q := range f.refs {
			delete(b.bad, q)
		}
		return
	case b.failures == 0 && b.known(f):
		return
	case f.order > b.last || b.failures == 0:
		if b.failures == 0 {
			b.cause, b.first = cmp.Or(f.err, f.outage), f
		} else if f.err != nil && (f.refs[0] == b.first.refs[0] || throttles(f.err) != throttles(b.cause)) {
			b.cause, b.first = f.err, f
		}
		b.failures, b.last = b.failures+1, newest
		b.until = now.Add(jittered(pauseAfter(minPause, b.failures-1)))
		var throttled *providers.ThrottledError
		if errors.As(f.err, &throttled) && throttled.After > 0 {
			b.until = now.Add(min(throttled.After, MaxThrottle))
		}
	}
	b.failed = now
	if b.bad == nil {
		b.bad = map[question]bool{}
	}
	for _, q := range f.refs {
		b.bad[q] = true
	}
}

// known reports whether everything that a call asked for was asked for in vain before. A backend that asks for less means all.
func (b *breaker) known(f *flight) bool {
	return !throttles(f.err) && b.inVain(f)
}

// inVain reports whether everything that a call asks for was asked for in vain the last time.
func (b *breaker) inVain(f *flight) bool {
	return !slices.ContainsFunc(f.refs, func(q question) bool { return !b.bad[q] })
}

// pauseAfter returns how long a backend is left alone that has failed once more than that.
func pauseAfter(first time.Duration, failures int) time.Duration {
	if failures >= manyFailures {
		return latePause
	}
	return doubled(first, failures, maxPause)
}

// hurry ends the pause, unless the backend has asked for it.
func (b *breaker) hurry(now time.Time) {
	if !throttles(b.cause) {
		b.until = now
	}
}

// throttles reports whether an error says that the backend asked for less.
func throttles(err error) bool {
	var throttled *providers.ThrottledError
	return errors.As(err, &throttled)
}

// jittered returns between four fifths and all of a pause, so that those that fail together do not ask together again.
func jittered(d time.Duration) time.Duration {
	return d - rand.N(d/5+1) //nolint:gosec // nobody gains by guessing it
}

// doubled returns d doubled n times, most at most.
func doubled(d time.Duration, n int, most time.Duration) time.Duration {
	for ; n > 0 && d < most; n-- {
		d *= 2
	}
	return min(d, most)
}

// retry returns what to ask to find out whether the backend is up: in turn a call that was refused, because a document
// that alone cannot be read does not stand for all, and the one whose failure is what everybody is told. It is nil for
// neither. With a hint that the backend is up it ends the pause.
func (k *kept) retry(now time.Time, hinted bool) *flight {
	k.mu.Lock()
	defer k.mu.Unlock()
	if hinted {
		k.breaker.hurry(now)
	}
	if k.breaker.failures == 0 || k.breaker.failures%2 == 1 && k.breaker.refused != nil {
		return k.breaker.refused
	}
	return k.breaker.first
}

// pause returns how long the backend is left alone yet, and whether it may be asked earlier.
func (k *kept) pause(now time.Time) (pause time.Duration, hurry bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pause = k.breaker.until.Sub(now)
	if len(k.flights) > 0 { // somebody else is asking
		pause = max(pause, minPause)
	}
	return pause, !throttles(k.breaker.cause)
}
