package gitsync

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/gitsync/apply"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// finalize deals with the objects of a GitSync that is being deleted, as spec.deletionPolicy says, and lets it go. It
// needs neither Git nor the repository's credentials.
func (r *Reconciler) finalize(ctx context.Context, s *scope) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(s.sync, v1alpha1.Finalizer) {
		r.states.drop(s.name())
		return reconcile.Result{}, nil
	}
	return flow.Run(ctx, r.flow(), s.sync, s, reportDeletion,
		flow.Step[scope]{Name: "delete objects", Do: r.deleteObjects},
		flow.Step[scope]{Name: "let go", Do: r.letGo})
}

// deletes reports whether the objects of a deleted GitSync are deleted, and whether that is waited for. A suspended one
// touches nothing.
func deletes(sync *v1alpha1.GitSync) (objects, wait bool) {
	if sync.Spec.Suspend {
		return false, false
	}
	switch sync.Spec.DeletionPolicy {
	case v1alpha1.DeletionOrphan:
		return false, false
	case v1alpha1.DeletionDelete:
		return true, false
	case v1alpha1.DeletionWaitForTermination:
		return true, true
	default:
		return sync.Spec.Prune, false
	}
}

func (r *Reconciler) deleteObjects(ctx context.Context, s *scope) error {
	objects, wait := deletes(s.sync)
	entries := inventory(s.sync)
	if !objects || len(entries) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(&s.sync.Spec))
	defer cancel()
	engine, err := r.engineOf(ctx, s)
	var missing *missingAccount
	if errors.As(err, &missing) {
		s.abandoned = "the ServiceAccount to delete as is gone"
		return nil
	}
	if err != nil {
		return flow.Fail(v1alpha1.ReasonPruneFailed, err)
	}
	s.results = engine.Prune(ctx, entries)
	var left []apply.Entry
	for _, e := range entries {
		if !done(s.results, e.Ref, wait) {
			left = append(left, e)
		}
	}
	setInventory(s.sync, left)
	failure := applyFailure(s.results)
	if failure != nil && r.terminating(ctx, s.sync.Namespace) {
		s.abandoned = "the namespace of the GitSync is being deleted, and its identity may not delete any more"
		return nil
	}
	if failure != nil {
		return flow.Fail(v1alpha1.ReasonPruneFailed, fmt.Errorf("%w; set spec.deletionPolicy to Orphan to leave the objects behind", failure))
	}
	if len(left) > 0 {
		return flow.Wait(v1alpha1.ReasonProgressing, time.Second,
			providers.Errorf(providers.ErrUnavailable, "waits until %d objects are gone, the first is %s", len(left), left[0].Ref))
	}
	return nil
}

// done reports whether nothing is left to do for an object.
func done(results []apply.Result, ref apply.Ref, wait bool) bool {
	for _, res := range results {
		if res.Ref != ref {
			continue
		}
		switch res.Action {
		case apply.Gone, apply.Kept:
			return true
		case apply.Pruned, apply.Terminating:
			return !wait
		default:
			return false
		}
	}
	return true
}

// terminating reports whether a namespace is going away or gone.
func (r *Reconciler) terminating(ctx context.Context, namespace string) bool {
	ns := metadataOf(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := r.deps.Reader.Get(ctx, client.ObjectKey{Name: namespace}, ns)
	return apierrors.IsNotFound(err) || err == nil && ns.DeletionTimestamp != nil
}

// letGo removes the finalizer.
func (r *Reconciler) letGo(ctx context.Context, s *scope) error {
	if s.abandoned != "" {
		r.deps.Events.Eventf(s.sync, nil, corev1.EventTypeWarning, v1alpha1.ReasonPruneFailed, "Delete",
			"%d objects are left behind: %s", len(inventory(s.sync)), s.abandoned)
	}
	base := s.sync.DeepCopy()
	released := s.sync.DeepCopy()
	controllerutil.RemoveFinalizer(released, v1alpha1.Finalizer)
	err := r.deps.Client.Patch(ctx, released, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove the finalizer: %w", redact.API(err))
	}
	r.watch.use(ctx, s.name(), nil)
	r.states.drop(s.name())
	s.released = true
	return nil
}

// reportDeletion writes the status of a GitSync that is being deleted.
func reportDeletion(s *scope, out flow.Outcome) flow.Verdict {
	if s.released {
		*s.sync = *s.original // there is nothing left to write a status into
		return flow.Verdict{}
	}
	s.sync.Status.ObservedGeneration = s.sync.Generation
	setConditions(s, out)
	return flow.Verdict{}
}
