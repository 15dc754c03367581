package flow

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestABurstIsOneReconciliationBehindWhatIsNew(t *testing.T) {
	t.Parallel()
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

func TestWhatGoesAheadIsBehindWhatSomebodyMadeAlone(t *testing.T) {
	t.Parallel()
	q := &Queue{}
	q.Ahead(named("early").NamespacedName) // before the controller starts
	queue := priorityqueue.New[reconcile.Request]("ahead")
	defer queue.ShutDown()
	if err := q.Start(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	Enqueue(queue, PriorityDue, named("due"), named("ahead"))
	Enqueue(queue, PriorityNews, named("news"))
	queue.Add(named("made"))
	q.Ahead(named("ahead").NamespacedName)
	for _, want := range []string{"made", "ahead", "news", "due"} {
		got, _, _ := queue.GetWithPriority()
		if queue.Done(got); got != named(want) {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if n := queue.Len(); n != 0 {
		t.Errorf("%d more", n)
	}
}
