package sessions

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/providers"
)

// Request asks a store for documents.
type Request struct {
	Store Store
	// Namespace is that of the object that asks.
	Namespace string
	// Refs name the documents, with the property that will be read of each; duplicates cost nothing, and neither do
	// several properties of one document, unless the backend is asked for properties.
	Refs []providers.Ref
	// MaxAge is how old a document may be that was fetched for somebody else; see MaxAge.
	MaxAge time.Duration
	// Interval is how often the object asks; 0 for one that does not mean to ask again. What is known of a document is kept
	// for as long as somebody can be expected to ask for it.
	Interval time.Duration
	// Next is when the object expects to ask next; zero for an Interval from now. Where the backend answers several documents in one
	// request, it may be asked a little earlier, with what others ask.
	Next time.Time
	// Since is a time before which no document may have been asked for, because something is known to have changed then.
	Since time.Time
	// Forced asks the store whatever was asked before, and joins no call that is under way.
	Forced bool

	// query is what Find asks instead of Refs.
	query *providers.Query
	// keep is for how long what is known of the answers is kept.
	keep time.Duration
	// batch is how many documents one request of the backend answers, and direct keeps the call that is made from being anything
	// but what was asked for, now.
	batch  int
	direct bool
}

// MaxAge returns how old a reused document may be for an object that is refreshed every interval: a tenth of it, a
// minute at most. An object that is never refreshed again (interval 0) reuses nothing, because it would keep what it got.
func MaxAge(interval time.Duration) time.Duration {
	return min(max(interval, 0)/10, MaxReuse)
}

// Fetch answers req.Refs[i] with the i-th result, each with a document or an error of a class of package providers. The
// error is for all of them: the store cannot be used now.
func (p *Pool) Fetch(ctx context.Context, req Request) ([]providers.Result, error) {
	for reopened := false; ; reopened = true {
		e, err := p.acquire(ctx, req.Store, req.Namespace, false)
		if err != nil {
			return nil, err
		}
		results, err := p.fetch(ctx, e, req)
		if !reopened && p.suspect(e, results, err) {
			p.release(e)
			continue
		}
		p.release(e)
		return results, err
	}
}

// suspect retires a session whose answers may come from a right to ask that it has lost, and reports that it did: one
// that was denied something though it is not new, or that asked for a namespace's own credentials while shared.
func (p *Pool) suspect(e *entry, results []providers.Result, err error) bool {
	if e.env.wantsReferent() {
		p.learnReferent(e)
		return true
	}
	denied := errors.Is(err, providers.ErrDenied)
	for _, r := range results {
		denied = denied || errors.Is(r.Err, providers.ErrDenied)
	}
	if !denied || time.Since(e.opened) < p.limits.Reopen {
		return false
	}
	p.retire(e)
	return true
}

// fetch answers a request from one session.
func (p *Pool) fetch(ctx context.Context, e *entry, req Request) ([]providers.Result, error) {
	now := time.Now()
	questions := questionsFor(e.session, req)
	req.MaxAge, req.keep, req.batch = min(req.MaxAge, p.limits.Reuse), p.keep(req.Interval), batchOf(e.session)
	have, failed, err := p.answer(ctx, e, req, questions, p.patience(e, req, questions, e.store.Retries))
	if err == nil && len(failed) > 0 {
		req.direct = true
		var more map[question]providers.Result
		more, _, err = p.answer(ctx, e, req, failed, p.patience(e, req, failed, 0))
		maps.Copy(have, more)
	}
	if err != nil {
		return nil, err
	}
	if req.batch > 1 && req.Interval > 0 && req.MaxAge > 0 {
		next := now.Add(min(req.Interval, maxKept))
		if req.Next.After(now) {
			next = req.Next
		}
		e.kept.forecast.note(have, now, next, req.MaxAge)
	}
	out := make([]providers.Result, len(questions))
	for i, q := range questions {
		out[i] = have[q]
	}
	return out, nil
}

// answer returns the answers to questions, and those that nobody had asked for when they could not be read, or that were not read
// because others had asked for too much before them: whoever needs them asks himself, once. A call that it makes is over by the
// patience.
func (p *Pool) answer(ctx context.Context, e *entry, req Request, questions []question, patience time.Duration) (
	have map[question]providers.Result, failed []question, err error,
) {
	now := time.Now()
	t, err := e.kept.take(req, questions, now, now.Add(patience))
	if err != nil {
		return nil, nil, err
	}
	p.answered(e.store, t)
	if t.own != nil {
		p.mu.Lock()
		p.spawn(e, func() { p.fly(context.WithoutCancel(ctx), e, t.own) })
		p.mu.Unlock()
	}
	have = t.have
	for q, f := range t.waits {
		switch r, err := p.answerTo(ctx, e.store, f, q, now.Add(patience+grace)); {
		case errors.Is(err, errAside), f != t.own && !req.direct && othersTookAll(r.Err, err):
			failed = append(failed, q)
		case err != nil:
			return nil, nil, err
		default:
			have[q] = r
		}
	}
	return have, failed, nil
}

// questionsFor returns what the session is asked: refs without the property where that makes no difference, so that one
// document serves every property.
func questionsFor(s providers.Session, req Request) []question {
	if req.query != nil {
		return []question{{find: Canonical(*req.query)}}
	}
	selective, ok := providers.As[providers.Selective](s)
	whole := !ok || !selective.Selective()
	out := make([]question, len(req.Refs))
	for i, ref := range req.Refs {
		if whole {
			ref.Property = ""
		}
		out[i].ref = ref
	}
	return out
}

// maxPatience bounds a fetch with all its repetitions: after it the object is tried again later, like any that failed,
// and somebody else's turn comes.
const maxPatience = 2 * time.Minute

// patience is how long a fetch with all its portions and repetitions may take.
func (p *Pool) patience(e *entry, req Request, questions []question, retries int) time.Duration {
	one, portion := p.timeout(e), portionOf(req.batch)
	all := time.Duration((len(questions)+portion-1)/portion) * one
	all = time.Duration(retries+1)*all + time.Duration(retries)*e.store.RetryInterval
	return max(min(all, maxPatience), one)
}

// timeout is how long one request of a session may take: longer than any other's where its store says so.
func (p *Pool) timeout(e *entry) time.Duration {
	if patient, ok := providers.As[providers.Patient](e.session); ok {
		return max(min(patient.Patience(), maxPatience), p.limits.Timeout)
	}
	return p.limits.Timeout
}

// fly makes one call of the provider, repeated as the store's retry settings say while the backend is unavailable: for
// everything, or for those documents for which it was.
func (p *Pool) fly(ctx context.Context, e *entry, f *flight) {
	ctx, end := p.Hold(ctx)
	defer end()
	defer p.landed(ctx, e, f)
	if !e.kept.gather(f) {
		return
	}
	asked, ahead := f.refs, f.ahead
	for attempt := 0; ; attempt++ {
		var results map[question]providers.Result
		results, f.err = p.askBesides(ctx, e, f, asked, ahead)
		ahead = nil
		if f.results == nil {
			f.results = make(map[question]providers.Result, len(f.refs))
		}
		maps.Copy(f.results, results)
		asked = slices.DeleteFunc(slices.Clone(asked), func(q question) bool {
			return f.err == nil && (results[q].Err == nil || !unavailable(results[q].Err))
		})
		again := time.Now().Add(e.store.RetryInterval + p.timeout(e))
		if len(asked) == 0 || f.err != nil && !unavailable(f.err) || attempt >= e.store.Retries || again.After(f.until) {
			return
		}
		select {
		case <-time.After(e.store.RetryInterval):
		case <-p.closed:
			return
		}
	}
}

// landed ends a flight and tells what is new.
func (p *Pool) landed(ctx context.Context, e *entry, f *flight) {
	changed, down := e.kept.land(f)
	p.relieve()
	p.announce(ctx, e, f, changed, down)
}

// announce gives the users of a flight its answer, and tells what is new: also that the backend is up again where that was found out while
// this one was found to be down.
func (p *Pool) announce(ctx context.Context, e *entry, f *flight, changed []question, down bool) {
	if down {
		p.isDown(ctx, e, f)
	}
	f.end()
	p.tell(newsOf(e, changed, (down || f.answered()) && p.isUp(e)))
}

// ask asks the provider once for everything.
func (p *Pool) ask(ctx context.Context, e *entry, f *flight, asked []question) (map[question]providers.Result, error) {
	if f.query != nil {
		return p.search(ctx, e, f, asked[0])
	}
	ctx, cancel := p.bound(ctx, f.call, max(time.Until(f.until), p.timeout(e)))
	defer cancel()
	refs := make([]providers.Ref, len(asked))
	for i, q := range asked {
		refs[i] = q.ref
	}
	started := time.Now()
	results, err := inPortions(ctx, refs, f.batch, p.timeout(e), func(ctx context.Context, portion []providers.Ref) ([]providers.Result, error) {
		results, err := fetch(ctx, e, portion)
		f.hear(results, err)
		if len(asked) > len(portion) {
			f.early.add(portion, results)
		}
		return results, err
	})
	p.fetched(e.store, started, f, len(refs), results, err)
	if err != nil {
		return nil, err
	}
	out := make(map[question]providers.Result, len(refs))
	for i, q := range asked {
		out[q] = results[i]
	}
	return out, nil
}

// search asks the provider once for what is found.
func (p *Pool) search(ctx context.Context, e *entry, f *flight, asked question) (map[question]providers.Result, error) {
	ctx, cancel := p.bound(ctx, f.call, p.timeout(e))
	defer cancel()
	started := time.Now()
	result, err := find(ctx, e, *f.query)
	f.hear([]providers.Result{result}, err)
	p.called(e.store, OpFind, started, errors.Join(err, result.Err))
	if err != nil {
		return nil, err
	}
	return map[question]providers.Result{asked: result}, nil
}

// fetch calls the provider once and checks that it answered what it was asked.
func fetch(ctx context.Context, e *entry, refs []providers.Ref) ([]providers.Result, error) {
	store := e.store.Config.Store
	results, err := guard(ctx, e.store, func() ([]providers.Result, error) { return e.session.Fetch(ctx, refs) })
	if err != nil {
		return nil, err
	}
	if len(results) != len(refs) {
		return nil, providers.Errorf(providers.ErrUnavailable, "%s answered %d of %d requests", store, len(results), len(refs))
	}
	for i, ref := range refs {
		if results[i].Err == nil && results[i].Document == nil {
			results[i].Err = providers.Errorf(providers.ErrUnavailable, "%s answered nothing for key %q", store, ref.Key)
		}
	}
	return results, nil
}

// othersTookAll reports whether one of the errors is that of what was not read because of what was asked for with it.
func othersTookAll(errs ...error) bool {
	err := errors.Join(errs...)
	return errors.Is(err, errTooMuch) || errors.Is(err, errLate) || errors.Is(err, large.ErrBusy)
}

func unavailable(err error) bool {
	return !throttles(err) && !errors.Is(err, large.ErrBusy) && !errors.Is(err, providers.ErrInvalid) && !errors.Is(err, providers.ErrNotFound) &&
		!errors.Is(err, providers.ErrPropertyNotFound) && !errors.Is(err, providers.ErrDenied)
}
