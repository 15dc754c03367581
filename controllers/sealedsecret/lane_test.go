package sealedsecret

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestHalfOfTheWorkersMayWaitForAHolderAndTheOthersAreCalledInTurn(t *testing.T) {
	t.Parallel()
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	l := newLane(4)
	if err := l.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	name := func(i int) types.NamespacedName { return types.NamespacedName{Name: fmt.Sprint(i)} }
	called := func() string {
		t.Helper()
		if queue.Len() == 0 {
			return ""
		}
		request, _ := queue.Get()
		queue.Done(request)
		return request.Name
	}
	if !l.take(name(0)) || !l.take(name(1)) || l.take(name(2)) {
		t.Fatal("not two of four workers")
	}
	for range 1000 { // looks again by itself
		if l.take(name(2)) {
			t.Fatal("there is no room")
		}
	}
	for i := 3; i < 6; i++ {
		l.take(name(i))
	}
	if len(l.order) != 4 {
		t.Errorf("%d objects wait", len(l.order))
	}
	l.give()
	if got := called(); got != "2" || !l.take(name(2)) {
		t.Errorf("%q is called first", got)
	}
	// One that is called and does not come holds nobody up.
	l.give()
	if got := called(); got != "3" {
		t.Errorf("%q is called then", got)
	}
	l.give()
	if a, b := called(), called(); a != "4" || b != "5" {
		t.Errorf("%q and %q are called when there is room for two", a, b)
	}
	if got := called(); got != "" || l.free != 2 || len(l.waiting)+len(l.order) != 0 {
		t.Errorf("%q is called, %d free, %d wait", got, l.free, len(l.order))
	}
	if newLane(1).free != 1 {
		t.Error("with one worker nobody could ask")
	}
}
