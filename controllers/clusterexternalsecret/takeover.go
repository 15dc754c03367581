package clusterexternalsecret

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// free removes the finalizer of External Secrets Operator that bears the object's name from namespaces: at once from one
// that is being deleted or whose ClusterExternalSecret is gone, and else once, so that no namespace waits for a controller
// that nobody runs any more. Where the controller may not, the namespace counts as held.
func (r *Reconciler) free(ctx context.Context, s *scope) error {
	all, err := r.namespaces(ctx)
	if err != nil {
		return err
	}
	exist := make(map[types.UID]bool, len(all)+1)
	for i := range all {
		exist[all[i].UID] = true
	}
	if s.ces != nil {
		exist[s.ces.UID] = true
	}
	r.keepFreed(s.name, exist)
	forbidden := false
	for i := range all {
		namespace := &all[i]
		if !slices.Contains(namespace.Finalizers, esv1.FinalizerNamespacePrefix+s.name) {
			continue
		}
		urgent := s.gone || !namespace.DeletionTimestamp.IsZero()
		if !urgent && r.isFreed(s.name, namespace.UID) {
			continue
		}
		if forbidden {
			s.held++
			continue
		}
		err := r.unhold(ctx, namespace, esv1.FinalizerNamespacePrefix+s.name)
		switch forbidden = apierrors.IsForbidden(err); {
		case forbidden:
			s.held++
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("remove the finalizer of External Secrets Operator from namespace %s: %w", namespace.Name, redact.API(err))
		case !urgent:
			r.setFreed(s.name, namespace.UID)
		}
	}
	if s.held > 0 && s.ces == nil {
		return errHeld(s.held)
	}
	return nil
}

// isFreed reports whether the finalizer for the ClusterExternalSecret of that name was removed from an object before.
func (r *Reconciler) isFreed(name string, uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.freed[name][uid]
}

func (r *Reconciler) setFreed(name string, uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.freed[name] == nil {
		r.freed[name] = map[types.UID]bool{}
	}
	r.freed[name][uid] = true
}

// keepFreed forgets what of it concerns objects that do not exist any more.
func (r *Reconciler) keepFreed(name string, exist map[types.UID]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.freed[name], func(uid types.UID, _ bool) bool { return !exist[uid] })
	if len(r.freed[name]) == 0 {
		delete(r.freed, name)
	}
}

// unhold removes a finalizer from a namespace, as the cache has it, or as it is when somebody else has changed it since: each
// ClusterExternalSecret has a finalizer there, and all of them are removed when a controller takes over.
func (r *Reconciler) unhold(ctx context.Context, namespace *metav1.PartialObjectMetadata, finalizer string) error {
	err := r.removeFinalizer(ctx, namespace, finalizer)
	if !apierrors.IsConflict(err) {
		return err
	}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		live := &metav1.PartialObjectMetadata{}
		live.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		if err := r.deps.Live.Get(ctx, client.ObjectKeyFromObject(namespace), live); err != nil {
			return err
		}
		return r.removeFinalizer(ctx, live, finalizer)
	})
}

func (r *Reconciler) removeFinalizer(ctx context.Context, namespace *metav1.PartialObjectMetadata, finalizer string) error {
	changed := namespace.DeepCopy()
	changed.Finalizers = slices.DeleteFunc(slices.Clone(namespace.Finalizers), func(f string) bool { return f == finalizer })
	if len(changed.Finalizers) == len(namespace.Finalizers) {
		return nil
	}
	return r.deps.Client.Patch(ctx, changed, client.MergeFromWithOptions(namespace, client.MergeFromWithOptimisticLock{}))
}

// errHeld says that namespaces keep the operator's finalizers, and what to do.
func errHeld(n int) error {
	return providers.Errorf(providers.ErrDenied, "%d namespaces carry a finalizer of External Secrets Operator that the controller may not remove: "+
		"apply config/takeover, which lets it patch namespaces, or remove the finalizers %s* yourself", n, esv1.FinalizerNamespacePrefix)
}
