package sessions

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/providers"
)

// Limits bound what a Pool keeps and how long it waits. A zero field means the default.
type Limits struct {
	// Timeout is how long a provider may take to open a session or to answer a portion of what it is asked at once, unless the
	// session is patient; default 20 s.
	Timeout time.Duration
	// Idle is how long an unused session stays open; default 15 min.
	Idle time.Duration
	// Recheck is how often the credentials of a session that is used are compared with those that it was opened with;
	// default 1 min.
	Recheck time.Duration
	// Reuse is how old a kept document may be at most, whatever a request allows; default 60 s.
	Reuse time.Duration
	// Reopen is the age from which a session that is denied something is opened again, because its right to ask may have
	// been withdrawn; default 30 s.
	Reopen time.Duration
	// Pause is how long a session that could not be opened is not tried again, doubled with each failure in a row up to
	// maxReopenPause; less when nobody answered, as after any such failure; default 1 s.
	Pause time.Duration
	// Kept is about how many bytes the documents take that are kept for others who may ask for them; default 64 MiB.
	Kept int64
}

func (l Limits) withDefaults() Limits {
	fill := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	fill(&l.Timeout, 20*time.Second)
	fill(&l.Idle, 15*time.Minute)
	fill(&l.Recheck, time.Minute)
	fill(&l.Reuse, MaxReuse)
	fill(&l.Reopen, 30*time.Second)
	fill(&l.Pause, time.Second)
	if l.Kept <= 0 {
		l.Kept = 64 << 20
	}
	return l
}

// MaxReuse is how old a document may be at most that answers a request which did not fetch it.
const MaxReuse = time.Minute

// maxReopenPause bounds the pause between attempts to open a session that is refused: a login that is refused again and again
// can lock an account.
const maxReopenPause = 15 * time.Second

// sweepEvery is how often sessions and documents that nobody uses are looked for.
const sweepEvery = 30 * time.Second

// Pool holds the open sessions of the process. It is safe for concurrent use. It works as soon as it is made; Start
// closes what is idle and, at the end, everything.
type Pool struct {
	providers map[string]providers.Provider
	reader    client.Reader
	tokens    client.SubResourceClientConstructor
	limits    Limits
	observer  Observer
	noAmbient NoAmbient
	// closed is closed when the pool is, and drained when its last goroutine has ended after that.
	closed, drained chan struct{}

	watcher   *watches.Watcher
	followers *watches.Followers[key]
	pace      pace
	turns     *large.Turns
	// keeping is about how many bytes the documents take that all sessions keep.
	keeping atomic.Int64

	mu       sync.Mutex
	shut     bool
	entries  map[key]*entry
	referent map[identity]bool
	// awaited are the stores that are checked until they can be reached.
	awaited map[identity]bool
	// down are the outages, by whose session it is.
	down map[key]*outage
	// credentials are what is known about the objects that sessions are opened with, also while none is open.
	credentials map[key]*credentials
	// forecasts are what is expected to be asked, also while no session is open.
	forecasts map[key]*forecast
	listeners []func(Replaced)
	// running counts the goroutines of the pool, and cancels ends the calls of providers that are under way.
	running int
	cancels map[*call]context.CancelFunc
	// hearers want the news.
	hearers []func(News)
}

// Hold begins a piece of work that reads from stores, with a context for it, and ends it when end is called: until then no other piece
// of work has large documents in memory, if this one has asked for some.
func (p *Pool) Hold(ctx context.Context) (_ context.Context, end func()) { return p.turns.Hold(ctx) }

// Deps are what a Pool needs; Providers, Reader and Tokens are required.
type Deps struct {
	// Providers are the backends that are built in.
	Providers []providers.Provider
	// Reader reads credentials live: it must hold no Secret in a cache.
	Reader client.Reader
	// Tokens mints ServiceAccount tokens.
	Tokens client.SubResourceClientConstructor
	// Watches tell when a credential was replaced; without them the pool compares once per Limits.Recheck.
	Watches *watches.Watcher
	// Observer is told what is asked of backends; nil for nobody.
	Observer Observer
	// NoAmbient are the stores that may use no identity of the controller's own.
	NoAmbient NoAmbient
	Limits    Limits
}

// New returns a Pool.
func New(d Deps) *Pool {
	known := make(map[string]providers.Provider, len(d.Providers))
	for _, p := range d.Providers {
		known[p.Name()] = p
	}
	if d.Observer == nil {
		d.Observer = nobody{}
	}
	p := &Pool{
		providers: known, reader: d.Reader, tokens: d.Tokens, limits: d.Limits.withDefaults(), watcher: d.Watches, observer: d.Observer,
		noAmbient: d.NoAmbient, turns: large.NewTurns(),
		closed: make(chan struct{}), drained: make(chan struct{}),
		entries: map[key]*entry{}, referent: map[identity]bool{}, awaited: map[identity]bool{}, cancels: map[*call]context.CancelFunc{},
		credentials: map[key]*credentials{}, forecasts: map[key]*forecast{}, down: map[key]*outage{},
	}
	p.followers = watches.NewFollowers(d.Watches, p.replaced)
	return p
}

// entry is one session, from the moment when somebody wants it.
type entry struct {
	key   key
	store Store
	env   *env
	// opening ends when session, err, opened and renew are set; they never change afterwards.
	opening *call
	session providers.Session
	err     error
	opened  time.Time
	// failures is how often in a row the session could not be opened before.
	failures int
	// renew is when the session must be opened again because what it was opened with expires; zero for never.
	renew time.Time

	// The rest is guarded by Pool.mu.
	users   int
	retired bool
	// common is set when the session of a ClusterSecretStore turns out to be that of all namespaces.
	common        bool
	used, checked time.Time

	kept kept
}

// acquire returns the open session of the store for requests from namespace, opening it when there is none; with retry
// also when that failed a moment ago. The caller releases it.
func (p *Pool) acquire(ctx context.Context, s Store, namespace string, retry bool) (*entry, error) {
	if !s.cluster() && namespace != s.Namespace {
		return nil, providers.Errorf(providers.ErrInvalid, "%s serves namespace %s only", s.Config.Store, s.Namespace)
	}
	if err := p.Refused(s); err != nil {
		return nil, err
	}
	for renewed := false; ; {
		e := p.join(ctx, s, namespace, retry)
		if e == nil {
			return nil, providers.Errorf(providers.ErrUnavailable, "the controller is shutting down")
		}
		if err := p.wait(ctx, e.opening, s); err != nil {
			p.release(e)
			return nil, err
		}
		retry = false
		switch {
		case errors.Is(e.err, ErrReferent) && e.key.referent == "" && namespace != "":
			p.learnReferent(e)
			p.release(e)
		case !renewed && e.env.outdated():
			renewed = true // once: a watch can be behind what was read
			p.retire(e)
			p.release(e)
		case e.err != nil:
			p.release(e)
			return nil, e.err
		case p.recheckDue(e) && e.env.replaced(ctx):
			p.retire(e)
			p.release(e)
		default:
			return e, nil
		}
	}
}

// release gives a session back; the last user of a retired one closes it.
func (p *Pool) release(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.users--
	p.closeIfUnused(e)
}

// retire takes the entry out of the pool: nobody new gets it, and it is closed when its last user is gone.
func (p *Pool) retire(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retireLocked(e)
}

func (p *Pool) retireLocked(e *entry) {
	if e.retired {
		return
	}
	e.retired = true
	if p.entries[e.key] == e {
		delete(p.entries, e.key)
	}
	p.closeIfUnused(e)
}

// closeIfUnused drops the documents of a retired entry that nobody uses any more, and ends its login.
func (p *Pool) closeIfUnused(e *entry) {
	if !e.retired || e.users > 0 {
		return
	}
	e.kept.drop()
	if closer, ok := providers.As[io.Closer](e.session); ok {
		p.spawn(nil, func() { _ = safely(closer.Close) })
	}
}

// learnReferent remembers that the store takes its credentials from the namespaces that use it.
func (p *Pool) learnReferent(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.referent[e.key.identity] = true
	delete(p.forecasts, e.key) // nobody asks under that key any more
	p.retireLocked(e)
}

// recheckDue reports, to one caller at a time, that the credentials of the entry are to be compared again.
func (p *Pool) recheckDue(e *entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(e.checked) < p.limits.Recheck {
		return false
	}
	e.checked = now
	return true
}

// dropOlder retires the sessions of earlier generations of a store.
func (p *Pool) dropOlder(than identity) {
	for k, e := range p.entries {
		if k.uid == than.uid && k.generation < than.generation {
			p.retireLocked(e)
		}
	}
	for _, ids := range []map[identity]bool{p.referent, p.awaited} {
		maps.DeleteFunc(ids, func(id identity, _ bool) bool { return id.uid == than.uid && id.generation < than.generation })
	}
	maps.DeleteFunc(p.forecasts, func(k key, _ *forecast) bool { return k.uid == than.uid && k.generation < than.generation })
	maps.DeleteFunc(p.down, func(k key, _ *outage) bool { return k.uid == than.uid && k.generation < than.generation })
	p.forgetCredentials(func(k key, _ *credentials) bool { return k.uid == than.uid && k.generation < than.generation })
}

// Forget retires all sessions of a store that is gone.
func (p *Pool) Forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, e := range p.entries {
		if k.uid == uid {
			p.retireLocked(e)
		}
	}
	for _, ids := range []map[identity]bool{p.referent, p.awaited} {
		maps.DeleteFunc(ids, func(id identity, _ bool) bool { return id.uid == uid })
	}
	maps.DeleteFunc(p.forecasts, func(k key, _ *forecast) bool { return k.uid == uid })
	maps.DeleteFunc(p.down, func(k key, _ *outage) bool { return k.uid == uid })
	p.forgetCredentials(func(k key, _ *credentials) bool { return k.uid == uid })
}

// Start closes idle sessions until the context ends, then all of them, and returns when they are closed (or do not
// close within the pool's timeout).
func (p *Pool) Start(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.sweep(time.Now())
		case <-ctx.Done():
			p.close()
			return nil
		}
	}
}

func (p *Pool) sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, e := range p.entries {
		switch {
		case e.users > 0:
		case now.Sub(e.used) >= p.limits.Idle || p.down[k] == nil && e.expired(now): // one that failed is kept: it counts
			p.retireLocked(e)
			continue
		}
		e.kept.sweep(now.Add(-p.limits.Reuse), now)
	}
	maps.DeleteFunc(p.forecasts, func(k key, f *forecast) bool { return f.sweep(now) && p.entries[k] == nil })
	p.forgetCredentials(func(k key, c *credentials) bool { return p.entries[k] == nil && now.Sub(c.used) >= p.limits.Idle })
	used := map[identity]bool{}
	for k := range p.entries {
		used[k.identity] = true
	}
	// Of a store that is used again it is learned again, without a call; one that is gone may have been learned after Forget.
	maps.DeleteFunc(p.referent, func(id identity, _ bool) bool { return !used[id] })
}

func (p *Pool) close() {
	p.mu.Lock()
	if !p.shut {
		p.shut = true
		close(p.closed)
	}
	for _, cancel := range p.cancels {
		cancel()
	}
	for _, e := range p.entries {
		p.retireLocked(e)
	}
	p.drainedLocked()
	p.mu.Unlock()
	select {
	case <-p.drained:
	case <-time.After(p.limits.Timeout):
	}
}

// spawn runs do in a goroutine of the pool, which uses e meanwhile (nil for none). The caller holds p.mu.
func (p *Pool) spawn(e *entry, do func()) {
	p.running++
	if e != nil {
		e.users++
	}
	go func() {
		do()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.running--
		if e != nil {
			e.users--
			p.closeIfUnused(e)
		}
		p.drainedLocked()
	}()
}

// drainedLocked announces that the closed pool has no goroutine left.
func (p *Pool) drainedLocked() {
	if !p.shut || p.running > 0 {
		return
	}
	select {
	case <-p.drained: // a session that was still used when the pool was closed
	default:
		close(p.drained)
	}
}

// bound limits one call of a provider to a time and to the pool's life. The id tells calls apart.
func (p *Pool) bound(ctx context.Context, id *call, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancels[id] = cancel
	if p.shut {
		cancel()
	}
	return ctx, func() {
		cancel()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.cancels, id)
	}
}
