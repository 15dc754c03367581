package flow

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestABurstIsOneReconciliationBehindWhatIsNew(t *testing.T) {
	t.Parallel()
	named := func(name string) reconcile.Request {
		return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "a", Name: name}}
	}
	q := &Queue{}
	q.Enqueue(named("changed").NamespacedName) // before the controller starts
	queue := priorityqueue.New[reconcile.Request]("burst")
	defer queue.ShutDown()
	if err := q.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		q.Enqueue(named("changed").NamespacedName)
	}
	got, priority, _ := queue.GetWithPriority()
	if queue.Done(got); got != named("changed") || priority != PriorityNews || queue.Len() != 0 {
		t.Errorf("%v with priority %d, and %d more, want one of what has changed", got, priority, queue.Len())
	}
}
