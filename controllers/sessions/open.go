package sessions

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// join returns the entry for the request with one user more, making and opening it when there is none that can be used;
// nil when the pool is closed.
func (p *Pool) join(ctx context.Context, s Store, namespace string, retry bool) *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		return nil
	}
	k := p.keyLocked(s, namespace)
	now := time.Now()
	e := p.enter(ctx, k, s, now, retry)
	e.users++
	e.used = now
	if c := p.credentials[k]; c != nil {
		c.used = now
	}
	if o := p.down[k]; o != nil {
		o.used = now
	}
	return e
}

// keyLocked returns whose session answers requests from a namespace, as far as it is known. The caller holds p.mu.
func (p *Pool) keyLocked(s Store, namespace string) key {
	k := key{identity: s.identity()}
	if s.cluster() && p.referent[k.identity] {
		k.referent = namespace
	}
	return k
}

// enter returns the entry of a key, a new one when there is none that can be used; with retry also when opening it failed a
// moment ago and not because the backend asked for time. The caller holds p.mu.
func (p *Pool) enter(ctx context.Context, k key, s Store, now time.Time, retry bool) *entry {
	e, failures := p.entries[k], 0
	if e != nil && (e.outlived(now, p.limits.Pause) || retry && e.opening.ended() && e.err != nil && !throttles(e.err) || e.differs(s)) {
		if e.opening.ended() && e.err != nil {
			failures = e.failures + 1
		}
		p.retireLocked(e)
		e = nil
	}
	if e != nil {
		return e
	}
	e = p.newEntry(k, s, now)
	e.failures = failures
	p.dropOlder(k.identity)
	p.entries[k] = e
	p.lendTo(e)
	p.spawn(e, func() { p.open(context.WithoutCancel(ctx), e) })
	return e
}

func (p *Pool) newEntry(k key, s Store, now time.Time) *entry {
	e := &entry{key: k, store: s, opening: newCall(now.Add(p.limits.Timeout)), checked: now}
	e.env = &env{store: s.Config.Store, reader: p.reader, tokens: p.tokens, namespace: k.referent}
	e.env.ambient = func(own providers.Ambient) error { return p.noAmbient.refusal(s, &own) }
	if !s.cluster() {
		e.env.namespace, e.env.confined = s.Namespace, true
	}
	e.kept.forecast, e.kept.shelf.all = p.forecastLocked(k), &p.keeping
	return e
}

// differs reports whether a session was opened with another configuration of the same generation: that of a cluster which was restored
// from a backup, and whose next generations have the numbers of others.
func (e *entry) differs(s Store) bool { return !reflect.DeepEqual(e.store.Config.Spec, s.Config.Spec) }

// outlived reports whether the entry must be replaced: its login is near its end, or could not be had a while ago.
func (e *entry) outlived(now time.Time, pause time.Duration) bool {
	if e.opening.ended() && e.err != nil {
		return now.Sub(e.opened) >= e.rests(pause)
	}
	return e.expired(now)
}

// expired reports whether the login of an entry is near its end.
func (e *entry) expired(now time.Time) bool {
	return e.opening.ended() && !e.renew.IsZero() && now.After(e.renew)
}

// rests returns how long a session that could not be opened is left alone: long where it was refused, as asked where it was
// throttled, and briefly where nobody answered.
func (e *entry) rests(pause time.Duration) time.Duration {
	var throttled *providers.ThrottledError
	switch {
	case errors.As(e.err, &throttled) && throttled.After > 0:
		return min(throttled.After, MaxThrottle)
	case OutOfReach(e.err):
		return pauseAfter(pause, e.failures)
	default:
		return doubled(pause, e.failures, maxReopenPause)
	}
}

// open opens the entry's session.
func (p *Pool) open(ctx context.Context, e *entry) {
	defer p.opened(ctx, e)
	defer e.opening.end()
	bounded, cancel := p.bound(ctx, e.opening, p.limits.Timeout)
	defer cancel()
	started := time.Now()
	session, err := guard(bounded, e.store, func() (providers.Session, error) {
		return e.store.Provider.Open(bounded, e.store.Config, e.env)
	})
	if !e.env.wantsReferent() {
		p.called(e.store, OpOpen, started, err)
	}
	if err == nil && session == nil {
		err = providers.Errorf(providers.ErrUnavailable, "%s: the provider opened no session", e.store.Config.Store)
	}
	e.session, e.err, e.opened = session, err, time.Now()
	if e.env.wantsReferent() {
		// Also when the provider got along without: what it found instead is not what the store names.
		e.err = ErrReferent
	}
	if e.err == nil && e.store.cluster() && e.key.referent == "" {
		p.unite(e)
	}
	if e.err == nil {
		e.renew = p.renewal(e.opened, e.session, e.env.expiry())
	}
}

// shortest is the least time for which a login is taken to be good.
const shortest = time.Second

// renewal returns when a session that was opened now must be opened again: after four fifths of the time that is left. A login
// that is over as it comes is one of two clocks that differ, or one that another would not mend: it is kept for a while, because
// whoever logs in for each question is a load on who lets him in.
func (p *Pool) renewal(now time.Time, s providers.Session, tokens time.Time) time.Time {
	expires := tokens
	if x, ok := providers.As[providers.Expirer](s); ok {
		expires = x.Expires()
	}
	switch left := expires.Sub(now); {
	case expires.IsZero():
		return time.Time{}
	case left < shortest:
		return now.Add(p.limits.Reopen)
	default:
		return now.Add(left / 5 * 4) // the other way round it is more than a Duration holds after 73 years
	}
}
