package sessions

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// early are the documents that a call in several portions has read before it ends, for those who wait for nothing else of it. The zero
// value has none.
type early struct {
	mu   sync.Mutex
	docs map[question]providers.Result
	// more is closed when there are more of them; nil while nobody waits.
	more chan struct{}
}

// add hands out the documents that a portion brought.
func (e *early) add(refs []providers.Ref, results []providers.Result) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.docs == nil {
		e.docs = map[question]providers.Result{}
	}
	for i, r := range results {
		if r.Err == nil {
			e.docs[question{ref: refs[i]}] = r
		}
	}
	if e.more != nil {
		close(e.more)
		e.more = nil
	}
}

// get returns the document that a question asks for, or what is closed when there are more.
func (e *early) get(q question) (r providers.Result, ok bool, more <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r, ok = e.docs[q]; ok {
		return r, true, nil
	}
	if e.more == nil {
		e.more = make(chan struct{})
	}
	return r, false, e.more
}

// errAside is the error of what a call fetched ahead, and could not read.
var errAside = providers.Errorf(providers.ErrUnavailable, "could not be read with others")

// answerTo returns the answer of a call to a question, as soon as it is there, or why the call failed. Where the call goes on after the
// time until which somebody waits, the error is errLate.
func (p *Pool) answerTo(ctx context.Context, s Store, f *flight, q question, until time.Time) (providers.Result, error) {
	if until.After(f.late) {
		until = f.late
	}
	for !f.ended() {
		r, ok, more := f.early.get(q)
		if ok {
			return r, nil
		}
		if err := p.waitFor(ctx, f.call, s, more, until); err != nil {
			if until.Before(f.late) && ctx.Err() == nil {
				err = errLate
			}
			return providers.Result{}, err
		}
	}
	r, ok := f.results[q]
	if (f.err != nil || !ok || r.Err != nil) && slices.Contains(f.ahead, q) {
		return providers.Result{}, errAside
	}
	return r, f.err
}
