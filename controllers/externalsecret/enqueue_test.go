package externalsecret

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
)

// Who has no values yet goes first: an object that is made while its store is checked, or while no controller runs, would wait for
// thousands that have theirs.
func TestWhoHasNoValuesYetGoesFirstWhenAStoreCanBeAskedAndAtAStart(t *testing.T) {
	t.Parallel()
	user := func(name string, synced bool) esv1.ExternalSecret {
		es := esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, Generation: 2}}
		if synced {
			es.Status.SyncedResourceVersion = versionOf(&es)
		}
		return es
	}
	corrected := user("corrected", true)
	corrected.Generation++
	users := []esv1.ExternalSecret{user("a", true), user("new", false), user("b", true), corrected}
	for name, enqueue := range map[string]func(queue){
		"a store can be asked": func(q queue) { enqueueUsers(q, flow.PriorityNews, users...) },
		"at a start": func(q queue) {
			for i := range users {
				event := event.CreateEvent{Object: &users[i], IsInInitialList: true}
				atStart().Create(t.Context(), event, q)
				if later().Create(event) {
					t.Error("an object that was there is enqueued as if somebody had just made it")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queue := priorityqueue.New[reconcile.Request](t.Name())
			defer queue.ShutDown()
			enqueue(queue)
			var got []string
			for range users {
				request, _ := queue.Get()
				queue.Done(request)
				got = append(got, request.Name)
			}
			slices.Sort(got[:2])
			slices.Sort(got[2:])
			if want := []string{"corrected", "new", "a", "b"}; !slices.Equal(got, want) {
				t.Errorf("order %q, want %q", got, want)
			}
		})
	}
}
