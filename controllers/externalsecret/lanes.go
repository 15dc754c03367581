package externalsecret

import (
	"cmp"
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

const (
	// slowShare is how many runs may ask stores that are known to be slow, all of them together, as a multiple of the places. It is
	// less than may wait without a place, so that any number of slow stores leaves runs to the others.
	slowShare = 2
	// maxKnown is how many stores are remembered, beyond those that are asked, to have been slow.
	maxKnown = 1000
)

// lanes bound how many runs ask one store at once: as many as there are places, also when they have lent them because the store
// is slow; and how many ask slow stores. Who finds no room has asked nobody, waits without a run, and is called in its turn. They
// are a source of the controller.
type lanes struct {
	places *flow.Places
	// patience is how long a run keeps its place while it waits for a store that is not known to be slow.
	patience time.Duration
	// share is how many runs may ask slow stores.
	share int

	mu     sync.Mutex
	queue  queue
	stores map[laneKey]*lane
	// tickets are of the objects that wait, each in one lane, and drawn is how many there were.
	tickets map[types.NamespacedName]*ticket
	drawn   int
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
	// asking is since when each of those waits that have begun to ask.
	asking map[*visit]time.Time
	// waiting are the tickets by priority, in the order in which they were drawn. Those that are not valid any more are passed over.
	waiting map[int][]*ticket
	// answered is set when somebody has had an answer, and slow when the last who had one had to wait for it.
	answered, slow bool
}

// isSlow reports whether who asks now has to wait, as far as is known.
func (in *lane) isSlow(patience time.Duration) bool {
	if in.slow {
		return true
	}
	for _, since := range in.asking {
		if time.Since(since) >= patience {
			return true
		}
	}
	return false
}

// ticket is what an object has that waits.
type ticket struct {
	name     types.NamespacedName
	lane     laneKey
	priority int
	number   int // in the order in which they were drawn
	// called is set when there is room for the object, and it was called.
	called bool
}

func newLanes(places *flow.Places, patience time.Duration) *lanes {
	return &lanes{places: places, patience: patience, share: slowShare * places.All(), stores: map[laneKey]*lane{}, tickets: map[types.NamespacedName]*ticket{}}
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
	// inside is set while the run counts in the lane at, and back ends the loan of its place.
	inside bool
	at     laneKey
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
		if !invited && !l.room(key) {
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
	in, patience := l.lane(store), l.patience
	if in.isSlow(l.patience) {
		patience = 0
	}
	if v.back == nil {
		in.asking[v], v.back = time.Now(), l.places.Lend(patience)
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
	if l.tickets[v.name] == v.called {
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
		in.answered, in.slow = true, time.Since(in.asking[v]) >= v.lanes.patience
		delete(in.asking, v)
	}
	v.inside, v.back = false, nil
	v.lanes.call(v.at)
}

func (l *lanes) lane(key laneKey) *lane {
	in := l.stores[key]
	if in == nil {
		in = &lane{asking: map[*visit]time.Time{}, waiting: map[int][]*ticket{}}
		l.stores[key] = in
	}
	return in
}

// room reports whether one more may ask a store. While slow stores have as many runs as they may, one of which nothing is known is
// asked by one run: it may be another of them.
func (l *lanes) room(key laneKey) bool {
	in := l.stores[key]
	switch {
	case in == nil:
		return true
	case in.isSlow(l.patience):
		return in.inside+in.called < l.places.All() && l.roomForSlow()
	case in.answered || l.roomForSlow():
		return in.inside+in.called < l.places.All()
	default:
		return in.inside+in.called == 0
	}
}

// roomForSlow reports whether one more may ask some store that is slow.
func (l *lanes) roomForSlow() bool {
	n := 0
	for _, in := range l.stores {
		if in.isSlow(l.patience) {
			n += in.inside + in.called
		}
	}
	return n < l.share
}

// draw makes an object wait in a lane. One that waits there already keeps its turn, unless it has become more urgent.
func (l *lanes) draw(name types.NamespacedName, key laneKey) {
	priority := l.places.Priority(name)
	if t := l.tickets[name]; t != nil && t.lane == key && t.priority >= priority {
		return
	}
	l.drop(name)
	l.drawn++
	t := &ticket{name: name, lane: key, priority: priority, number: l.drawn}
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

// call calls as many objects as there is room for when one has left a lane, the most urgent first, ahead of what is only due: each has
// had its turn before.
func (l *lanes) call(left laneKey) {
	for called := true; called && l.room(left) && !l.lane(left).isSlow(l.patience); {
		called = l.invite(left)
	}
	for len(l.tickets) > 0 && l.roomForSlow() {
		key, ok := l.nextSlow()
		if !ok || !l.invite(key) {
			break
		}
	}
	if in := l.lane(left); l.empty(in) && (!in.slow || len(l.stores) > maxKnown) {
		delete(l.stores, left)
	}
}

// nextSlow returns the lane of a slow store in which somebody waits and has room: who is most urgent first, then where the fewest
// ask, so that no store takes the room of the others, then who has waited longest.
func (l *lanes) nextSlow() (next laneKey, ok bool) {
	var best *ticket
	for key, in := range l.stores {
		if in.inside+in.called >= l.places.All() || !in.isSlow(l.patience) {
			continue
		}
		if t := l.first(in); t != nil && (best == nil || l.before(t, best)) {
			next, best = key, t
		}
	}
	return next, best != nil
}

// before reports whether one who waits is called before another who does, in the lane of another slow store.
func (l *lanes) before(a, b *ticket) bool {
	in, other := l.stores[a.lane], l.stores[b.lane]
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(in.inside+in.called, other.inside+other.called), cmp.Compare(a.number, b.number)) < 0
}

// invite calls the first who waits in a lane, and reports whether there was one.
func (l *lanes) invite(key laneKey) bool {
	in := l.lane(key)
	t := l.first(in)
	if t == nil {
		return false
	}
	in.pop(t.priority)
	t.called = true
	in.called++
	flow.Enqueue(l.queue, max(t.priority, flow.PriorityNews), reconcile.Request{NamespacedName: t.name})
	return true
}

// first returns the first valid ticket of those who wait in a lane, nil when there is none. What is not valid before it goes.
func (l *lanes) first(in *lane) *ticket {
	for len(in.waiting) > 0 {
		urgent := slices.Max(slices.Collect(maps.Keys(in.waiting)))
		if t := in.waiting[urgent][0]; l.tickets[t.name] == t {
			return t
		}
		in.pop(urgent)
	}
	return nil
}

// pop takes the first ticket of a priority away.
func (in *lane) pop(priority int) {
	list := in.waiting[priority]
	if in.waiting[priority] = list[1:]; len(list) == 1 {
		delete(in.waiting, priority)
	}
}

// empty reports whether a lane has nobody in it, nor anybody who waits.
func (l *lanes) empty(in *lane) bool { return in.inside+in.called == 0 && l.first(in) == nil }
