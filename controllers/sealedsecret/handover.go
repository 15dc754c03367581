package sealedsecret

import (
	"sync"

	"k8s.io/apimachinery/pkg/labels"
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
	// Bytes is how much is held of all objects together, 8 MiB when it is 0. Set it before the first use.
	Bytes int
	// Selector is that of the cache of SealedSecrets, nil for all. Set it before the first use.
	Selector labels.Selector

	mu    sync.Mutex
	size  int
	specs map[types.NamespacedName]handed
	// missed are those that found no room, without their specs, by namespace and name, until somebody reads them.
	missed map[string]map[string]handed
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
	h.offer(ss, h.limit()/4) // which is left for those that are read together
	return slim(ss), nil
}

// offer holds the spec of an object that no run has reported on in this generation, because only such a one is sure to be
// taken, and that leaves as many bytes as reserve says. Of an object that was offered before, only what it is now is held.
func (h *Handover) offer(obj *v1alpha1.SealedSecret, reserve int) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	name := client.ObjectKeyFromObject(obj)
	if h.specs[name].of(obj) || len(sealedValues(obj)) == 0 && h.missed[name.Namespace][name.Name].of(obj) {
		return // a cache that is filled gives an object twice, the second time without what the first has left out
	}
	h.drop(name)
	if obj.Status.ObservedGeneration == obj.Generation || obj.DeletionTimestamp != nil || len(sealedValues(obj)) == 0 {
		return
	}
	found := handed{uid: obj.UID, version: obj.ResourceVersion, spec: obj.Spec, size: sizeOf(&obj.Spec)}
	if found.size > h.room()-reserve {
		h.miss(name, found)
		return
	}
	if h.specs == nil {
		h.specs = map[types.NamespacedName]handed{}
	}
	h.size += found.size
	h.specs[name] = found
}

// take returns the spec of an object at its version, once.
func (h *Handover) take(obj *v1alpha1.SealedSecret) (v1alpha1.SealedSecretSpec, bool) {
	if h == nil {
		return v1alpha1.SealedSecretSpec{}, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	name := client.ObjectKeyFromObject(obj)
	held, ok := h.specs[name]
	if !ok {
		return v1alpha1.SealedSecretSpec{}, false
	}
	h.drop(name)
	return held.spec, held.of(obj)
}

// neighbours returns how many objects of the namespace of one that found no room found none either, itself among them: 0 when
// it is none of them, or when they would take more than a quarter of what is held at all, or find no room now.
func (h *Handover) neighbours(obj *v1alpha1.SealedSecret) int {
	if h == nil {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	missed := h.missed[obj.Namespace]
	if _, ok := missed[obj.Name]; !ok {
		return 0
	}
	room := min(h.room(), h.limit()/4)
	for _, m := range missed { // no further than they fit, however many there are: each run that lacks its object asks
		if room -= m.size; room < 0 {
			return 0
		}
	}
	return len(missed)
}

// refill holds those of some objects, as they were read, that found no room before, and returns their names.
func (h *Handover) refill(objects []v1alpha1.SealedSecret) []types.NamespacedName {
	var names []types.NamespacedName
	for i := range objects {
		name := client.ObjectKeyFromObject(&objects[i])
		if h.lacks(name) {
			h.offer(&objects[i], 0)
			names = append(names, name)
		}
	}
	return names
}

func (h *Handover) lacks(name types.NamespacedName) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.missed[name.Namespace][name.Name]
	return ok
}

// forget lets go of an object that is gone, or was read otherwise.
func (h *Handover) forget(name types.NamespacedName) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(name)
}

func (h *Handover) limit() int {
	if h != nil && h.Bytes > 0 {
		return h.Bytes
	}
	return maxHanded
}

func (h *Handover) room() int { return h.limit() - h.size }

func (h *Handover) miss(name types.NamespacedName, found handed) {
	if h.missed == nil {
		h.missed = map[string]map[string]handed{}
	}
	if h.missed[name.Namespace] == nil {
		h.missed[name.Namespace] = map[string]handed{}
	}
	found.spec = v1alpha1.SealedSecretSpec{}
	h.missed[name.Namespace][name.Name] = found
}

func (h *Handover) drop(name types.NamespacedName) {
	h.size -= h.specs[name].size
	delete(h.specs, name)
	delete(h.missed[name.Namespace], name.Name)
	if len(h.missed[name.Namespace]) == 0 {
		delete(h.missed, name.Namespace)
	}
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
