package gitsync

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/gitsync/apply"
)

// watcher watches the metadata of the objects that GitSyncs own, one informer per kind in an inventory, and enqueues a
// GitSync when one of its objects is not what was applied. It never sees an object's content.
type watcher struct {
	informers cache.Cache
	mapper    meta.RESTMapper
	states    *states
	now       func() time.Time

	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	kinds map[schema.GroupVersionKind]*watched
}

// watched is one informer and the GitSyncs that need it.
type watched struct {
	informer cache.Informer
	users    map[types.NamespacedName]bool
}

// ownedSelector selects the objects that carry the label of a GitSync.
func ownedSelector() (labels.Selector, error) {
	r, err := labels.NewRequirement(v1alpha1.LabelName, selection.Exists, nil)
	if err != nil {
		return nil, err
	}
	return labels.NewSelector().Add(*r), nil
}

// Start keeps the queue that the controller works on; it is a source of the controller.
func (w *watcher) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = queue
	return nil
}

// use makes sure that the kinds are watched for a GitSync and ends the watches that nobody needs any more. A kind that
// is not served (yet) is left out: the next run asks again.
func (w *watcher) use(ctx context.Context, user types.NamespacedName, kinds map[schema.GroupVersionKind]bool) {
	known := w.lookUp(kinds)
	w.mu.Lock()
	defer w.mu.Unlock()
	for gvk := range kinds {
		if w.kinds[gvk] == nil {
			if !known[gvk] {
				continue
			}
			if err := w.add(ctx, gvk); err != nil {
				continue
			}
		}
		w.kinds[gvk].users[user] = true
	}
	for gvk, k := range w.kinds {
		if kinds[gvk] || !k.users[user] {
			continue
		}
		delete(k.users, user)
		if len(k.users) == 0 {
			delete(w.kinds, gvk)
			_ = w.informers.RemoveInformer(ctx, metadataOf(gvk)) // fails for unknown types only
		}
	}
}

// lookUp returns those of the kinds that are served. The mapper remembers them and asks the API server for nothing any more,
// so that nobody waits for that while a lock is held, here or in the cache.
func (w *watcher) lookUp(kinds map[schema.GroupVersionKind]bool) map[schema.GroupVersionKind]bool {
	known := make(map[schema.GroupVersionKind]bool, len(kinds))
	for gvk := range kinds {
		_, err := w.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		known[gvk] = err == nil
	}
	return known
}

func (w *watcher) add(ctx context.Context, gvk schema.GroupVersionKind) error {
	informer, err := w.informers.GetInformer(ctx, metadataOf(gvk), cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch %s: %w", gvk.GroupKind(), err)
	}
	w.kinds[gvk] = &watched{informer: informer, users: make(map[types.NamespacedName]bool)}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { w.seen(gvk, o, false) },
		UpdateFunc: func(before, after any) {
			if old, ok := before.(client.Object); ok && sameVersion(old, after) {
				return
			}
			w.seen(gvk, after, false)
		},
		DeleteFunc: func(o any) { w.seen(gvk, o, true) },
	})
	return err
}

func sameVersion(before client.Object, after any) bool {
	o, ok := after.(client.Object)
	return ok && o.GetResourceVersion() == before.GetResourceVersion()
}

// seen judges one event. An object that was never applied here is not ours to repair: controllers copy labels.
func (w *watcher) seen(gvk schema.GroupVersionKind, event any, deleted bool) {
	if tombstone, ok := event.(toolscache.DeletedFinalStateUnknown); ok {
		event = tombstone.Obj
	}
	o, ok := event.(*metav1.PartialObjectMetadata)
	if !ok {
		return
	}
	sync := types.NamespacedName{Namespace: o.Labels[v1alpha1.LabelNamespace], Name: o.Labels[v1alpha1.LabelName]}
	s, ok := w.states.find(sync)
	if !ok {
		return
	}
	ref := apply.Ref{Group: gvk.Group, Kind: gvk.Kind, Namespace: o.Namespace, Name: o.Name}
	live := apply.Live{Known: true, Object: o}
	if deleted {
		live.Object = nil
	}
	switch {
	case !s.memory.Knows(ref):
	case s.memory.Drifted(ref, live):
		w.enqueue(sync, s.memory.RepairDelay(ref, w.now()))
	case s.watching.Load():
		w.enqueue(sync, settle)
	}
}

// settle gathers the events of one change into one run.
const settle = 50 * time.Millisecond

func (w *watcher) enqueue(sync types.NamespacedName, after time.Duration) {
	w.mu.Lock()
	queue := w.queue
	w.mu.Unlock()
	if queue != nil {
		queue.AddAfter(reconcile.Request{NamespacedName: sync}, after)
	}
}

// live answers from the informers what an object is now.
func (w *watcher) live(ctx context.Context, e apply.Entry) apply.Live {
	w.mu.Lock()
	k := w.kinds[e.GVK()]
	w.mu.Unlock()
	if k == nil || !k.informer.HasSynced() {
		return apply.Live{}
	}
	o := metadataOf(e.GVK())
	err := w.informers.Get(ctx, e.Key(), o)
	switch {
	case err == nil:
		return apply.Live{Known: true, Object: o}
	case client.IgnoreNotFound(err) == nil:
		return apply.Live{Known: true}
	default:
		return apply.Live{}
	}
}

func metadataOf(gvk schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(gvk)
	return o
}
