package sealedsecret

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
)

// manyTogether is how many objects of a namespace are worth a list of it: it costs as much as reading some of them alone.
const manyTogether = 8

// apiServerCache asks the API server for what its cache has, which costs it half of what reading from etcd does.
const apiServerCache = "0"

// whole returns an object with its values, of which our cache has the rest. What was not handed over is read from the API
// server's cache, with its neighbours where they need it too. When that cache is behind ours, as that of another API server
// may be, what is stored counts.
func (c *Controller) whole(ctx context.Context, seen *v1alpha1.SealedSecret) (*v1alpha1.SealedSecret, error) {
	if obj, ok := c.handed(seen); ok {
		return obj, nil
	}
	c.readTogether(ctx, seen)
	if obj, ok := c.handed(seen); ok {
		return obj, nil
	}
	name, obj := client.ObjectKeyFromObject(seen), &v1alpha1.SealedSecret{}
	c.deps.Handover.forget(name)
	err := c.live.Get(ctx, name, obj, &client.GetOptions{Raw: &metav1.GetOptions{ResourceVersion: apiServerCache}})
	if apierrors.IsNotFound(err) || err == nil && !follows(obj, seen) {
		obj = &v1alpha1.SealedSecret{}
		err = c.live.Get(ctx, name, obj)
	}
	return obj, err
}

// handed returns an object with the spec that was handed over.
func (c *Controller) handed(seen *v1alpha1.SealedSecret) (*v1alpha1.SealedSecret, bool) {
	spec, ok := c.deps.Handover.take(seen)
	if !ok {
		return nil, false
	}
	obj := seen.DeepCopy()
	obj.Spec = spec
	return obj, true
}

// together lets one run at a time read the objects of a namespace for those that follow, which it calls as a source of the
// controller: what is held of them makes room for the next.
type together struct {
	flow.Queue
	turn chan struct{}
}

func newTogether() *together { return &together{turn: make(chan struct{}, 1)} }

// readTogether reads the objects of a namespace with one request, and hands over those that found no room when they came, where
// that costs less than to read them one by one: in a first sync of many, and not where most of the namespace is up to date. A
// list that fails hands nothing over, so that each object is read alone and says what is wrong.
func (c *Controller) readTogether(ctx context.Context, seen *v1alpha1.SealedSecret) {
	if c.deps.Handover.neighbours(seen) < manyTogether {
		return
	}
	select {
	case c.together.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-c.together.turn }()
	n := c.deps.Handover.neighbours(seen) // whoever was here before may have read them
	if n < manyTogether {
		return
	}
	namespace, known, all := client.InNamespace(seen.Namespace), v1alpha1.SealedSecretList{}, v1alpha1.SealedSecretList{}
	if err := c.client.List(ctx, &known, namespace, client.UnsafeDisableDeepCopy); err != nil || len(known.Items) > 4*n {
		return
	}
	fromCache := &client.ListOptions{LabelSelector: c.deps.Handover.Selector, Raw: &metav1.ListOptions{ResourceVersion: apiServerCache}}
	if err := c.live.List(ctx, &all, fromCache, namespace); err != nil {
		return
	}
	c.together.Ahead(c.deps.Handover.refill(all.Items)...)
}
