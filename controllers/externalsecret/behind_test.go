package externalsecret

import (
	"context"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
)

// shows is a cache that has one ExternalSecret.
type shows struct {
	client.Client
	es *esv1.ExternalSecret
}

func (c shows) Get(_ context.Context, _ client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	c.es.DeepCopyInto(obj.(*esv1.ExternalSecret))
	return nil
}

func TestALookAtACacheThatIsBehindLeavesTheBackoffAsItIs(t *testing.T) {
	t.Parallel()
	es := synced().es
	es.ResourceVersion = "99"
	r := New(Deps{Client: shows{es: es}, Sessions: sessions.New(sessions.Deps{})})
	request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(es)}
	written := es.DeepCopy()
	written.ResourceVersion = "100"
	r.remember(request.NamespacedName, memo{uid: es.UID, last: flow.LastOf(written, nil, time.Now().Add(-time.Minute))})
	options := r.places.Options()
	q := options.NewQueue("behind", options.RateLimiter)
	defer q.ShutDown()
	options.RateLimiter.When(request) // the run before failed
	flow.Enqueue(q, flow.PriorityNews, request)
	if got, _ := q.Get(); got != request {
		t.Fatalf("got %v", got)
	}
	result, err := r.Reconcile(t.Context(), request)
	if err != nil || result.RequeueAfter != 2*time.Second {
		t.Errorf("result %+v, error %v; want another look when the cache has caught up", result, err)
	}
	if q.Forget(request); q.NumRequeues(request) != 1 {
		t.Error("the next failure is taken for the first")
	}
	q.Done(request)
}
