package flow

import (
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/util/workqueue"
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
	q.Ahead(named("ahead").NamespacedName, named("beside").NamespacedName)
	for _, want := range []string{"made", "ahead", "beside", "news", "due"} {
		got, _, _ := queue.GetWithPriority()
		if queue.Done(got); got != named(want) {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if n := queue.Len(); n != 0 {
		t.Errorf("%d more", n)
	}
}

func TestAChangeWaitsForMoreOfTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		queue := priorityqueue.New[reconcile.Request]("merged")
		plain := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
		for _, q := range []workqueue.TypedRateLimitingInterface[reconcile.Request]{queue, plain} {
			for want, enqueue := range map[time.Duration]func(workqueue.TypedRateLimitingInterface[reconcile.Request], int, ...reconcile.Request){
				0: Enqueue, 200 * time.Millisecond: EnqueueMerged,
			} {
				began := time.Now()
				enqueue(q, PriorityNews, named("a"), named("b"))
				for range 2 {
					got, _ := q.Get()
					q.Done(got)
				}
				if took := time.Since(began); took != want {
					t.Errorf("after %s, want %s", took, want)
				}
			}
			q.ShutDown()
		}
	})
}
