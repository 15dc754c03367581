package clusterexternalsecret

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// foreignWait is how long a namespace with an ExternalSecret of somebody else is left alone. What is waited for is an event.
const foreignWait = 5 * time.Minute

func (r *Reconciler) steps() []flow.Step[scope] {
	return []flow.Step[scope]{
		{Name: "release", Do: r.release},
		{Name: "select namespaces", Do: r.choose},
		{Name: "observe", Do: r.observe},
		{Name: "prune", Do: r.prune},
		{Name: "provision", Do: r.provision},
		{Name: "free namespaces", Do: r.free},
		{Name: "judge", Do: judge},
	}
}

// release lets an object go that is being deleted: its ExternalSecrets follow by their owner references. The finalizer of
// External Secrets Operator, which nobody else would remove, goes when its finalizers on namespaces have gone; from an
// object that stays it is removed once.
func (r *Reconciler) release(ctx context.Context, s *scope) error {
	s.gone = !s.ces.DeletionTimestamp.IsZero()
	if !controllerutil.ContainsFinalizer(s.ces, esv1.FinalizerClusterExternalSecret) {
		if s.gone {
			return flow.Done()
		}
		return nil
	}
	if !s.gone && r.isFreed(s.name, s.ces.UID) {
		return nil
	}
	if s.gone {
		if err := r.free(ctx, s); err != nil {
			return err
		}
		if s.held > 0 {
			return flow.Wait(esv1.ReasonNamespacesFailed, foreignWait, errHeld(s.held))
		}
	}
	changed := s.ces.DeepCopy()
	controllerutil.RemoveFinalizer(changed, esv1.FinalizerClusterExternalSecret)
	patch := client.MergeFromWithOptions(s.ces, client.MergeFromWithOptimisticLock{})
	if err := r.deps.Client.Patch(ctx, changed, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove the finalizer of External Secrets Operator: %w", redact.API(err))
	}
	if s.gone {
		return flow.Done()
	}
	r.setFreed(s.name, s.ces.UID)
	return nil
}

// choose finds the namespaces that are selected and not being deleted, and sets Ready=False for selectors that are none.
func (r *Reconciler) choose(ctx context.Context, s *scope) error {
	chosen, err := newSelection(&s.ces.Spec)
	if err != nil {
		return flow.Stall(esv1.ReasonInvalidSelector, err)
	}
	all, err := r.namespaces(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].DeletionTimestamp.IsZero() && chosen.has(&all[i]) {
			s.selected = append(s.selected, all[i].Name)
		}
	}
	slices.Sort(s.selected)
	s.chosen = true
	return nil
}

// namespaces returns the metadata of all namespaces as the cache has it, which the caller must not change.
func (r *Reconciler) namespaces(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := r.deps.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", redact.API(err))
	}
	return list.Items, nil
}

// observe finds the ExternalSecrets that the object controls, in all namespaces.
func (r *Reconciler) observe(ctx context.Context, s *scope) error {
	var list esv1.ExternalSecretList
	err := r.deps.Client.List(ctx, &list, client.MatchingFields{ownerIndex: string(s.ces.UID)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("list the ExternalSecrets of the ClusterExternalSecret: %w", redact.API(err))
	}
	s.owned = list.Items
	return nil
}

// prune deletes the ExternalSecrets that are in no selected namespace, or have another name. Their Secrets go with them,
// except one that the ExternalSecret of the new name goes on with.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	name := nameOf(s.ces)
	for i := range s.owned {
		old := &s.owned[i]
		_, selected := slices.BinarySearch(s.selected, old.Namespace)
		if selected && old.Name == name || !old.DeletionTimestamp.IsZero() {
			continue
		}
		opts := []client.DeleteOption{client.Preconditions{UID: &old.UID}}
		if selected && targetOf(&old.Spec, old.Name) == targetOf(&s.ces.Spec.ExternalSecretSpec, name) {
			opts = append(opts, client.PropagationPolicy(metav1.DeletePropagationOrphan))
		}
		gone := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: old.Namespace, Name: old.Name}}
		if err := r.deps.Client.Delete(ctx, gone, opts...); client.IgnoreNotFound(err) != nil {
			s.fail(old.Namespace, fmt.Errorf("delete ExternalSecret %s, which should not be there: %w", old.Name, redact.API(err)))
		}
	}
	return nil
}

// judge ends the run with what went wrong in the first of the failed namespaces. An ExternalSecret of somebody else is
// waited for; anything else is tried again with backoff.
func judge(_ context.Context, s *scope) error {
	if len(s.failed) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(s.failed))
	err := fmt.Errorf("%d of %d namespaces failed, see status.failedNamespaces; %s: %w",
		len(names), len(names)+len(s.provisioned), names[0], s.failed[names[0]])
	for _, name := range names {
		if !errors.Is(s.failed[name], errForeign) {
			return flow.Fail(esv1.ReasonNamespacesFailed, err)
		}
	}
	return flow.Wait(esv1.ReasonNamespacesFailed, foreignWait, err)
}
