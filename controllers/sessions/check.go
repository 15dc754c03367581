package sessions

import (
	"context"
	"errors"
	"time"

	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/providers"
)

// Checked is what is known about a store after a check that succeeded.
type Checked struct {
	// Pushes is set when the store can be written to.
	Pushes bool
	// Lent are the objects that the session was opened with, and the versions that were read.
	Lent map[watches.Object]watches.Version
	// Unverified says why the backend could not tell whether it can be used; empty when it could.
	Unverified string
}

// Check opens the store's session, when it is not open, and asks the backend whether it can be used, when its provider
// knows how to ask. It is not asked what it was asked before where a document was read through the session since, asked for within
// the time that is given, 0 for never. It fails with ErrReferent for a store that only a namespace can use. When the backend is unavailable
// the pool goes on asking, each ten seconds at last, and says as News that it has recovered.
func (p *Pool) Check(ctx context.Context, s Store, within time.Duration) (Checked, error) {
	checked, opened, err := p.check(ctx, s, within)
	if opened && err != nil && unavailable(err) {
		p.await(ctx, s) // without a session, that is what the outage waits for
	}
	return checked, err
}

// check checks a store once, and reports whether its session could be opened.
func (p *Pool) check(ctx context.Context, s Store, within time.Duration) (checked Checked, opened bool, err error) {
	ctx, end := p.Hold(ctx)
	defer end()
	e, err := p.acquire(ctx, s, s.Namespace, true)
	if err != nil {
		return Checked{}, false, err
	}
	defer p.release(e)
	unverified, err := p.usable(ctx, e, within)
	switch {
	case e.env.wantsReferent():
		p.learnReferent(e)
		return Checked{}, true, ErrReferent
	case errors.Is(err, providers.ErrDenied):
		p.retire(e)
	}
	if err != nil {
		return Checked{}, true, err
	}
	_, pushes := providers.As[providers.Pusher](e.session)
	return Checked{Pushes: pushes, Lent: e.env.lendings(), Unverified: unverified}, true, nil
}

// usable asks the backend whether a session can be used, unless what it said is known to hold still, and returns what it cannot tell.
func (p *Pool) usable(ctx context.Context, e *entry, within time.Duration) (unverified string, err error) {
	checker, ok := providers.As[providers.Checker](e.session)
	if !ok {
		return "", nil
	}
	started := time.Now()
	if known, ok := e.kept.vouched(started.Add(-within)); ok {
		return known, nil
	}
	bounded, cancel := p.bound(ctx, newCall(time.Time{}), p.limits.Timeout)
	defer cancel()
	_, err = guard(bounded, e.store, func() (struct{}, error) { return struct{}{}, checker.Check(bounded) })
	if errors.Is(err, providers.ErrUnverified) {
		unverified, err = err.Error(), nil
	}
	p.called(e.store, OpCheck, started, err)
	e.kept.checked(unverified, err)
	return unverified, err
}

// maxCheckPause bounds the pause between two checks of a backend that is unavailable.
const maxCheckPause = 10 * time.Second

// await checks a store that could not be reached until it can be, in a goroutine of its own: whoever reconciles stores has
// others to look at.
func (p *Pool) await(ctx context.Context, s Store) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id := s.identity(); !p.shut && !p.awaited[id] {
		p.awaited[id] = true
		p.spawn(nil, func() { p.untilUp(context.WithoutCancel(ctx), s) })
	}
}

// untilUp checks a store until it answers, whatever it answers, or nobody awaits it any more.
func (p *Pool) untilUp(ctx context.Context, s Store) {
	for n := 0; ; n++ {
		select {
		case <-time.After(doubled(time.Second, n, maxCheckPause)):
		case <-p.closed:
			return
		}
		if !p.awaits(s) {
			return
		}
		if _, _, err := p.check(ctx, s, 0); err == nil || !unavailable(err) {
			break
		}
	}
	p.mu.Lock()
	delete(p.awaited, s.identity())
	p.mu.Unlock()
	p.tell(News{Store: s, Recovered: true})
}

// awaits reports whether a store is still to be checked: it is as it was, and exists.
func (p *Pool) awaits(s Store) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.awaited[s.identity()]
}
