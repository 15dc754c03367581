package flow

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kinds knows the kinds of objects, as the clients of controller-runtime do.
type kinds interface {
	GroupVersionKindFor(obj runtime.Object) (schema.GroupVersionKind, error)
}

// writeStatus writes what has changed of a status and takes over the new version. The API server is asked to answer with that
// alone: the object is known, and decoding it again takes longer than sending the change. A client that knows no kinds gets all of it.
func writeStatus(ctx context.Context, to client.StatusClient, before, obj client.Object) error {
	known, ok := to.(kinds)
	if !ok {
		return to.Status().Patch(ctx, obj, client.MergeFrom(before))
	}
	kind, err := known.GroupVersionKindFor(obj)
	if err != nil {
		return err
	}
	patch := client.MergeFrom(before)
	data, err := patch.Data(obj)
	if err != nil {
		return err
	}
	answer := &metav1.PartialObjectMetadata{}
	answer.SetGroupVersionKind(kind)
	answer.SetNamespace(obj.GetNamespace())
	answer.SetName(obj.GetName())
	if err := to.Status().Patch(ctx, answer, client.RawPatch(patch.Type(), data)); err != nil {
		return err
	}
	obj.SetResourceVersion(answer.GetResourceVersion())
	return nil
}
