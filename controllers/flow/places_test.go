package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// runs are made as controller-runtime makes them: each of its workers takes an object from the queue, runs it, and says so.
type runs struct {
	places  *Places
	workers int
	queue   priorityqueue.PriorityQueue[reconcile.Request]
	// begun receives the names of objects whose runs have begun, and ended one value of each worker.
	begun chan string
	ended chan struct{}
}

// start starts the workers, and enqueues objects beforehand.
func start(t *testing.T, places int, run func(p *Places), names ...string) *runs {
	t.Helper()
	r := &runs{places: NewPlaces(places), begun: make(chan string, 100), ended: make(chan struct{}, 100)}
	options := r.places.Options()
	r.workers = options.MaxConcurrentReconciles
	r.queue = options.NewQueue("places", options.RateLimiter).(priorityqueue.PriorityQueue[reconcile.Request])
	for _, name := range names {
		Enqueue(r.queue, PriorityDue, named(name))
	}
	for range r.workers {
		go func() {
			defer func() { r.ended <- struct{}{} }()
			for {
				request, _, shutdown := r.queue.GetWithPriority()
				if shutdown {
					return
				}
				r.begun <- request.Name
				run(r.places)
				r.queue.Done(request)
			}
		}()
	}
	return r
}

func (r *runs) stop() {
	r.queue.ShutDown()
	for range r.workers {
		<-r.ended
	}
}

// hasBegun returns whose runs have begun since the last call, in the order of their names.
func (r *runs) hasBegun() (names []string) {
	synctest.Wait()
	for {
		select {
		case name := <-r.begun:
			names = append(names, name)
		default:
			slices.Sort(names)
			return names
		}
	}
}

func named(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
}

func TestARunThatWaitsLendsItsPlaceAndTakesItBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer, write := make(chan struct{}), make(chan struct{})
		r := start(t, 2, func(p *Places) {
			back := p.Lend(time.Second)
			<-answer
			back()
			<-write
		}, strings.Split("abcdefghijklmn", "")...)
		for _, want := range []string{"[a b]", "[c d]", "[e f]", "[g h]", "[i j]", "[k l]", "[]"} { // twelve workers
			if got := fmt.Sprint(r.hasBegun()); got != want {
				t.Errorf("%s begin, want %s", got, want)
			}
			time.Sleep(time.Second)
		}
		close(answer) // twelve have come back to two places
		synctest.Wait()
		Enqueue(r.queue, 0, named("new"))
		for i, want := range append(slices.Repeat([]string{"[]"}, 10), "[new]", "[m]", "[n]", "[]", "[]") {
			write <- struct{}{}
			if got := fmt.Sprint(r.hasBegun()); got != want {
				t.Errorf("%s begin when %d have ended, want %s", got, i+1, want)
			}
		}
		if r.places.free != 0 || len(r.places.runs) != 0 {
			t.Errorf("%d places are free in the end and %d runs known, want that two workers look for an object and none has one", r.places.free, len(r.places.runs))
		}
		r.stop()
	})
}

func TestARunThatSaysNothingLeavesTheBackoffAsItIs(t *testing.T) {
	t.Parallel()
	p := NewPlaces(1)
	limiter := p.Options().RateLimiter
	q := p.queue("unjudged", limiter)
	defer q.ShutDown()
	name := named("a")
	for _, judged := range []bool{true, false} {
		limiter.When(name) // it has failed
		Enqueue(q, PriorityNews, name)
		got, priority, shutdown := q.(priorityqueue.PriorityQueue[reconcile.Request]).GetWithPriority()
		if got != name || shutdown || priority != PriorityNews || p.Priority(name.NamespacedName) != PriorityNews {
			t.Fatalf("%v with priority %d, and %d", got, priority, p.Priority(name.NamespacedName))
		}
		if !judged {
			p.Unjudged(name.NamespacedName)
		}
		q.Forget(name)
		q.Done(name)
		if forgotten := q.NumRequeues(name) == 0; forgotten != judged {
			t.Errorf("judged %v: forgotten %v", judged, forgotten)
		}
	}
}

func TestThereIsOnePlaceAtLeast(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{-1: 1, 0: 1, 1: 1, 2: 2} {
		p := NewPlaces(n)
		if got := p.All(); got != want || p.free != want || p.Options().MaxConcurrentReconciles != 6*want {
			t.Errorf("%d: %d places, %d of them free, for %d workers", n, got, p.free, p.Options().MaxConcurrentReconciles)
		}
	}
}

func TestARunThatIsNotKnownIsOfNoPriorityAndJudged(t *testing.T) {
	t.Parallel()
	p := NewPlaces(1)
	limiter := p.Options().RateLimiter
	q := p.queue("unknown", limiter)
	name := named("a")
	limiter.When(name)
	p.Unjudged(name.NamespacedName)
	if q.Forget(name); q.NumRequeues(name) != 0 || p.Priority(name.NamespacedName) != 0 {
		t.Errorf("it has failed %d times, and is of priority %d", q.NumRequeues(name), p.Priority(name.NamespacedName))
	}
	Enqueue(q, PriorityNews, name)
	if got, shutdown := q.Get(); got != name || shutdown {
		t.Errorf("got %v, shut down: %t", got, shutdown)
	}
	q.Done(name)
	q.ShutDownWithDrain()
	if got, shutdown := q.Get(); !shutdown || !q.ShuttingDown() {
		t.Errorf("after the end it hands out %v", got)
	}
}
