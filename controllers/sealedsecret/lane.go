package sealedsecret

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// lanePoll is when an object that waits for the lane looks again by itself; mostly it is called before.
const lanePoll = 5 * time.Second

// lane bounds how many objects wait for an answer of somebody who holds a sealing key, so that a holder that does not answer
// never takes all workers. Others wait without a worker and are called when there is room. It is a source of the controller.
type lane struct {
	mu      sync.Mutex
	free    int
	queue   workqueue.TypedRateLimitingInterface[reconcile.Request]
	waiting []types.NamespacedName
}

// newLane returns a lane for half of the workers.
func newLane(workers int) *lane { return &lane{free: max(1, workers/2)} }

// Start implements source.Source.
func (l *lane) Start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = queue
	return nil
}

// take says whether there is room for an object; if not, it will be called.
func (l *lane) take(name types.NamespacedName) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free > 0 {
		l.free--
		return true
	}
	l.waiting = append(l.waiting, name)
	return false
}

// give makes room again and calls the object that has waited longest.
func (l *lane) give() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free++
	if len(l.waiting) > 0 && l.queue != nil {
		l.queue.Add(reconcile.Request{NamespacedName: l.waiting[0]})
		l.waiting = l.waiting[1:]
	}
}
