package flow

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// The priorities in the queues of all controllers. What somebody made or changed has the queue's own, 0, and goes ahead of
// the rest: many objects that fall due together do not delay a new one.
const (
	// PriorityDue is for what is only looked at again: periodic runs, retries, and what exists at the start.
	PriorityDue = handler.LowPriority
	// PriorityNews is for what something else has changed: a store, or a value that another object has just read.
	PriorityNews = PriorityDue / 2
	// PriorityAhead is for what has to go before all that nobody made or changed.
	PriorityAhead = PriorityNews + 1
)

// MergeFor is how long a change waits for more of the same: a burst of changes is one reconciliation.
const MergeFor = 200 * time.Millisecond

// Enqueue puts requests into the queue of a controller with a priority of their own.
func Enqueue(queue workqueue.TypedRateLimitingInterface[reconcile.Request], priority int, requests ...reconcile.Request) {
	enqueue(queue, priority, 0, requests)
}

// EnqueueMerged is Enqueue, once for all calls within MergeFor.
func EnqueueMerged(queue workqueue.TypedRateLimitingInterface[reconcile.Request], priority int, requests ...reconcile.Request) {
	enqueue(queue, priority, MergeFor, requests)
}

func enqueue(queue workqueue.TypedRateLimitingInterface[reconcile.Request], priority int, after time.Duration, requests []reconcile.Request) {
	if ordered, ok := queue.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		ordered.AddWithOpts(priorityqueue.AddOpts{Priority: &priority, After: after}, requests...)
		return
	}
	for _, request := range requests {
		queue.AddAfter(request, after)
	}
}

// Queue puts objects into the queue of a controller from outside of it, when something that they depend on has changed. It is
// a source of that controller; the zero value is ready, and what is enqueued before the controller starts is forgotten: a
// controller begins with all objects.
type Queue struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

var _ source.Source = (*Queue)(nil)

// Start implements source.Source.
func (q *Queue) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = queue
	return nil
}

// Ahead makes the controller look at objects now, before all others but those that somebody made or changed.
func (q *Queue) Ahead(names ...types.NamespacedName) {
	q.mu.Lock()
	queue := q.queue
	q.mu.Unlock()
	if queue == nil {
		return
	}
	requests := make([]reconcile.Request, len(names))
	for i, name := range names {
		requests[i].NamespacedName = name
	}
	Enqueue(queue, PriorityAhead, requests...)
}

// Enqueue makes the controller look at an object, once for all calls within MergeFor.
func (q *Queue) Enqueue(name types.NamespacedName) {
	q.mu.Lock()
	queue := q.queue
	q.mu.Unlock()
	if queue != nil {
		EnqueueMerged(queue, PriorityNews, reconcile.Request{NamespacedName: name})
	}
}
