package sessions

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// forecast is what is expected to be asked under one identity, and when, so that a request of the backend that has room is filled
// with what would be asked for a moment later. It outlives a session, whose login may end more often than objects ask. Nothing
// that was read is in it.
type forecast struct {
	mu sync.Mutex
	// expected are the documents that somebody is expected to ask for. One that was fetched ahead is not among them until somebody
	// has asked for it: what nobody asks for any more is fetched ahead once at most.
	expected map[subject]expectation
	// soon are those that were expected within the next minute or so when that was looked up last, the soonest first.
	soon   []candidate
	looked time.Time
}

// subject is a document in its current version. It says the same as its question, in half of the memory.
type subject struct{ key, property string }

func (s subject) question() question {
	return question{ref: providers.Ref{Key: s.key, Property: s.property}}
}

// expectation is when a document will be asked for next, and how old one may be then that was fetched for somebody else.
type expectation struct {
	due   time.Time
	reuse time.Duration
}

type candidate struct {
	subject
	due time.Time
}

const (
	// lookEvery is how often it is looked up what is expected soon: among all that is expected.
	lookEvery = 10 * time.Second
	// maxLooks bounds how many are looked at to fill one call.
	maxLooks = 1000
)

// after returns what is expected once somebody has asked now who will ask again at next: that, or what was expected before, if
// it comes sooner. Who asks a moment too early is whoever was expected.
func (x expectation) after(now, next time.Time, reuse time.Duration) expectation {
	if x.due.Sub(now) > x.reuse && x.due.Before(next) {
		return x
	}
	return expectation{due: next, reuse: reuse}
}

// worth reports whether to fetch now what is expected: it will be young enough when it is asked for, also a little late, and one
// that is there already, and was asked for at a time, will not. Who is late by more than a minute is not expected any more.
func (x expectation) worth(now, asked time.Time) bool {
	at := x.due
	if now.After(at) {
		at = now
	}
	return x.due.Sub(now) < x.reuse*9/10 && !x.gone(now) && at.Sub(asked) >= x.reuse
}

// gone reports whether nobody is expected any more.
func (x expectation) gone(now time.Time) bool { return now.Sub(x.due) > MaxReuse }

// room returns how many documents more the requests answer that are made for questions anyway.
func room(batch int, refs []question) int {
	n := 0
	for _, q := range refs {
		if current(q) {
			n++
		}
	}
	if batch <= 1 || n%batch == 0 {
		return 0
	}
	return batch - n%batch
}

// note records who asked, for what, and when the same will be asked for again. What could not be read is not fetched ahead.
func (f *forecast) note(answers map[question]providers.Result, now, next time.Time, reuse time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.expected == nil {
		f.expected = map[subject]expectation{}
	}
	for q, r := range answers {
		s := subject{key: q.ref.Key, property: q.ref.Property}
		switch {
		case !current(q):
		case r.Err != nil:
			delete(f.expected, s)
		default:
			f.expected[s] = f.expected[s].after(now, next, reuse)
		}
	}
}

// expect records what will be asked for at a time by somebody who was read before this process began. Who has asked since knows
// better when that is.
func (f *forecast) expect(refs []providers.Ref, now, due time.Time, reuse time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.expected == nil {
		f.expected = map[subject]expectation{}
	}
	for _, ref := range refs {
		s := subject{key: ref.Key} // no request depends on a property
		if x, ok := f.expected[s]; current(question{ref: ref}) && (!ok || x.gone(now) || due.Before(x.due)) {
			f.expected[s] = expectation{due: due, reuse: reuse}
		}
	}
}

// Foretell says what an object will ask for at req.Next of which this process has read nothing yet: that of others is known since they
// asked. Nobody is asked, and no session is opened. It is remembered where several documents are answered by one request.
func (p *Pool) Foretell(req Request) {
	now, reuse := time.Now(), min(req.MaxAge, p.limits.Reuse)
	together, ok := req.Store.Provider.(providers.Batching)
	if !ok || !together.Batches(req.Store.Config) || reuse <= 0 || !req.Next.After(now) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.keyLocked(req.Store, req.Namespace)
	if e := p.entries[k]; req.Store.cluster() && (e == nil || !e.common) {
		k.referent = req.Namespace // whether the store takes its credentials from there only a session shows
	}
	p.forecastLocked(k).expect(req.Refs, now, req.Next, reuse)
}

// unite has the session of an entry, which all namespaces share as it has turned out, expect what was foretold for each of them.
func (p *Pool) unite(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.common = true
	for k, f := range p.forecasts {
		if k.identity == e.key.identity && k != e.key {
			e.kept.forecast.take(f)
			delete(p.forecasts, k)
		}
	}
}

// forecastLocked returns what is expected under a key. The caller holds p.mu.
func (p *Pool) forecastLocked(k key) *forecast {
	f := p.forecasts[k]
	if f == nil {
		f = &forecast{}
		p.forecasts[k] = f
	}
	return f
}

// choose returns up to n documents to fetch ahead, of those that pass, the soonest first. They are not expected any more.
func (f *forecast) choose(n int, now time.Time, pass func(question, expectation) bool) []question {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.looked) >= lookEvery {
		f.looked, f.soon = now, expectedUntil(f.expected, now.Add(lookEvery+MaxReuse))
	}
	var chosen []question
	var passed []candidate
	looked := 0
	for _, c := range f.soon {
		if len(chosen) == n || looked == maxLooks || c.due.Sub(now) > MaxReuse {
			break
		}
		looked++
		x, ok := f.expected[c.subject]
		switch {
		case !ok || !x.due.Equal(c.due): // somebody has asked since
		case pass(c.question(), x):
			chosen = append(chosen, c.question())
			delete(f.expected, c.subject)
		default:
			passed = append(passed, c)
		}
	}
	f.soon = f.soon[looked-len(passed):]
	copy(f.soon, passed)
	return chosen
}

// expectedUntil returns what is expected until a time, the soonest first.
func expectedUntil(expected map[subject]expectation, until time.Time) []candidate {
	var soon []candidate
	for s, x := range expected {
		if x.due.Before(until) {
			soon = append(soon, candidate{subject: s, due: x.due})
		}
	}
	slices.SortFunc(soon, func(a, b candidate) int { return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.key, b.key)) })
	return soon
}

// take takes over what another forecast expects.
func (f *forecast) take(other *forecast) {
	f.mu.Lock()
	defer f.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	if f.expected == nil {
		f.expected = map[subject]expectation{}
	}
	for s, x := range other.expected {
		if was, ok := f.expected[s]; !ok || x.due.Before(was.due) {
			f.expected[s] = x
		}
	}
}

// sweep forgets what nobody has asked for though it was expected, and reports whether nothing is expected any more.
func (f *forecast) sweep(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.expected, func(_ subject, x expectation) bool { return x.gone(now) })
	return len(f.expected) == 0
}

// aheadLocked returns what is fetched ahead in the room that a call has: nothing while the backend is down or for one that may
// fail because of what it asks for. The caller holds k.mu.
func (k *kept) aheadLocked(f *flight, now time.Time) []question {
	n := room(f.batch, f.refs)
	if n == 0 || f.direct || k.breaker.failures > 0 || k.riskyLocked(f.refs) {
		return nil
	}
	return k.forecast.choose(n, now, func(q question, x expectation) bool {
		return k.flights[q] == nil && !k.breaker.bad[q] && x.worth(now, k.shelf.docs[q].asked)
	})
}

// askBesides asks for documents and for what is fetched ahead with them. Where that fails as a whole, those documents are asked
// for again without the others, which must harm nobody, unless the backend asks for less or the time is over.
func (p *Pool) askBesides(ctx context.Context, e *entry, f *flight, asked, ahead []question) (map[question]providers.Result, error) {
	results, err := p.ask(ctx, e, f, slices.Concat(asked, ahead))
	if err == nil || len(ahead) == 0 || throttles(err) || time.Until(f.until) < p.timeout(e)/2 {
		return results, err
	}
	ctx, cancel := context.WithDeadline(ctx, f.until)
	defer cancel()
	return p.ask(ctx, e, f, asked)
}
