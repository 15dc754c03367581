package sealedsecret

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// maxBlockers bounds the watches on Secrets of others; beyond it a blocked object is looked at from time to time.
	maxBlockers = 200
	blockedPoll = 5 * time.Minute
	// rewatch is how long after the API server has ended a watch the object is looked at again.
	rewatch = 10 * time.Second
)

// blockers watches the Secrets of others that are in the way of a SealedSecret, each by its name, so that the cluster's
// other Secrets cost nothing. A change ends the watch and enqueues the SealedSecret. It is a source of the controller.
type blockers struct {
	client client.WithWatch
	limit  int

	mu     sync.Mutex
	ctx    context.Context //nolint:containedctx // of the controller, which ends the watches
	queue  workqueue.TypedRateLimitingInterface[reconcile.Request]
	active map[types.NamespacedName]context.CancelFunc
}

// Start implements source.Source.
func (b *blockers) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ctx, b.queue, b.active = ctx, queue, map[types.NamespacedName]context.CancelFunc{}
	return nil
}

// watch watches the Secret of that name, which was seen at a version; false when there are too many already.
func (b *blockers) watch(ctx context.Context, name types.NamespacedName, version string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.active[name] != nil {
		return true
	}
	if len(b.active) >= b.limit {
		return false
	}
	// The watch outlives the run that asked for it, and ends with the controller.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(b.ctx, cancel) //nolint:contextcheck // b.ctx is the life of the controller, on purpose
	b.active[name] = cancel
	go func() {
		defer cancel()
		defer release() // or the controller's context would hold each watch that there ever was
		changed := b.wait(ctx, name, version)
		if ctx.Err() != nil {
			return // forgotten, or the controller ends
		}
		b.forget(name)
		if changed {
			b.queue.Add(reconcile.Request{NamespacedName: name})
		} else {
			b.queue.AddAfter(reconcile.Request{NamespacedName: name}, rewatch)
		}
	}()
	return true
}

// forget ends the watch of a name, if there is one.
func (b *blockers) forget(name types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if cancel := b.active[name]; cancel != nil {
		cancel()
		delete(b.active, name)
	}
}

// wait returns true when the Secret is not at the version any more, false when the watch ended.
func (b *blockers) wait(ctx context.Context, name types.NamespacedName, version string) bool {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(secretMetadata().GroupVersionKind())
	events, err := b.client.Watch(ctx, list, client.InNamespace(name.Namespace), client.MatchingFields{"metadata.name": name.Name})
	if err != nil {
		return false
	}
	defer events.Stop()
	// A Secret that went between the look at it and the watch gives no event.
	now := secretMetadata()
	if err := b.client.Get(ctx, name, now); err != nil || now.ResourceVersion != version {
		return apierrors.IsNotFound(err) || err == nil
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case event, ok := <-events.ResultChan():
			if !ok || event.Type == apiwatch.Error {
				return false
			}
			secret, isSecret := event.Object.(*metav1.PartialObjectMetadata)
			// The first event shows what is there when the watch begins.
			if isSecret && event.Type == apiwatch.Added && secret.ResourceVersion == version {
				continue
			}
			return true
		}
	}
}
