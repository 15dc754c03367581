package flow

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Patience is how long a run waits for a backend before it lends its place to another one.
const Patience = 500 * time.Millisecond

// lentPlaces is how many runs may wait without a place, as a multiple of the places: a backend can keep as many as there are
// places, and there is room for runs of which it is not known yet that they will wait.
const lentPlaces = 5

// Places are how many runs of a controller are under way at once. A run that waits for a backend lends its place to another, so
// that one that answers slowly holds up nobody but its own users (docs/design/0024-slow-stores.md).
type Places struct {
	all int

	mu sync.Mutex
	// freed is signalled when a place may be had, or the queue is shut down.
	freed *sync.Cond
	// free is below zero while runs have come back to places that are lent.
	free int
	shut bool
	runs map[reconcile.Request]*run
}

// run is what is known of a run that is under way.
type run struct {
	// priority is that with which the object was taken from the queue.
	priority int
	// unjudged is set when the run says nothing about whether the object fails.
	unjudged bool
}

// NewPlaces returns n places, at least one, of one controller.
func NewPlaces(n int) *Places {
	p := &Places{all: max(1, n), free: max(1, n), runs: map[reconcile.Request]*run{}}
	p.freed = sync.NewCond(&p.mu)
	return p
}

// All returns how many places there are.
func (p *Places) All() int { return p.all }

// Options are those of the function Options, for a controller whose runs may lend their places.
func (p *Places) Options() controller.Options {
	options := Options(p.all * (1 + lentPlaces))
	options.NewQueue = p.queue
	return options
}

func (p *Places) queue(name string, limiter workqueue.TypedRateLimiter[reconcile.Request]) workqueue.TypedRateLimitingInterface[reconcile.Request] {
	return &placesQueue{priorityqueue.New(name, func(o *priorityqueue.Opts[reconcile.Request]) { o.RateLimiter = limiter }), p}
}

// Lend gives the place of a run away when it has waited for that long, until the run is back, which it says once. It waits for
// nobody then: for a moment more runs are under way than there are places.
func (p *Places) Lend(after time.Duration) (back func()) {
	timer := time.AfterFunc(after, p.give)
	return func() {
		if !timer.Stop() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.free--
		}
	}
}

// Priority returns that with which the run of an object was taken from the queue.
func (p *Places) Priority(name types.NamespacedName) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.runs[reconcile.Request{NamespacedName: name}]; r != nil {
		return r.priority
	}
	return 0
}

// Unjudged says that the run of an object ends before anything is known of it, so that the backoff of one that has failed before
// goes on after it.
func (p *Places) Unjudged(name types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.runs[reconcile.Request{NamespacedName: name}]; r != nil {
		r.unjudged = true
	}
}

// take waits for a place; false when the queue is shut down.
func (p *Places) take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.free <= 0 && !p.shut {
		p.freed.Wait()
	}
	p.free--
	return !p.shut
}

func (p *Places) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
	p.freed.Signal()
}

func (p *Places) begin(request reconcile.Request, priority int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs[request] = &run{priority: priority}
}

func (p *Places) end(request reconcile.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.runs, request)
}

func (p *Places) judged(request reconcile.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.runs[request]
	return r == nil || !r.unjudged
}

func (p *Places) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	p.freed.Broadcast()
}

// placesQueue hands out an object when there is a place for its run, so that what comes meanwhile has its turn by its priority.
type placesQueue struct {
	priorityqueue.PriorityQueue[reconcile.Request]
	places *Places
}

// GetWithPriority implements priorityqueue.PriorityQueue.
func (q *placesQueue) GetWithPriority() (request reconcile.Request, priority int, shutdown bool) {
	if !q.places.take() {
		return reconcile.Request{}, 0, true
	}
	request, priority, shutdown = q.PriorityQueue.GetWithPriority()
	if !shutdown {
		q.places.begin(request, priority)
	}
	return request, priority, shutdown
}

// Get implements workqueue.TypedInterface.
func (q *placesQueue) Get() (request reconcile.Request, shutdown bool) {
	request, _, shutdown = q.GetWithPriority()
	return request, shutdown
}

// Forget implements workqueue.TypedRateLimitingInterface.
func (q *placesQueue) Forget(request reconcile.Request) {
	if q.places.judged(request) {
		q.PriorityQueue.Forget(request)
	}
}

// Done implements workqueue.TypedInterface.
func (q *placesQueue) Done(request reconcile.Request) {
	q.places.end(request)
	q.PriorityQueue.Done(request)
	q.places.give()
}

// ShutDown implements workqueue.TypedInterface.
func (q *placesQueue) ShutDown() {
	q.places.close()
	q.PriorityQueue.ShutDown()
}

// ShutDownWithDrain implements workqueue.TypedInterface. A PriorityQueue drains nothing.
func (q *placesQueue) ShutDownWithDrain() { q.ShutDown() }
