package sessions

import (
	"hash/maphash"
	"maps"

	"github.com/sealbridge/sealbridge/providers"
)

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
	was, known := k.prints[q]
	if k.prints == nil {
		k.prints = map[question]uint64{}
	}
	k.prints[q] = now
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
		for other, has := range k.prints {
			if other.ref.Key == name && current(other) && (has != after || other.ref.Property != "") {
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
	if k.docs[q].order < order {
		k.docs[q] = document{order: order}
	}
}

// print tells the contents of documents apart. It is known for as long as the session lives, while the documents are soon
// dropped.
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
