package externalsecret

import (
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// queue is the controller's work queue.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// storeIndex is the index of ExternalSecrets by the stores that they name, as "<kind>/<name>".
const storeIndex = "stores"

func indexStores(obj client.Object) []string {
	es, ok := obj.(*esv1.ExternalSecret)
	if !ok {
		return nil
	}
	var keys []string
	for _, ref := range storesOf(&es.Spec) {
		keys = append(keys, ref.Kind+"/"+ref.Name)
	}
	return keys
}

// atStart enqueues what exists when the controller starts.
func atStart() handler.Funcs {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			if es, ok := e.Object.(*esv1.ExternalSecret); ok && e.IsInInitialList {
				enqueueUsers(q, flow.PriorityDue, *es)
			}
		},
	}
}

// later lets all events pass but those of atStart.
func later() predicate.Funcs {
	return predicate.Funcs{CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList }}
}

// storeEvents enqueues the users of a store that is new or has changed, behind what users themselves have changed.
func (r *Reconciler) storeEvents() handler.Funcs {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if e.IsInInitialList {
				enqueueUsers(q, flow.PriorityDue, r.dependents(ctx, e.Object)...)
				return
			}
			enqueueUsers(q, flow.PriorityNews, r.dependents(ctx, e.Object)...)
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			enqueueUsers(q, flow.PriorityNews, r.dependents(ctx, e.ObjectNew)...)
		},
	}
}

// enqueueUsers enqueues users of stores with a priority, at a start or when a store can be asked now, or anew. Those that have no values
// yet, or none of what they ask for now, go first: somebody waits for them, and has waited already, while the others have values.
func enqueueUsers(q queue, priority int, users ...esv1.ExternalSecret) {
	var ahead, served []reconcile.Request
	for i := range users {
		request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&users[i])}
		if users[i].Status.SyncedResourceVersion == versionOf(&users[i]) {
			served = append(served, request)
		} else {
			ahead = append(ahead, request)
		}
	}
	flow.Enqueue(q, flow.PriorityAhead, ahead...)
	flow.Enqueue(q, priority, served...)
}

// dependents returns the ExternalSecrets that name a store.
func (r *Reconciler) dependents(ctx context.Context, obj client.Object) []esv1.ExternalSecret {
	kind, _, _ := sessions.Parts(obj)
	return r.namers(ctx, kind, obj.GetName(), obj.GetNamespace())
}

// namers returns the ExternalSecrets of a namespace, or of all when it is empty, that name a store.
func (r *Reconciler) namers(ctx context.Context, kind, store, namespace string) []esv1.ExternalSecret {
	return r.find(ctx, namespace, storeIndex, kind+"/"+store)
}

// find returns the ExternalSecrets that an index finds, as the cache has them; without a namespace, of all.
func (r *Reconciler) find(ctx context.Context, namespace, index, value string) []esv1.ExternalSecret {
	var list esv1.ExternalSecretList
	err := r.deps.Client.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy, client.MatchingFields{index: value})
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(redact.API(err), "list the ExternalSecrets of a store", "index", index)
		return nil
	}
	return list.Items
}

func requestsFor(list []esv1.ExternalSecret) []reconcile.Request {
	requests := make([]reconcile.Request, len(list))
	for i := range list {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&list[i])
	}
	return requests
}

// hear listens to the pool of sessions: who reads a document that has changed reads it now, and not when it is due, and who
// waits for a store that was down is served as soon as it is up.
func (r *Reconciler) hear(ctx context.Context, q queue) error {
	r.deps.Sessions.Subscribe(func(n sessions.News) {
		kind, namespace := esv1.KindClusterSecretStore, n.Namespace
		if n.Store.Namespace != "" {
			kind, namespace = esv1.KindSecretStore, n.Store.Namespace
		}
		changed := slices.Clone(n.Queries)
		for _, ref := range n.Changed {
			changed = append(changed, ref.Key)
		}
		for _, what := range changed {
			readers := r.readersOf(ctx, kind, namespace, n.Store.Name, what)
			r.mark(readers, r.deps.Now())
			flow.Enqueue(q, flow.PriorityNews, readers...)
		}
		if n.Recovered {
			enqueueUsers(q, flow.PriorityNews, r.waiting(r.find(ctx, namespace, storeIndex, kind+"/"+n.Store.Name))...)
		}
	})
	return nil
}

// ask remembers that an object asks its stores from now on: whatever happens to them is news to it.
func (r *Reconciler) ask(s *scope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unanswered[client.ObjectKeyFromObject(s.es)] = true
}

// answered forgets it, unless a store could not be reached.
func (r *Reconciler) answered(s *scope, err error) {
	unreached := sessions.OutOfReach(err)
	for _, document := range s.documents {
		unreached = unreached || sessions.OutOfReach(document.Err)
	}
	if unreached {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.unanswered, client.ObjectKeyFromObject(s.es))
}

// waiting returns those of the objects that have asked a store and got no answer yet.
func (r *Reconciler) waiting(list []esv1.ExternalSecret) []esv1.ExternalSecret {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(list, func(es esv1.ExternalSecret) bool { return !r.unanswered[client.ObjectKeyFromObject(&es)] })
}

// readersOf returns the ExternalSecrets of a namespace, or of all when it is empty, that read something of a store, as the cache has them.
func (r *Reconciler) readersOf(ctx context.Context, kind, namespace, store, what string) []reconcile.Request {
	var out []reconcile.Request
	for _, key := range r.readers.of(documentHash(kind, namespace, store, what)) {
		if namespace != "" && key.Namespace != namespace {
			continue
		}
		es := &esv1.ExternalSecret{}
		switch err := r.deps.Client.Get(ctx, key, es, client.UnsafeDisableDeepCopy); {
		case apierrors.IsNotFound(err):
		case err != nil:
			ctrl.LoggerFrom(ctx).Error(redact.API(err), "read an ExternalSecret that reads what has changed", "externalsecret", key)
		case reads(es, kind, store, what):
			out = append(out, reconcile.Request{NamespacedName: key})
		}
	}
	return out
}

// reads reports whether an object reads something of a store: it may not do so any more, and others have the same hash.
func reads(es *esv1.ExternalSecret, kind, store, what string) bool {
	return slices.ContainsFunc(entriesOf(&es.Spec), func(e entry) bool {
		return e.origin.store.Kind == kind && e.origin.store.Name == store && e.origin.ref.Key+e.origin.find == what
	})
}

// mark remembers that what the objects read has changed at a time.
func (r *Reconciler) mark(objects []reconcile.Request, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, object := range objects {
		r.news[object.NamespacedName] = at
	}
}

// newsOf returns when what the object reads was seen to have changed; zero when it was not, or read since.
func (r *Reconciler) newsOf(key types.NamespacedName) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.news[key]
}
