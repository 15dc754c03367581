package sessions

import (
	"slices"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// maxGather is how long a call waits at most for others to join it.
const maxGather = 100 * time.Millisecond

// batchOf returns how many documents one request of a session answers.
func batchOf(s providers.Session) int {
	if b, ok := providers.As[providers.Batcher](s); ok {
		return b.Batch()
	}
	return 1
}

// gathersLocked reports whether a call may be made together with others: of what is read together, and of nothing that a call
// may fail because of. The caller holds k.mu.
func (k *kept) gathersLocked(f *flight) bool {
	return f.batch > 1 && !f.direct && k.breaker.failures == 0 && !k.riskyLocked(f.refs) &&
		!slices.ContainsFunc(f.refs, func(q question) bool { return !current(q) })
}

// riskyLocked reports whether one of the questions was asked in vain the last time.
func (k *kept) riskyLocked(refs []question) bool {
	return slices.ContainsFunc(refs, func(q question) bool { return k.breaker.bad[q] })
}

// joinLocked puts as many questions of a new call as there is room for into the one that waits, and makes that when it is full. The
// caller holds k.mu.
func (k *kept) joinLocked(own *flight, waits map[question]*flight, now time.Time) {
	if k.waiting == nil || !k.gathersLocked(own) {
		return
	}
	into := k.waiting
	n := min(room(into.batch, into.refs), len(own.refs))
	for _, q := range own.refs[:n] {
		waits[q], k.flights[q] = into, into
	}
	into.refs, own.refs = append(into.refs, own.refs[:n]...), own.refs[n:]
	if room(into.batch, into.refs) == 0 {
		k.beginLocked(into, now)
	}
}

// enterLocked makes a new call, or has it wait for others to join it: when it has room, and another call is under way. The caller
// holds k.mu.
func (k *kept) enterLocked(own *flight, now time.Time) {
	if k.waiting == nil && k.making > 0 && room(own.batch, own.refs) > 0 && k.gathersLocked(own) {
		own.begins = make(chan struct{})
		k.waiting = own
		return
	}
	k.beginLocked(own, now)
}

// beginLocked ends the time in which others may join a call: it is made now, with what is fetched ahead, or refused, because the
// backend has gone down meanwhile. The caller holds k.mu.
func (k *kept) beginLocked(f *flight, now time.Time) {
	if f.begun {
		return
	}
	f.begun = true
	if f.begins != nil {
		defer close(f.begins)
		k.waiting = nil
		if k.breaker.failures > 0 {
			k.breaker.refuse(f)
			f.refused, f.err = true, k.breaker.cause
			return
		}
	}
	k.making++
	k.last++
	f.order, f.asked = k.last, now
	f.ahead = k.aheadLocked(f, now)
	for _, q := range f.ahead {
		k.flights[q] = f
	}
}

// gather waits until a call is to be made, and reports whether it is: when it is full, no other is under way any more, or it
// has waited long enough.
func (k *kept) gather(f *flight) bool {
	if f.begins != nil {
		select {
		case <-f.begins:
		case <-time.After(maxGather):
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.beginLocked(f, time.Now())
	return !f.refused
}

// serves reports whether a call answers a question of a request. One that has not begun asks after everybody who comes now; one
// that fetches it ahead, or asks for much before it, does not answer who was disappointed by such a call.
func (f *flight) serves(req Request, q question) bool {
	switch {
	case f == nil, req.direct && !slices.Contains(f.refs[:min(portionOf(f.batch), len(f.refs))], q):
		return false
	default:
		return !f.begun || !req.Forced && !f.asked.Before(req.Since)
	}
}
