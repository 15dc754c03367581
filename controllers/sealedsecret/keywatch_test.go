package sealedsecret

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

func TestWhatANewKeyMayOpenIsBehindWhatSomebodyMade(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	waits, queue := newObject("waits"), priorityqueue.New[reconcile.Request]("keys")
	defer queue.ShutDown()
	k := &keyWatch{memory: newMemory(), objects: fake.NewClientBuilder().WithScheme(scheme).WithObjects(waits).Build()}
	k.enqueue(t.Context(), queue)
	made := reconcile.Request{}
	made.Namespace, made.Name = waits.Namespace, "made"
	queue.Add(made)
	for _, want := range []string{"made", "waits"} {
		got, _, _ := queue.GetWithPriority()
		if queue.Done(got); got.Name != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
}
