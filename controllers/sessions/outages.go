package sessions

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// outage is what is known of a backend that an identity cannot reach, from the first failure until somebody has an answer
// again, through whichever session. Its fields but the first two are guarded by Pool.mu.
type outage struct {
	key   key
	store Store
	// ask is a call that failed, which is made again to find out; nil when not even a session could be opened.
	ask *flight
	// used is when somebody wanted something last.
	used time.Time
	// over is set when the backend has answered.
	over bool
}

// isDown notes that the backend cannot be reached with an entry, and makes the pool find out when it is up: its users wait
// longer each time and would notice late. The flight is the one that failed; nil when the entry could not be opened.
func (p *Pool) isDown(ctx context.Context, e *entry, failed *flight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut || e.retired {
		return
	}
	o := p.down[e.key]
	if o == nil {
		o = &outage{key: e.key, store: e.store, used: e.used}
		p.down[e.key] = o
		p.spawn(nil, func() { p.probe(context.WithoutCancel(ctx), o) })
	}
	if o.ask == nil {
		o.ask = failed
	}
}

// isUp notes that the backend has answered, and reports whether that is news. It is none where a call that ended meanwhile has
// found the backend down, or where another session is to find out: its users are refused until then.
func (p *Pool) isUp(e *entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.down[e.key]
	if o == nil || e.retired || e.kept.isDown() {
		return false
	}
	o.over = true
	delete(p.down, e.key)
	return true
}

// opened notes what an attempt to open a session says about its backend. A session says nothing where something is to be asked.
func (p *Pool) opened(ctx context.Context, e *entry) {
	if OutOfReach(e.err) {
		p.isDown(ctx, e, nil)
		return
	}
	p.mu.Lock()
	o := p.down[e.key]
	unasked := e.err == nil && o != nil && o.ask != nil
	p.mu.Unlock()
	if !unasked {
		p.tell(newsOf(e, nil, p.isUp(e)))
	}
}

// OutOfReach reports whether an error says that the backend answers nobody now: the pool finds out when it does again, and says
// so as News.
func OutOfReach(err error) bool { return err != nil && (unavailable(err) || throttles(err)) }

// probe asks a backend that is down, whenever it has been left alone for long enough, until it answers. It ends when the
// store is not what it was or nobody has wanted anything for a while.
func (p *Pool) probe(ctx context.Context, o *outage) {
	p.pace.begin()
	defer func() { p.pace.end(p.ended(o)) }()
	for {
		pause, hurry, wanted := p.pauseOf(o)
		if !wanted {
			return
		}
		hinted, ok := p.rest(pause, hurry)
		if !ok {
			return
		}
		e, ask := p.revisit(ctx, o, hinted)
		if e == nil {
			return
		}
		if p.wait(ctx, e.opening, o.store) == nil && e.err == nil && ask != nil {
			p.askAgain(ctx, e, ask, hinted)
		}
		p.release(e)
	}
}

// ended reports whether the backend of an outage has answered, which may happen while the pool is being closed.
func (p *Pool) ended(o *outage) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return o.over
}

// askAgain makes one call, once: of what the session knows or, when it has failed nobody yet, of what failed before.
func (p *Pool) askAgain(ctx context.Context, e *entry, ask *flight, hinted bool) {
	now, cause := time.Now(), ask.err
	if known := e.kept.retry(now, hinted); known != nil {
		ask = known
	}
	t, err := e.kept.take(Request{query: ask.query}, ask.refs[:1], now, now.Add(p.timeout(e)))
	if err == nil && t.own != nil {
		t.own.until, t.own.outage = now, cause
		p.fly(ctx, e, t.own)
	}
}

// pauseOf returns how long the backend is left alone yet, whether it may be asked earlier when there is a hint, and whether
// anybody still wants to know.
func (p *Pool) pauseOf(o *outage) (pause time.Duration, hurry, wanted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.awaitedLocked(o, now) {
		return 0, false, false
	}
	switch e := p.entries[o.key]; {
	case e == nil:
		return 0, false, true
	case !e.opening.ended():
		return minPause, false, true
	case e.err != nil:
		return e.opened.Add(jittered(e.rests(p.limits.Pause) * 5 / 4)).Sub(now), !throttles(e.err), true
	default:
		pause, hurry = e.kept.pause(now)
		return pause, hurry, true
	}
}

// revisit returns the entry of an outage with one user more, opening it again when that is due or there is a hint, and what to
// ask; nil when nobody wants to know any more.
func (p *Pool) revisit(ctx context.Context, o *outage, hinted bool) (*entry, *flight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.awaitedLocked(o, now) {
		return nil, nil
	}
	e := p.enter(ctx, o.key, o.store, now, hinted)
	if e.used.IsZero() {
		e.used = o.used
	}
	e.users++
	return e, o.ask
}

// awaitedLocked reports whether an outage lasts and somebody wanted something lately. The caller holds p.mu.
func (p *Pool) awaitedLocked(o *outage, now time.Time) bool {
	if p.shut || p.down[o.key] != o {
		return false
	}
	if now.Sub(o.used) < p.limits.Idle {
		return true
	}
	delete(p.down, o.key)
	return false
}

// pace is that of all who ask backends that are down. Those that are down together often are one backend, so that they share
// it, and the first that is up again is a hint to the others.
type pace struct {
	mu   sync.Mutex
	down int
	up   chan struct{}
}

const (
	// askShare is by how much each outage stretches the pause in all of them: twenty questions are asked a second at most.
	askShare = 50 * time.Millisecond
	// hintShare is by how much each stretches the time within which the others are asked once one is over.
	hintShare = 10 * time.Millisecond
)

func (p *pace) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down++
}

func (p *pace) end(up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down--
	if up && p.up != nil {
		close(p.up)
		p.up = nil
	}
}

// now returns how many outages there are, and what is closed when one of them is over.
func (p *pace) now() (down int, up <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.up == nil {
		p.up = make(chan struct{})
	}
	return p.down, p.up
}

// rest waits until a backend that is down may be asked again: for a pause or, when many are down, for its turn. One that may be
// hurried is asked soon after another is up, which is the hint. It returns false for ok when the pool is closed.
func (p *Pool) rest(pause time.Duration, hurry bool) (hinted, ok bool) {
	down, up := p.pace.now()
	if !hurry {
		up = nil
	}
	select {
	case <-time.After(max(pause, time.Duration(down-1)*askShare, time.Millisecond)):
		return false, true
	case <-p.closed:
		return false, false
	case <-up:
	}
	select {
	case <-time.After(minPause + rand.N(time.Duration(down)*hintShare+1)): //nolint:gosec // nobody gains by guessing it
		return true, true
	case <-p.closed:
		return false, false
	}
}
