package externalsecret

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/util/csaupgrade"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// targetIndex finds ExternalSecrets by the name of their target where it is not their own, so that most have no entry: the
// one of the target's name is found by its name.
const targetIndex = "target"

func indexTarget(obj client.Object) []string {
	es, ok := obj.(*esv1.ExternalSecret)
	if !ok || targetName(es) == es.Name {
		return nil
	}
	return []string{targetName(es)}
}

// withTarget returns the ExternalSecrets of a namespace that name a Secret as their target, as the cache has them: the
// caller must not change them.
func (r *Reconciler) withTarget(ctx context.Context, namespace, name string) ([]esv1.ExternalSecret, error) {
	var list esv1.ExternalSecretList
	err := r.deps.Client.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy, client.MatchingFields{targetIndex: name})
	if err != nil {
		return nil, fmt.Errorf("list the ExternalSecrets of Secret %s/%s: %w", namespace, name, redact.API(err))
	}
	var namesake esv1.ExternalSecret
	err = r.deps.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &namesake, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("look up the ExternalSecret of Secret %s/%s: %w", namespace, name, redact.API(err))
	}
	if err == nil && targetName(&namesake) == name {
		list.Items = append(list.Items, namesake)
	}
	return list.Items, nil
}

// users returns the ExternalSecrets that a Secret matters to: those whose target it is, and the one that controls it.
func (r *Reconciler) users(ctx context.Context, m *metav1.PartialObjectMetadata) []reconcile.Request {
	found, err := r.withTarget(ctx, m.Namespace, m.Name)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "find the ExternalSecrets of a Secret")
	}
	var requests []reconcile.Request
	for i := range found {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&found[i])})
	}
	if owner := metav1.GetControllerOfNoCopy(m); owner != nil && isExternalSecret(owner) {
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: m.Namespace, Name: owner.Name}})
	}
	return requests
}

// rivals returns the other ExternalSecrets that write to the same target.
func (r *Reconciler) rivals(ctx context.Context, es *esv1.ExternalSecret) ([]esv1.ExternalSecret, error) {
	found, err := r.withTarget(ctx, es.Namespace, targetName(es))
	if err != nil {
		return nil, err
	}
	var out []esv1.ExternalSecret
	for i := range found {
		if found[i].UID != es.UID && found[i].DeletionTimestamp.IsZero() && creationOf(&found[i].Spec) != esv1.CreationNone {
			out = append(out, found[i])
		}
	}
	return out, nil
}

// inherit makes the fields that External Secrets Operator wrote by update fields that were applied by the same manager, so that
// those which leave the spec leave the target. It reads the metadata of the target.
func (r *Reconciler) inherit(ctx context.Context, s *scope) error {
	m := secretMetadata()
	err := r.deps.Live.Get(ctx, types.NamespacedName{Namespace: s.es.Namespace, Name: targetName(s.es)}, m)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the field managers of Secret %s/%s: %w", s.es.Namespace, targetName(s.es), redact.API(err))
	}
	return r.inheritFrom(ctx, s, m)
}

// inheritUnseen is inherit, and the same apply once more, for a target that is written for the first time and held more than the
// content. Releases of the operator before 0.11 did not label their Secrets, so that the watch has not shown who wrote this one.
func (r *Reconciler) inheritUnseen(
	ctx context.Context, s *scope, got *corev1ac.SecretApplyConfiguration,
) (*corev1ac.SecretApplyConfiguration, error) {
	m := secretMetadata()
	if err := r.deps.Live.Get(ctx, client.ObjectKey{Namespace: s.es.Namespace, Name: targetName(s.es)}, m); err != nil {
		return nil, fmt.Errorf("read the field managers of Secret %s/%s: %w", s.es.Namespace, targetName(s.es), redact.API(err))
	}
	isOperators := func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == fieldOwner(s.es.Name) && f.Operation == metav1.ManagedFieldsOperationUpdate && f.Subresource == ""
	}
	if m.UID != ptr.Deref(got.UID, "") || !slices.ContainsFunc(m.ManagedFields, isOperators) {
		return got, nil
	}
	if err := r.inheritFrom(ctx, s, m); err != nil {
		return nil, err
	}
	return r.apply(ctx, s, seen{uid: m.UID}, s.content.secretType, false)
}

// inheritFrom is inherit for a target that was read; it fails with a conflict when that has changed since.
func (r *Reconciler) inheritFrom(ctx context.Context, s *scope, live client.Object) error {
	manager := fieldOwner(s.es.Name)
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, sets.New(manager), manager)
	if err == nil && patch != nil {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: live.GetNamespace(), Name: live.GetName()}}
		err = r.deps.Client.Patch(ctx, secret, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(manager))
	}
	if err != nil {
		return fmt.Errorf("take over the fields of Secret %s/%s: %w", live.GetNamespace(), live.GetName(), redact.API(err))
	}
	return nil
}

// appliedFields returns the paths of the fields that a manager has applied, as the API server names them in a conflict.
func appliedFields(entries []metav1.ManagedFieldsEntry, manager string) (map[string]bool, error) {
	out := map[string]bool{}
	for _, e := range entries {
		if e.Manager != manager || e.Operation != metav1.ManagedFieldsOperationApply || e.FieldsV1 == nil {
			continue
		}
		var fields fieldpath.Set
		if err := fields.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
			return nil, fmt.Errorf("decode the fields of %s: %w", manager, err)
		}
		fields.Iterate(func(p fieldpath.Path) { out[p.String()] = true })
	}
	return out, nil
}
