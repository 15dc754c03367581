package externalsecret

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// TestWhoHasNoValuesYetGoesFirstWhenAStoreCanBeAsked is about an object that is made while its store is checked: the store's other users,
// which have values, can be thousands.
func TestWhoHasNoValuesYetGoesFirstWhenAStoreCanBeAsked(t *testing.T) {
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
	queue := priorityqueue.New[reconcile.Request](t.Name())
	defer queue.ShutDown()
	enqueueUsers(queue, []esv1.ExternalSecret{user("a", true), user("new", false), user("b", true), corrected})
	var got []string
	for range 4 {
		request, _ := queue.Get()
		queue.Done(request)
		got = append(got, request.Name)
	}
	slices.Sort(got[:2])
	slices.Sort(got[2:])
	if want := []string{"corrected", "new", "a", "b"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}
