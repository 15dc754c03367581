package sessions

import (
	"hash/maphash"
	"maps"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// memory is what is remembered of a question: much longer than the document, so that a change is noticed by all who ask, also
// by those who do so once a day.
type memory struct {
	// until is when nobody is expected to ask any more.
	until time.Time
	// print tells what the document was when it was fetched last, once it was.
	print   uint64
	printed bool
}

// keepIntervals is after how many of its intervals nobody is expected to ask any more, and maxKept an interval of which no
// process lives to see several.
const (
	keepIntervals = 3
	maxKept       = 365 * 24 * time.Hour
)

// keep returns for how long what is known of a document is kept for somebody who asks each interval, and at least as long as a
// session that nobody uses.
func (p *Pool) keep(interval time.Duration) time.Duration {
	return max(p.limits.Idle, keepIntervals*min(interval, maxKept))
}

// rememberLocked makes what is known of a question be kept until a time, or longer for others who ask. The caller holds k.mu.
func (k *kept) rememberLocked(q question, until time.Time) {
	m := k.known[q]
	if !m.until.Before(until) {
		return
	}
	if k.known == nil {
		k.known = map[question]memory{}
	}
	m.until = until
	k.known[q] = m
}

// noticeLocked compares what a call brought with what the same question was answered before, and returns the questions that
// have another answer now: this one, and those that concern a document that has changed, whose kept answers are too old.
// Each kind of answer is compared with its like only, so that a backend that shows a document differently when it
// is found and when it is fetched does not make news for ever. The caller holds k.mu.
func (k *kept) noticeLocked(q question, r providers.Result, order int) []question {
	if f, ok := r.Document.(Found); ok {
		return k.noticeFoundLocked(q, f, order)
	}
	now, ok := k.print(q, r)
	if !ok {
		return nil
	}
	m, asked := k.known[q]
	if !asked { // it was forgotten while it was asked for
		return nil
	}
	was, known := m.print, m.printed
	m.print, m.printed = now, true
	k.known[q] = m
	if !known || was == now {
		return nil
	}
	changed := []question{q}
	if current(q) {
		changed = append(changed, k.findersLocked(q, q.ref.Key, now, order)...)
	}
	return changed
}

// noticeFoundLocked is noticeLocked for what was found.
func (k *kept) noticeFoundLocked(q question, f Found, order int) []question {
	now := make(map[string]uint64, len(f.values))
	for name, v := range f.values {
		now[name] = k.hash(v.Bytes())
	}
	was, known := k.matched[q]
	if k.matched == nil {
		k.matched = map[question]map[string]uint64{}
	}
	k.matched[q] = now
	if !known || maps.Equal(was, now) {
		return nil
	}
	changed := []question{q}
	for name, before := range was {
		after, still := now[name]
		if still && after == before {
			continue
		}
		changed = append(changed, k.findersLocked(q, name, after, order)...)
		for other, m := range k.known {
			if m.printed && other.ref.Key == name && current(other) && (m.print != after || other.ref.Property != "") {
				k.outdateLocked(other, order)
				changed = append(changed, other)
			}
		}
	}
	return changed
}

// findersLocked returns the other searches that found a document of that name with another content.
func (k *kept) findersLocked(than question, name string, content uint64, order int) []question {
	var out []question
	for q, found := range k.matched {
		if has, ok := found[name]; ok && q != than && has != content {
			k.outdateLocked(q, order)
			out = append(out, q)
		}
	}
	return out
}

// current reports whether the question is for a document's own content as it is now.
func current(q question) bool { return q.find == "" && q.ref.Version == "" && !q.ref.Metadata }

// outdateLocked makes sure that no call that was made before the one of that order answers a question any more.
func (k *kept) outdateLocked(q question, order int) {
	if f := k.flights[q]; f != nil && f.order < order {
		delete(k.flights, q)
	}
	if k.shelf.docs[q].order < order {
		k.shelf.put(q, document{order: order, outdated: time.Now()})
	}
}

// print tells the contents of documents apart.
func (k *kept) print(q question, r providers.Result) (uint64, bool) {
	var whole providers.Value
	err := safely(func() (err error) {
		whole, err = r.Document.Value(q.ref.Property)
		return err
	})
	if err == nil {
		return k.hash(whole.Bytes()), true
	}
	return k.hash([]byte(r.Version)), r.Version != ""
}

// hash is keyed, so that it says nothing about what it is of.
func (k *kept) hash(content []byte) uint64 {
	if k.seed == (maphash.Seed{}) {
		k.seed = maphash.MakeSeed()
	}
	return maphash.Bytes(k.seed, content)
}
