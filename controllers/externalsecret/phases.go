package externalsecret

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// maxTogether is how many documents are read at one point of the interval because objects join them: a cluster in which
// everything is joined by some object still spreads its requests.
const maxTogether = 64

// phases knows which documents are read together, by their hashes, so that all objects that read one of a group can fall due
// at one point of the interval, where one request for each document serves them all. What it says follows from the set of
// objects alone, in whatever order they came. The zero value is ready, and safe for concurrent use.
type phases struct {
	mu sync.RWMutex
	// beside leads from a document to those that some object reads with it, with how many objects do: for each object from
	// its smallest document to its others and back, which joins them all. They are in order; most have one or a few.
	beside map[uint32][]neighbour
}

// neighbour is a document that some objects read with another.
type neighbour struct {
	document uint32
	objects  int32
}

// replace forgets what an object read and notes what it reads now; nothing for one that is new or gone.
func (p *phases) replace(was, now []uint32) {
	if slices.Equal(was, now) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(now, 1)
	p.count(was, -1)
}

// count adds to how many objects read these documents together. The caller holds p.mu.
func (p *phases) count(documents []uint32, n int32) {
	for i := 1; i < len(documents); i++ {
		p.join(documents[0], documents[i], n)
		p.join(documents[i], documents[0], n)
	}
}

func (p *phases) join(from, to uint32, n int32) {
	if p.beside == nil {
		p.beside = map[uint32][]neighbour{}
	}
	others := p.beside[from]
	i, known := slices.BinarySearchFunc(others, to, func(o neighbour, document uint32) int { return cmp.Compare(o.document, document) })
	if !known {
		others = slices.Insert(others, i, neighbour{document: to})
	}
	if others[i].objects += n; others[i].objects <= 0 {
		others = slices.Delete(others, i, i+1)
	}
	if p.beside[from] = others; len(others) == 0 {
		delete(p.beside, from)
	}
}

// point returns the point of the interval at which documents are read, as a hash: that of the smallest of their group. It is a
// hash of its own, because the smallest of several is a small one: groups would crowd at the interval's beginning, the more the
// larger they are.
func (p *phases) point(documents []uint32) uint32 {
	if len(documents) == 0 {
		return math.MaxUint32
	}
	return hashOf(strconv.FormatUint(uint64(p.smallest(documents)), 10))
}

// smallest returns the smallest of all documents that are read with any of these, also through others; the smallest of these when
// that are more than maxTogether.
func (p *phases) smallest(documents []uint32) uint32 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	group := slices.Clone(documents)
	for i := 0; i < len(group); i++ {
		for _, other := range p.beside[group[i]] {
			if !slices.Contains(group, other.document) {
				group = append(group, other.document)
			}
			if len(group) > maxTogether {
				return slices.Min(documents)
			}
		}
	}
	return slices.Min(group)
}

// periodic returns those of an object's documents that are read periodically: all or none.
func periodic(es *esv1.ExternalSecret, documents []uint32) []uint32 {
	if intervalOf(&es.Spec) == 0 {
		return nil
	}
	return documents
}

// watch is a source that enqueues nothing: it keeps what is known of the objects as the cache has them. A controller waits for
// its sources before it begins, so that the groups are whole, and all readers known, when the first object is judged.
func (r *Reconciler) watch(objects cache.Cache) source.Source {
	note := func(object types.NamespacedName, was, now *esv1.ExternalSecret) {
		var before, after, periodicBefore, periodicAfter []uint32
		if was != nil {
			before = documentsOf(was)
			periodicBefore = periodic(was, before)
		}
		if now != nil {
			after = documentsOf(now)
			periodicAfter = periodic(now, after)
		}
		r.readers.replace(object, before, after)
		r.phases.replace(periodicBefore, periodicAfter)
	}
	return source.Kind(objects, &esv1.ExternalSecret{}, handler.TypedFuncs[*esv1.ExternalSecret, reconcile.Request]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*esv1.ExternalSecret], _ queue) {
			note(client.ObjectKeyFromObject(e.Object), nil, e.Object)
		},
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*esv1.ExternalSecret], _ queue) {
			if e.ObjectOld.UID != e.ObjectNew.UID || e.ObjectOld.Generation != e.ObjectNew.Generation {
				note(client.ObjectKeyFromObject(e.ObjectNew), e.ObjectOld, e.ObjectNew)
			}
		},
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*esv1.ExternalSecret], _ queue) {
			note(client.ObjectKeyFromObject(e.Object), e.Object, nil)
		},
	})
}

// aim is the point of the interval at which an object is due, as a hash, and since when it is known to be that one.
type aim struct {
	point uint32
	since time.Time
}

// at returns the aim at a point that is looked up now.
func (a aim) at(point uint32, now time.Time) aim {
	if a.since.IsZero() || a.point != point {
		return aim{point: point, since: now}
	}
	return a
}
