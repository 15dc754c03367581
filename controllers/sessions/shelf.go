package sessions

import (
	"maps"
	"sync/atomic"
	"time"
)

// perDocument is about what a document takes beside its content: its key, its version and its places in maps.
const perDocument = 512

// shelf is what a session keeps of documents for others who may ask. It is guarded by kept.mu, but for its weight.
type shelf struct {
	docs map[question]document
	// weight is about how many bytes the documents take, and all is what those of all sessions of the pool do.
	weight atomic.Int64
	all    *atomic.Int64
}

// weight returns about how many bytes what is kept of an answer takes: nothing worth counting when that is only that it is outdated.
func (d document) weight() int64 {
	if d.result.Document == nil {
		return 0
	}
	return int64(d.result.Document.Size()) + perDocument
}

func (s *shelf) grow(by int64) {
	s.weight.Add(by)
	s.all.Add(by)
}

// put replaces what is kept of a question.
func (s *shelf) put(q question, d document) {
	if s.docs == nil {
		s.docs = map[question]document{}
	}
	s.grow(d.weight() - s.docs[q].weight())
	s.docs[q] = d
}

// sweep drops what is older than a time.
func (s *shelf) sweep(before time.Time) {
	maps.DeleteFunc(s.docs, func(_ question, d document) bool {
		old := d.asked.Before(before) && d.outdated.Before(before)
		if old {
			s.grow(-d.weight())
		}
		return old
	})
}

// clear gives up all documents. As with one that is outdated, calls of before are not taken for current ones.
func (s *shelf) clear(now time.Time) {
	for q, d := range s.docs {
		if d.weight() > 0 {
			s.put(q, document{order: d.order, outdated: now})
		}
	}
}

// drop forgets all.
func (s *shelf) drop() {
	s.grow(-s.weight.Load())
	s.docs = nil
}

// relieve makes the session that keeps most give up its documents, and so on, until all of them together keep what is allowed:
// whoever asks for one of these again asks the backend.
func (p *Pool) relieve() {
	if p.keeping.Load() <= p.limits.Kept {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.keeping.Load() > p.limits.Kept {
		var heaviest *entry
		for _, e := range p.entries {
			if heaviest == nil || e.kept.shelf.weight.Load() > heaviest.kept.shelf.weight.Load() {
				heaviest = e
			}
		}
		if heaviest == nil || heaviest.kept.shelf.weight.Load() == 0 {
			return // what is left is of sessions that are closed when their last user is gone
		}
		heaviest.kept.clear(time.Now())
	}
}

// clear gives up the documents of a session.
func (k *kept) clear(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shelf.clear(now)
}
