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
	mu    sync.Mutex
	free  int
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	// waiting are the objects that found no room, each once, and order is how they came; one that is not waiting any more is
	// passed over.
	waiting map[types.NamespacedName]bool
	order   []types.NamespacedName
}

// newLane returns a lane for half of the workers.
func newLane(workers int) *lane {
	return &lane{free: max(1, workers/2), waiting: map[types.NamespacedName]bool{}}
}

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
		delete(l.waiting, name)
		return true
	}
	if !l.waiting[name] {
		l.waiting[name] = true
		l.order = append(l.order, name)
	}
	return false
}

// give makes room again and calls as many objects as there is room for. One that is called and does not come, because it is
// gone or needs nobody any more, is made up for by the next.
func (l *lane) give() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free++
	for called := 0; called < l.free && len(l.order) > 0; l.order = l.order[1:] {
		if name := l.order[0]; l.waiting[name] {
			delete(l.waiting, name)
			l.queue.Add(reconcile.Request{NamespacedName: name})
			called++
		}
	}
}
