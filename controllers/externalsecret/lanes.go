package externalsecret

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/controllers/flow"
)

// lanes bound how many runs ask one store at once: as many as there are places, also when they have lent them because the store
// is slow. Who finds no room has asked nobody, waits without a run, and is called in its turn. They are a source of the controller.
type lanes struct {
	places *flow.Places
	// patience is how long a run keeps its place while it waits for a store that is not known to be slow.
	patience time.Duration

	mu     sync.Mutex
	queue  queue
	stores map[laneKey]*lane
	// tickets are of the objects that wait, each in one lane.
	tickets map[types.NamespacedName]*ticket
}

// laneKey is one configuration of one store: one that was corrected has a lane of its own at once.
type laneKey struct {
	uid        types.UID
	generation int64
}

// lane is that of one store.
type lane struct {
	// inside is how many runs ask the store, and called for how many objects room is kept until they come.
	inside, called int
	// waiting are the tickets by priority, in the order in which they were drawn. Those that are not valid any more are passed over.
	waiting map[int][]*ticket
	// slow is set when the last who asked had to wait.
	slow bool
}

// ticket is what an object has that waits.
type ticket struct {
	name     types.NamespacedName
	lane     laneKey
	priority int
	// called is set when there is room for the object, and it was called.
	called bool
}

func newLanes(places *flow.Places, patience time.Duration) *lanes {
	return &lanes{places: places, patience: patience, stores: map[laneKey]*lane{}, tickets: map[types.NamespacedName]*ticket{}}
}

// Start implements source.Source.
func (l *lanes) Start(_ context.Context, q queue) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = q
	return nil
}

// laneOf returns which lane is that of a store.
func laneOf(store client.Object) laneKey { return laneKey{store.GetUID(), store.GetGeneration()} }

// visit is the way of one run from store to store.
type visit struct {
	lanes *lanes
	name  types.NamespacedName
	// called is the ticket with which the run was called, if it was.
	called *ticket
	// inside is set while the run counts in the lane at; since is when it came there to ask, and back ends the loan of its place.
	inside bool
	at     laneKey
	since  time.Time
	back   func()
}

// visit begins the way of an object's run; the caller ends it.
func (l *lanes) visit(name types.NamespacedName) *visit {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := &visit{lanes: l, name: name}
	if t := l.tickets[name]; t != nil && t.called {
		v.called = t
	}
	return v
}

// enter reports whether the run may ask stores, and counts it in the lane of the first. If not, the object will be called. Only the
// first is strict: who has an answer already is let into the other lanes, because it would ask for it again.
func (v *visit) enter(stores []laneKey) bool {
	l := v.lanes
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tickets[v.name]
	for _, key := range stores {
		invited := t != nil && t.called && t.lane == key
		if in := l.stores[key]; in != nil && !invited && in.inside+in.called >= l.places.All() {
			l.draw(v.name, key)
			return false
		}
	}
	if len(stores) > 0 {
		v.goTo(stores[0])
	}
	l.drop(v.name) // after it has gone in, so that nobody else gets the room that was kept for it
	return true
}

// to counts the run in the lane of the store that it asks from now on. Its place is lent when the answer takes long, at once where
// that is known.
func (v *visit) to(store laneKey) {
	l := v.lanes
	l.mu.Lock()
	defer l.mu.Unlock()
	if !v.inside || v.at != store {
		v.goTo(store)
	}
	patience := l.patience
	if l.lane(store).slow {
		patience = 0
	}
	if v.back == nil {
		v.since, v.back = time.Now(), l.places.Lend(patience)
	}
}

// leave ends what to began.
func (v *visit) leave() {
	v.lanes.mu.Lock()
	defer v.lanes.mu.Unlock()
	v.goOut()
}

// end ends the way. A run that was called and asked nobody makes room for the next.
func (v *visit) end() {
	l := v.lanes
	l.mu.Lock()
	defer l.mu.Unlock()
	v.goOut()
	if v.called != nil && l.tickets[v.name] == v.called {
		l.drop(v.name)
	}
}

// goTo moves the run into another lane. The caller holds l.mu, here and below.
func (v *visit) goTo(key laneKey) {
	v.goOut()
	v.lanes.lane(key).inside++
	v.inside, v.at = true, key
}

func (v *visit) goOut() {
	if !v.inside {
		return
	}
	in := v.lanes.lane(v.at)
	in.inside--
	if v.back != nil {
		v.back()
		in.slow = time.Since(v.since) >= v.lanes.patience
	}
	v.inside, v.back = false, nil
	v.lanes.call(v.at)
}

func (l *lanes) lane(key laneKey) *lane {
	in := l.stores[key]
	if in == nil {
		in = &lane{waiting: map[int][]*ticket{}}
		l.stores[key] = in
	}
	return in
}

// draw makes an object wait in a lane. One that waits there already keeps its turn, unless it has become more urgent.
func (l *lanes) draw(name types.NamespacedName, key laneKey) {
	priority := l.places.Priority(name)
	if t := l.tickets[name]; t != nil && t.lane == key && t.priority >= priority {
		return
	}
	l.drop(name)
	t := &ticket{name: name, lane: key, priority: priority}
	l.tickets[name] = t
	in := l.lane(key)
	in.waiting[priority] = append(in.waiting[priority], t)
}

// drop takes the ticket of an object; one that was called makes room for the next.
func (l *lanes) drop(name types.NamespacedName) {
	t := l.tickets[name]
	if t == nil {
		return
	}
	delete(l.tickets, name)
	if t.called {
		l.lane(t.lane).called--
		l.call(t.lane)
	}
}

// forget is for an object that is gone.
func (l *lanes) forget(name types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(name)
}

// call calls as many objects into a lane as there is room for, the most urgent first, ahead of what is only due: each has had its
// turn before.
func (l *lanes) call(key laneKey) {
	in := l.lane(key)
	for in.inside+in.called < l.places.All() {
		t := l.next(in)
		if t == nil {
			break
		}
		t.called = true
		in.called++
		flow.Enqueue(l.queue, max(t.priority, flow.PriorityNews), reconcile.Request{NamespacedName: t.name})
	}
	if in.inside+in.called+len(in.waiting) == 0 {
		delete(l.stores, key)
	}
}

// next takes the next valid ticket from those who wait; nil when there is none.
func (l *lanes) next(in *lane) *ticket {
	for len(in.waiting) > 0 {
		urgent := slices.Max(slices.Collect(maps.Keys(in.waiting)))
		list := in.waiting[urgent]
		t := list[0]
		if in.waiting[urgent] = list[1:]; len(list) == 1 {
			delete(in.waiting, urgent)
		}
		if l.tickets[t.name] == t {
			return t
		}
	}
	return nil
}
