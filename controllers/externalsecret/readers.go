package externalsecret

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// readers knows by the hashes of documents and searches which objects read them. An index of the cache would say the same, with two
// sets for each document: 800 bytes, where most have one reader. The zero value is ready, and safe for concurrent use.
//
// It may know more readers than there are, never fewer: an object is added with its event and before it asks.
type readers struct {
	mu sync.Mutex
	// one has the documents that one object reads, and several the others.
	one     map[uint32]types.NamespacedName
	several map[uint32]map[types.NamespacedName]bool
}

// replace forgets what an object read and notes what it reads now; nothing for one that is new or gone. To say it again changes nothing.
func (r *readers) replace(object types.NamespacedName, was, now []uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.one == nil {
		r.one, r.several = map[uint32]types.NamespacedName{}, map[uint32]map[types.NamespacedName]bool{}
	}
	for _, document := range was {
		r.remove(document, object)
	}
	for _, document := range now {
		r.add(document, object)
	}
}

// add notes a reader of a document. The caller holds r.mu.
func (r *readers) add(document uint32, object types.NamespacedName) {
	all := r.several[document]
	other, read := r.one[document]
	switch {
	case all != nil:
		all[object] = true
	case read && other != object:
		r.several[document] = map[types.NamespacedName]bool{other: true, object: true}
		delete(r.one, document)
	default:
		r.one[document] = object
	}
}

// remove forgets a reader of a document. The caller holds r.mu.
func (r *readers) remove(document uint32, object types.NamespacedName) {
	if r.one[document] == object {
		delete(r.one, document)
	}
	all := r.several[document]
	if delete(all, object); all != nil && len(all) == 0 {
		delete(r.several, document)
	}
}

// of returns who reads a document, in no order.
func (r *readers) of(document uint32) []types.NamespacedName {
	r.mu.Lock()
	defer r.mu.Unlock()
	if object, ok := r.one[document]; ok {
		return []types.NamespacedName{object}
	}
	return slices.Collect(maps.Keys(r.several[document]))
}

// documentsOf returns the hashes of what an object reads, in order, each once.
func documentsOf(es *esv1.ExternalSecret) []uint32 {
	var out []uint32
	for _, e := range entriesOf(&es.Spec) {
		out = append(out, documentHash(e.origin.store.Kind, es.Namespace, e.origin.store.Name, e.origin.ref.Key+e.origin.find))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// documentHash is that of a document, or of a search, of the store that an object of a namespace names.
func documentHash(kind, namespace, store, what string) uint32 {
	if kind != esv1.KindSecretStore {
		namespace = ""
	}
	return hashOf(kind, namespace, store, what)
}
