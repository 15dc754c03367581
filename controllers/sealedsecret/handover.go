package sealedsecret

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

const (
	// maxHanded is how many bytes of specs a Handover holds, of all objects together.
	maxHanded = 8 << 20
	// overhead is about what an object, and each of its values, takes beyond its text.
	overhead = 256
)

// Handover leaves what is in a SealedSecret that is new or changed to the run that opens it, so that it need not be read a second
// time. It holds a few megabytes and no more: what finds no room, or was taken once, is read from the API server. The zero
// Handover is empty, a nil one holds nothing. It is safe for concurrent use.
type Handover struct {
	mu    sync.Mutex
	size  int
	specs map[types.NamespacedName]handed
}

// handed is the spec of one object at one version.
type handed struct {
	uid     types.UID
	version string
	spec    v1alpha1.SealedSecretSpec
	size    int
}

// of says whether it is that of an object as it is now.
func (h handed) of(obj *v1alpha1.SealedSecret) bool {
	return h.version != "" && h.version == obj.ResourceVersion && h.uid == obj.UID
}

// Cached is the transform of the cache of SealedSecrets: it leaves of one what says whether it is up to date. The values,
// their templates and what tools have written into annotations, which may hold the values once more, are handed over or read
// from the API server when there is something to open, so that memory does not grow with them.
func (h *Handover) Cached(obj any) (any, error) {
	ss, ok := obj.(*v1alpha1.SealedSecret)
	if !ok {
		return obj, nil
	}
	h.offer(ss)
	return slim(ss), nil
}

// offer holds the spec of an object that no run has reported on in this generation, because only such a one is sure to be
// taken. Of an object that was offered before, only what it is now is held.
func (h *Handover) offer(obj *v1alpha1.SealedSecret) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	name := client.ObjectKeyFromObject(obj)
	if h.specs[name].of(obj) {
		return // a cache that is filled gives an object twice, the second time without what the first has left out
	}
	h.drop(name)
	if obj.Status.ObservedGeneration == obj.Generation || obj.DeletionTimestamp != nil || len(sealedValues(obj)) == 0 {
		return
	}
	size := sizeOf(&obj.Spec)
	if h.size+size > maxHanded {
		return
	}
	if h.specs == nil {
		h.specs = map[types.NamespacedName]handed{}
	}
	h.size += size
	h.specs[name] = handed{uid: obj.UID, version: obj.ResourceVersion, spec: obj.Spec, size: size}
}

// take returns the spec of an object at its version, once.
func (h *Handover) take(obj *v1alpha1.SealedSecret) (v1alpha1.SealedSecretSpec, bool) {
	if h == nil {
		return v1alpha1.SealedSecretSpec{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	name := client.ObjectKeyFromObject(obj)
	held := h.specs[name]
	h.drop(name)
	return held.spec, held.of(obj)
}

// forget lets go of an object that is gone.
func (h *Handover) forget(name types.NamespacedName) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(name)
}

func (h *Handover) drop(name types.NamespacedName) {
	h.size -= h.specs[name].size
	delete(h.specs, name)
}

// sizeOf returns about how many bytes a spec takes.
func sizeOf(spec *v1alpha1.SealedSecretSpec) int {
	n := overhead + len(spec.Data)
	texts := []map[string]string{spec.EncryptedData, spec.Template.Metadata.Labels, spec.Template.Metadata.Annotations}
	for _, text := range texts {
		for key, value := range text {
			n += overhead + len(key) + len(value)
		}
	}
	for key, value := range spec.Template.Data {
		n += overhead + len(key)
		if value != nil {
			n += len(*value)
		}
	}
	return n
}
