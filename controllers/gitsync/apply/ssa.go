package apply

import (
	"bytes"
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
)

// object applies one object: nothing when it is known to be as desired, a comparison by dry run when only the cluster
// can tell, a server-side apply otherwise.
func (e *Engine) object(ctx context.Context, o Object) Result {
	rec, known := e.Memory.get(o.Ref)
	same := known && rec.hash == o.hash
	if same && !e.Memory.Drifted(o.Ref, e.Live(ctx, o.Entry())) {
		return Result{Ref: o.Ref, Action: Unchanged}
	}
	live, err := e.read(ctx, o)
	there := err == nil
	var action Action
	switch {
	case there:
		action, err = e.bring(ctx, o, live, known, same)
	case apierrors.IsNotFound(err):
		action, err = e.repaired(o, same, Created), e.write(ctx, o)
	}
	if err != nil {
		e.Memory.forget(o.Ref)
		return Result{Ref: o.Ref, Action: Failed, Err: objectError(o.Ref, about{sensitive: o.Sensitive, there: there}, err)}
	}
	if action == Held {
		return Result{Ref: o.Ref, Action: Held, Waits: "is being deleted; it is created again when it is gone"}
	}
	return Result{Ref: o.Ref, Action: action}
}

// bring makes the live object the desired one. known says that we applied the object before, same that it was this one:
// then whatever differs is drift.
func (e *Engine) bring(ctx context.Context, o Object, live *unstructured.Unstructured, known, same bool) (Action, error) {
	if err := foreign(o, live, e.Owner, e.Holds); err != nil {
		return Failed, err
	}
	if live.GetDeletionTimestamp() != nil {
		return Held, nil
	}
	patch, err := takeOver(live)
	if err != nil {
		return Failed, err
	}
	if patch != nil {
		if err := e.Client.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch)); err != nil {
			return Failed, err
		}
	}
	if same || !known {
		dry := o.desired.DeepCopy()
		err := e.serverSideApply(ctx, dry, client.DryRunAll)
		if err == nil && equalObjects(live, dry) {
			e.Memory.put(o.Ref, newRecord(o, live))
			return Unchanged, nil
		}
		if err != nil && !e.mayRecreate(o, err) {
			return Failed, err
		}
	}
	if err = e.write(ctx, o); err == nil {
		return e.repaired(o, same, Configured), nil
	}
	if !e.mayRecreate(o, err) {
		return Failed, err
	}
	return e.recreate(ctx, o, live)
}

// repaired returns Repaired, and notes it, when the object had been as desired before.
func (e *Engine) repaired(o Object, same bool, otherwise Action) Action {
	if !same {
		return otherwise
	}
	e.Memory.repaired(o.Ref, e.Now())
	return Repaired
}

// write applies the object and remembers what came of it.
func (e *Engine) write(ctx context.Context, o Object) error {
	u := o.desired.DeepCopy()
	if err := e.serverSideApply(ctx, u); err != nil {
		return err
	}
	e.Memory.put(o.Ref, newRecord(o, u))
	return nil
}

func (e *Engine) serverSideApply(ctx context.Context, u *unstructured.Unstructured, opts ...client.ApplyOption) error {
	opts = append(opts, client.ForceOwnership, client.FieldOwner(v1alpha1.FieldOwner))
	return e.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), opts...)
}

// mayRecreate tells whether err can be cured by creating the object anew and whether that is allowed. A namespace or a
// definition takes everything in it along and is never recreated.
func (e *Engine) mayRecreate(o Object, err error) bool {
	allowed := e.Force || o.desired.GetAnnotations()[v1alpha1.AnnotationForce] == enabled
	return allowed && isImmutable(err) && stageOf(o.Ref.GroupKind()) != definitions
}

// recreate deletes the live object and creates the desired one, at once or, when the deletion takes time, in a later run.
func (e *Engine) recreate(ctx context.Context, o Object, live *unstructured.Unstructured) (Action, error) {
	uid := live.GetUID()
	err := e.Client.Delete(ctx, live, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil {
		return Failed, err
	}
	_, err = e.read(ctx, o)
	if err == nil {
		return Held, nil
	}
	if !apierrors.IsNotFound(err) {
		return Failed, err
	}
	return Recreated, e.write(ctx, o)
}

// equalObjects reports whether a dry run would change nothing: neither what the object is nor which fields are ours.
func equalObjects(live, dry *unstructured.Unstructured) bool {
	return bytes.Equal(ourFields(live), ourFields(dry)) && equality.Semantic.DeepEqual(stable(live), stable(dry))
}

func ourFields(u *unstructured.Unstructured) []byte {
	for _, f := range u.GetManagedFields() {
		if f.Manager == v1alpha1.FieldOwner && f.Operation == metav1.ManagedFieldsOperationApply && f.Subresource == "" && f.FieldsV1 != nil {
			return f.FieldsV1.GetRawBytes()
		}
	}
	return nil
}

// stable returns the object without what changes by itself.
func stable(u *unstructured.Unstructured) map[string]any {
	c := u.DeepCopy()
	delete(c.Object, "status")
	for _, f := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(c.Object, "metadata", f)
	}
	return c.Object
}
