package externalsecret

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/controllers/flow"
)

// lanesOfTwo are lanes for two runs each, with the queue of their controller. Whoever waits for a store lends his place at once.
type lanesOfTwo struct {
	t     *testing.T
	lanes *lanes
	queue priorityqueue.PriorityQueue[reconcile.Request]
	// visits are those of the runs that are under way.
	visits map[string]*visit
}

func newLanesOfTwo(t *testing.T) *lanesOfTwo {
	t.Helper()
	places := flow.NewPlaces(2)
	w := &lanesOfTwo{t: t, lanes: newLanes(places, 0), visits: map[string]*visit{}}
	options := places.Options()
	w.queue = options.NewQueue(t.Name(), options.RateLimiter).(priorityqueue.PriorityQueue[reconcile.Request])
	if err := w.lanes.Start(t.Context(), w.queue); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.queue.ShutDown)
	return w
}

func objectNamed(name string) types.NamespacedName { return types.NamespacedName{Name: name} }

func laneNamed(name string) laneKey { return laneKey{uid: types.UID(name)} }

// comes enqueues an object, and runs what comes first, which is it.
func (w *lanesOfTwo) comes(name string, priority int, stores ...string) bool {
	w.t.Helper()
	flow.Enqueue(w.queue, priority, reconcile.Request{NamespacedName: objectNamed(name)})
	return w.runs(name, stores...)
}

// runs runs what comes first, which is the object, and reports whether it may ask the stores, of which it asks the first; it may
// look for none. Who may not ends.
func (w *lanesOfTwo) runs(name string, stores ...string) bool {
	w.t.Helper()
	request, _ := w.queue.Get()
	if request.Name != name {
		w.t.Fatalf("%s runs, want %s", request.Name, name)
	}
	v := w.lanes.visit(request.NamespacedName)
	w.visits[name] = v
	var keys []laneKey
	for _, store := range stores {
		keys = append(keys, laneNamed(store))
	}
	if len(keys) > 0 && v.enter(keys) {
		v.to(keys[0])
		return true
	}
	w.ends(name)
	return false
}

// ends ends the run of an object.
func (w *lanesOfTwo) ends(name string) {
	w.t.Helper()
	w.visits[name].leave()
	w.visits[name].end()
	delete(w.visits, name)
	w.queue.Done(reconcile.Request{NamespacedName: objectNamed(name)})
}

// silent checks that nobody is called.
func (w *lanesOfTwo) silent() {
	w.t.Helper()
	if n := w.queue.Len(); n > 0 {
		w.t.Fatalf("%d objects are called", n)
	}
}

// empty checks that nothing is kept but that stores were slow.
func (w *lanesOfTwo) empty() {
	w.t.Helper()
	w.silent()
	for key, in := range w.lanes.stores {
		if !w.lanes.empty(in) || !in.slow || len(in.asking) > 0 {
			w.t.Errorf("the lane of %s is kept: %+v", key.uid, in)
		}
	}
	if n := len(w.lanes.tickets); n > 0 {
		w.t.Errorf("%d tickets are kept", n)
	}
}

func TestWhoFindsNoRoomIsCalledInItsTurn(t *testing.T) {
	t.Parallel()
	w := newLanesOfTwo(t)
	if !w.comes("a", flow.PriorityDue, "s") || !w.comes("b", flow.PriorityDue, "s") {
		t.Fatal("there is room for two")
	}
	for _, i := range []int{0, 1, 2, 0} { // the last looks again by itself
		if w.comes(fmt.Sprintf("due-%d", i), flow.PriorityDue, "s") {
			t.Fatal("there is no room")
		}
	}
	if w.comes("new", 0, "s") || !w.comes("other", flow.PriorityDue, "another store") {
		t.Fatal("there is room in another store only")
	}
	w.silent()
	w.ends("a")
	if w.comes("late", 1, "s") {
		t.Error("the room is kept for who was called")
	}
	if !w.runs("new", "s") {
		t.Error("what is urgent is not called first")
	}
	w.ends("b")
	if !w.runs("late", "s") {
		t.Error("what is urgent is not called first")
	}
	w.ends("new")
	w.ends("late")
	if !w.runs("due-0", "s") || !w.runs("due-1", "s") {
		t.Error("the others are not called in the order in which they came")
	}
	w.silent()
	w.ends("due-0")
	w.ends("due-1")
	if !w.runs("due-2", "s") {
		t.Error("the last is not called")
	}
	w.ends("due-2")
	w.ends("other")
	w.empty()
}

func TestWhoIsCalledAndDoesNotComeIsMadeUpForByTheNext(t *testing.T) {
	t.Parallel()
	w := newLanesOfTwo(t)
	w.comes("a", 0, "s")
	w.comes("b", 0, "s")
	for _, name := range []string{"deleted", "deleted while it was called", "not due any more", "last"} {
		w.comes(name, 0, "s")
	}
	w.lanes.forget(objectNamed("deleted"))
	w.ends("a")
	w.lanes.forget(objectNamed("deleted while it was called"))
	if w.runs("deleted while it was called"); len(w.visits) != 1 {
		t.Fatal("it is gone")
	}
	w.runs("not due any more")
	if !w.runs("last", "s") {
		t.Error("the last is not called")
	}
	w.ends("b")
	w.ends("last")
	w.empty()
}

func TestWhoHasAskedOneStoreIsLetIntoTheOthers(t *testing.T) {
	t.Parallel()
	w := newLanesOfTwo(t)
	w.lanes.share = 100
	w.comes("both", 0, "s", "t")
	for _, name := range []string{"t1", "t2"} {
		if !w.comes(name, 0, "t") {
			t.Fatal("who asks another store takes no room in this one")
		}
	}
	w.visits["both"].to(laneNamed("t"))
	if n := len(w.lanes.stores[laneNamed("t")].asking); n != 3 {
		t.Errorf("%d ask the other store", n)
	}
	if w.comes("t3", 0, "t") || !w.comes("s1", 0, "s") || w.comes("both too", 0, "s", "t") {
		t.Error("it takes room where it asks, and who needs both waits for both")
	}
	w.ends("both")
	w.silent()
	w.ends("t1")
	if !w.runs("t3", "t") {
		t.Error("the next is not called")
	}
	w.ends("t2")
	if !w.runs("both too", "s", "t") {
		t.Error("who needs both is not called when there is room in both")
	}
	for _, name := range []string{"t3", "s1", "both too"} {
		w.ends(name)
	}
	w.empty()
}

func TestAnyNumberOfSlowStoresIsAskedByAsManyAsTwo(t *testing.T) {
	t.Parallel()
	w := newLanesOfTwo(t)
	for _, name := range []string{"a1", "a2", "b1", "b2"} {
		if !w.comes(name, flow.PriorityDue, name[:1]) {
			t.Fatal("there is room for two in each of two stores")
		}
	}
	if !w.comes("c1", flow.PriorityDue, "c") {
		t.Fatal("nothing is known of this one")
	}
	for _, name := range []string{"a3", "b3", "c2", "a4"} {
		if w.comes(name, flow.PriorityDue, name[:1]) {
			t.Fatalf("%s: this store is slow, and so are two others", name)
		}
	}
	w.lanes.stores[laneNamed("fast")] = &lane{asking: map[*visit]time.Time{}, waiting: map[int][]*ticket{}, answered: true}
	if !w.comes("fast", flow.PriorityDue, "fast") {
		t.Error("a store that is not slow waits for those that are")
	}
	if w.comes("new", 0, "a") {
		t.Fatal("this store is slow")
	}
	// Each that leaves one makes room for the most urgent, then where the fewest ask.
	w.ends("fast")
	w.ends("c1")
	w.silent()
	w.ends("a1")
	if !w.runs("new", "a") {
		t.Error("what is urgent is not called first")
	}
	w.ends("b1")
	if !w.runs("c2", "c") {
		t.Error("a store that nobody asks is not called before others")
	}
	if w.comes("b4", flow.PriorityDue, "b") {
		t.Error("a store that is slow and has answered is asked by more than its share")
	}
	w.lanes.forget(objectNamed("b4"))
	w.ends("a2")
	w.ends("new")
	if !w.runs("a3", "a") || !w.runs("b3", "b") {
		t.Error("the others are not called in turn")
	}
	w.ends("c2")
	if !w.runs("a4", "a") {
		t.Error("the last is not called")
	}
	for _, name := range []string{"b2", "a3", "b3", "a4"} {
		w.ends(name)
	}
	w.empty()
}

func TestOfStoresThatWereSlowAThousandAreRemembered(t *testing.T) {
	t.Parallel()
	w := newLanesOfTwo(t)
	for i := range maxKnown + 10 {
		w.comes("a", 0, fmt.Sprint("s", i))
		w.ends("a")
	}
	if n := len(w.lanes.stores); n > maxKnown {
		t.Errorf("%d are", n)
	}
	w.empty()
}

func TestAStoreOfWhichNothingIsKnownIsAskedByOneWhileOthersAreSlow(t *testing.T) {
	t.Parallel()
	w := newLanesOfTwo(t)
	for _, name := range []string{"a1", "a2", "b1", "b2"} {
		w.comes(name, flow.PriorityDue, name[:1])
	}
	w.lanes.patience = time.Hour // that nobody has waited for yet
	for _, name := range []string{"a", "b"} {
		w.lanes.lane(laneNamed(name)).slow = true
	}
	if !w.comes("new-1", 0, "new") || w.comes("new-2", 0, "new") || w.comes("new-3", 0, "new") {
		t.Fatal("not one asks the store")
	}
	w.silent()
	w.ends("new-1") // which had its answer at once
	if !w.runs("new-2", "new") || !w.runs("new-3", "new") {
		t.Error("the others are not called")
	}
	w.silent()
	for name := range w.visits {
		w.ends(name)
	}
	w.empty()
}

func TestAStoreIsSlowOnceSomebodyHasWaitedForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newLanesOfTwo(t)
		w.lanes.patience = time.Second
		enters := func(name string) bool {
			v, store := w.lanes.visit(objectNamed(name)), laneNamed(name[:1])
			defer func() { w.visits[name] = v }()
			if !v.enter([]laneKey{store}) {
				return false
			}
			v.to(store)
			return true
		}
		for _, name := range []string{"a1", "a2", "b1", "b2", "c1", "c2"} {
			if !enters(name) {
				t.Errorf("%s waits although nobody has waited for any store", name)
			}
		}
		time.Sleep(time.Second - 1)
		if !enters("d1") || !enters("d2") {
			t.Error("a store is slow a moment before somebody has waited for it")
		}
		time.Sleep(time.Nanosecond)
		if !enters("e1") || enters("e2") {
			t.Error("while three stores are slow, another of which nothing is known is not asked by one")
		}
		if enters("a3") {
			t.Error("a store is asked by more runs than there are places")
		}
		for _, v := range w.visits {
			v.end()
		}
	})
}

func TestNoRoomIsKeptForWhoWaitsForAnotherStore(t *testing.T) {
	t.Parallel()
	w := newLanesOfTwo(t)
	w.lanes.share = 100
	for _, name := range []string{"s1", "s2", "t1", "t2"} {
		w.comes(name, 0, name[:1])
	}
	if w.comes("both", 0, "s", "t") || w.comes("s3", 0, "s") {
		t.Fatal("there is no room")
	}
	w.ends("s1")
	if w.runs("both", "s", "t") {
		t.Error("who needs both is let in where there is room in one")
	}
	if !w.runs("s3", "s") {
		t.Error("the next is not called instead")
	}
	w.ends("s2")
	w.ends("t1")
	if !w.runs("both", "s", "t") {
		t.Error("who needs both is not called when there is room in both")
	}
	for _, name := range []string{"s3", "t2", "both"} {
		w.ends(name)
	}
	w.empty()
}
