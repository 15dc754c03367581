package clusterexternalsecret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// fieldOwner is the manager of the fields that this controller writes.
const fieldOwner = "sealbridge-clusterexternalsecret"

// parallel is how many namespaces are written to at once for one object.
const parallel = 8

// errForeign is the class of a namespace that has an ExternalSecret of the name which is not ours.
var errForeign = errors.New("external secret already exists in namespace")

// provision makes the ExternalSecret of each selected namespace what it should be. One that fails stops no other, and one that
// turns out to be on its way out is left out.
func (r *Reconciler) provision(ctx context.Context, s *scope) error {
	results := make([]error, len(s.selected))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, namespace := range s.selected {
		group.Go(func() error {
			results[i] = r.ensure(ctx, s, namespace)
			return nil
		})
	}
	_ = group.Wait()
	for i, namespace := range s.selected {
		switch {
		case apierrors.HasStatusCause(results[i], corev1.NamespaceTerminatingCause): // the cache shows it soon
		case results[i] != nil:
			s.fail(namespace, results[i])
		case s.failed[namespace] == nil:
			s.provisioned = append(s.provisioned, namespace)
		}
	}
	return ctx.Err()
}

// ensure makes the ExternalSecret of one namespace what it should be. Where the API server has another one than the cache, none, or one
// whose status was written between one request of ours and the next, it looks again, at what the API server has.
func (r *Reconciler) ensure(ctx context.Context, s *scope, namespace string) error {
	from := client.Reader(r.deps.Client)
	otherwise := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	return retry.OnError(retry.DefaultBackoff, otherwise, func() error {
		err := r.ensureFrom(ctx, from, s, namespace)
		from = r.deps.Live
		return err
	})
}

// ensureFrom is ensure for the ExternalSecret as a reader has it.
func (r *Reconciler) ensureFrom(ctx context.Context, from client.Reader, s *scope, namespace string) error {
	want, have := desired(s.ces, namespace), &esv1.ExternalSecret{}
	err := from.Get(ctx, client.ObjectKeyFromObject(want), have)
	if apierrors.IsNotFound(err) {
		return wrap("create", r.deps.Client.Create(ctx, want, client.FieldOwner(fieldOwner)))
	}
	if err != nil {
		return wrap("read", err)
	}
	switch owner := ownerOf(have); {
	case owner == nil || owner.Name != s.ces.Name:
		return fmt.Errorf("%w: it is not controlled by this ClusterExternalSecret and was left alone; remove it, or set another spec.externalSecretName", errForeign)
	case owner.UID == s.ces.UID:
	case !have.DeletionTimestamp.IsZero():
		return fmt.Errorf("%w: it is being deleted with the ClusterExternalSecret that had this name before, and is made anew when it is gone", errForeign)
	default:
		if err := r.inherit(ctx, s, have, want); err != nil {
			return wrap("take over", err)
		}
	}
	if !differs(have, want, s.version != s.ces.Status.SyncedResourceVersion) {
		return nil
	}
	want.UID = have.UID
	return wrap("apply", r.apply(ctx, want))
}

// inherit makes an ExternalSecret belong to the object that was made anew under the name of its owner, before the garbage collector
// deletes it, which after a crash of the API server it may never do. It fails when have, which it brings up to date, has changed
// meanwhile, and when it is the one that is given to that is not there any more: the cache of a leader that was paused may hold
// the predecessor still.
func (r *Reconciler) inherit(ctx context.Context, s *scope, have, want *esv1.ExternalSecret) error {
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(esv1.GroupVersion().WithKind(esv1.KindClusterExternalSecret))
	if err := r.deps.Live.Get(ctx, client.ObjectKeyFromObject(s.ces), live); err != nil {
		return err
	}
	if live.UID != s.ces.UID {
		return errors.New("the ClusterExternalSecret has been made anew meanwhile")
	}
	before, predecessor := have.DeepCopy(), ownerOf(have).UID
	have.OwnerReferences = append(slices.DeleteFunc(have.OwnerReferences, func(ref metav1.OwnerReference) bool { return ref.UID == predecessor }),
		want.OwnerReferences...)
	return r.deps.Client.Patch(ctx, have, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(fieldOwner))
}

func wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s ExternalSecret: %w", verb, redact.API(err))
}

// apply makes an ExternalSecret that is ours what it should be. Fields that were written in another way than by
// server-side apply, by this controller when it made the object or by External Secrets Operator, are made ours first to
// be lost when they are not wanted any more; and so is what anybody else put into the spec.
func (r *Reconciler) apply(ctx context.Context, want *esv1.ExternalSecret) error {
	got, err := r.applyOnce(ctx, want)
	if err != nil {
		return err
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(got, sets.New(fieldOwner, esv1.FieldOwnerOperator), fieldOwner)
	if err != nil {
		return fmt.Errorf("read the managers of its fields: %w", err)
	}
	if len(patch) > 0 {
		if err := r.deps.Client.Patch(ctx, got, client.RawPatch(types.JSONPatchType, patch)); err != nil {
			return err
		}
		if got, err = r.applyOnce(ctx, want); err != nil {
			return err
		}
	}
	var applied esv1.ExternalSecret
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(got.Object, &applied); err != nil {
		return fmt.Errorf("read what was applied: %w", err)
	}
	if equality.Semantic.DeepEqual(applied.Spec, want.Spec) {
		return nil
	}
	whole, err := json.Marshal([]map[string]any{
		// A "test" that fails is an invalid request, and this a conflict.
		{"op": "replace", "path": "/metadata/resourceVersion", "value": got.GetResourceVersion()},
		{"op": "replace", "path": "/spec", "value": want.Spec},
	})
	if err != nil {
		return fmt.Errorf("make patch: %w", err)
	}
	return r.deps.Client.Patch(ctx, got, client.RawPatch(types.JSONPatchType, whole), client.FieldOwner(fieldOwner))
}

// applyOnce applies by force to the object of want's UID, and returns it as it is then.
func (r *Reconciler) applyOnce(ctx context.Context, want *esv1.ExternalSecret) (*unstructured.Unstructured, error) {
	raw, err := json.Marshal(want)
	if err != nil {
		return nil, fmt.Errorf("make what is applied: %w", err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("make what is applied: %w", err)
	}
	unstructured.RemoveNestedField(obj.Object, "status")
	unstructured.RemoveNestedField(obj.Object, "metadata", "creationTimestamp")
	err = r.deps.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj), client.FieldOwner(fieldOwner), client.ForceOwnership)
	return obj, err
}
