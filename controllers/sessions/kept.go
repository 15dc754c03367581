package sessions

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// kept is what a session was asked for: the documents that may be reused, and the calls under way.
type kept struct {
	mu      sync.Mutex
	dropped bool
	last    int
	breaker breaker
	proof   proof
	shelf   shelf
	flights map[question]*flight
	// known is what is remembered of each question that somebody still asks, and matched what searches found (notice.go).
	known   map[question]memory
	matched map[question]map[string]uint64
	seed    maphash.Seed
	// making counts the calls that are made now, and waiting is the one that others may join before it is (gather.go).
	making  int
	waiting *flight
	// forecast is shared by all sessions of the same identity (forecast.go).
	forecast *forecast
}

// document is a result and when its call was started: its age counts from there. One that is outdated since a time holds no
// result; it keeps those of calls of before from being taken for current ones for as long as any could be.
type document struct {
	result   providers.Result
	asked    time.Time
	order    int
	outdated time.Time
}

// question is what a session is asked: for the document of a ref or, when find is not empty, to find documents. Equal
// questions have one answer.
type question struct {
	ref  providers.Ref
	find string
}

// flight is one call of a provider; results and err are set when the call ends.
type flight struct {
	*call
	refs    []question
	query   *providers.Query // of a call that finds
	asked   time.Time
	order   int // of the calls of the session, by when they were started
	until   time.Time
	results map[question]providers.Result
	err     error
	// heard is when the backend has answered last.
	heard time.Time

	// ahead is what is fetched besides, because somebody is expected to ask for it. Whether it can be read says nothing about the call.
	ahead []question
	// batch and direct are those of the request, begins is closed when a call that waited for others is made or refused, and begun
	// says that nobody may join it any more.
	batch          int
	direct         bool
	begins         chan struct{}
	begun, refused bool
	// outage is the one that a call is to find the end of: what its users are told; nil for a call of a user.
	outage error

	// early is what has been read while the call goes on.
	early early
}

// vain reports whether a call that did not fail brought nothing, because each document could not be read.
func (f *flight) vain() bool {
	return f.err == nil && !slices.ContainsFunc(f.refs, func(q question) bool { return !OutOfReach(f.results[q].Err) })
}

// answered reports whether a call that ended shows that the backend could be reached.
func (f *flight) answered() bool { return !OutOfReach(f.err) && !f.vain() }

// hear notes what a request of a call has brought.
func (f *flight) hear(results []providers.Result, err error) {
	if err != nil {
		results = []providers.Result{{Err: err}}
	}
	if slices.ContainsFunc(results, func(r providers.Result) bool { return !OutOfReach(r.Err) }) {
		f.heard = time.Now()
	}
}

// taken is where the answers to the questions of a request come from.
type taken struct {
	have  map[question]providers.Result
	waits map[question]*flight
	// own is the call for which it is left to the caller to make it; nil when there is none.
	own *flight
	// asked counts the questions that nobody was asking.
	asked int
}

// take sorts the questions of a request into documents that can be reused, calls to wait for, and one new call for the rest.
// It fails when a new call is needed and the backend is down.
func (k *kept) take(req Request, questions []question, now, deadline time.Time) (taken, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := taken{have: map[question]providers.Result{}, waits: map[question]*flight{}}
	own := &flight{call: newCall(deadline), until: deadline, query: req.query, batch: req.batch, direct: req.direct}
	for _, ref := range questions {
		if _, ok := t.have[ref]; ok || t.waits[ref] != nil {
			continue
		}
		k.rememberLocked(ref, now.Add(req.keep))
		doc, ok := k.shelf.docs[ref]
		switch under := k.flights[ref]; {
		case !req.Forced && ok && now.Sub(doc.asked) < req.MaxAge && !doc.asked.Before(req.Since):
			t.have[ref] = doc.result
		case under.serves(req, ref):
			t.waits[ref] = under
		default:
			own.refs = append(own.refs, ref)
			t.waits[ref] = own
		}
	}
	t.asked = len(own.refs)
	if k.joinLocked(own, t.waits, now); len(own.refs) == 0 {
		return t, nil
	}
	if err := k.breaker.admit(own, now, len(k.flights)); err != nil {
		return taken{}, err
	}
	if k.flights == nil {
		k.flights = map[question]*flight{}
	}
	for _, ref := range own.refs {
		k.flights[ref] = own
	}
	k.enterLocked(own, now)
	t.own = own
	return t, nil
}

// land keeps what a call brought, and returns which questions have another answer now and whether the backend is down, as far as
// this call shows. Only documents are kept: a failure is told to those who waited and forgotten.
func (k *kept) land(f *flight) (changed []question, down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); !f.refused {
		k.breaker.note(f, k.last, now)
		if k.making--; k.making == 0 && k.waiting != nil {
			k.beginLocked(k.waiting, now)
		}
	}
	down = k.breaker.failures > 0
	k.proof.note(f, down, time.Now())
	if down && f.vain() {
		f.err = k.breaker.cause // which names no document, and is what all others are told
	}
	for _, ref := range slices.Concat(f.refs, f.ahead) {
		if k.flights[ref] == f {
			delete(k.flights, ref)
		}
		r, ok := f.results[ref]
		if !ok || r.Err != nil || k.dropped || k.shelf.docs[ref].order > f.order {
			continue
		}
		k.shelf.put(ref, document{result: r, asked: f.asked, order: f.order})
		changed = append(changed, k.noticeLocked(ref, r, f.order)...)
	}
	return changed, down && !f.answered()
}

// isDown reports whether the backend is to be left alone, or asked for one thing at a time.
func (k *kept) isDown() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.breaker.failures > 0
}

// sweep drops the documents that were asked for before a time, and what is known of questions that nobody asks any more.
func (k *kept) sweep(before, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shelf.sweep(before)
	maps.DeleteFunc(k.known, func(_ question, m memory) bool { return m.until.Before(now) })
	forgotten := func(q question) bool { _, ok := k.known[q]; return !ok }
	maps.DeleteFunc(k.matched, func(q question, _ map[string]uint64) bool { return forgotten(q) })
	maps.DeleteFunc(k.breaker.bad, func(q question, _ bool) bool { return forgotten(q) })
}

func (k *kept) drop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropped = true
	k.shelf.drop()
}
