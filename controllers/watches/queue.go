package watches

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// MergeFor is how long a change waits for more of the same: a burst of changes is one reconciliation.
const MergeFor = 200 * time.Millisecond

// Queue puts objects into the queue of a controller from outside of it. It is a source of that controller; the zero value
// is ready, and what is enqueued before the controller starts is forgotten: a controller begins with all objects.
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

// Enqueue makes the controller look at an object, once for all calls within a fifth of a second.
func (q *Queue) Enqueue(name types.NamespacedName) {
	q.mu.Lock()
	queue := q.queue
	q.mu.Unlock()
	if queue != nil {
		queue.AddAfter(reconcile.Request{NamespacedName: name}, MergeFor)
	}
}
