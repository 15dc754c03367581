package externalsecret

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// A leader that was paused, and wakes when another has its place, may act for an ExternalSecret that was deleted and made anew
// meanwhile. What it writes to or deletes must be what it has seen, and it asks the API server before it takes a Secret from an
// ExternalSecret of the same name: which of the two is gone its caches cannot tell.

// seen is an object that somebody has looked at; empty parts are any.
type seen struct {
	uid     types.UID
	version string
}

// lastVersion returns the newest version of the target that is known: the cache may be behind our own write.
func (s *scope) lastVersion() string {
	if was := s.es.Status.Target; was.UID == s.target.uid && older(s.target.resourceVersion, was.ResourceVersion) {
		return was.ResourceVersion
	}
	return s.target.resourceVersion
}

// mayInherit fails when a Secret is controlled by an ExternalSecret of the same name that is there, because this one is not.
func (r *Reconciler) mayInherit(ctx context.Context, s *scope, live metav1.Object) error {
	if owner := metav1.GetControllerOfNoCopy(live); owner == nil || !isPredecessor(owner, s.es) {
		return nil
	}
	return r.askSuccessor(ctx, s)
}

// askSuccessor fails when the ExternalSecret is not there any more, or another has its name.
func (r *Reconciler) askSuccessor(ctx context.Context, s *scope) error {
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(esv1.GroupVersion().WithKind(esv1.KindExternalSecret))
	err := r.deps.Live.Get(ctx, client.ObjectKeyFromObject(s.es), live)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("look whether the ExternalSecret is there: %w", redact.API(err))
	}
	if live.UID != s.es.UID {
		return providers.Errorf(providers.ErrUnavailable, "Secret %s/%s belongs to an ExternalSecret that was made anew meanwhile", s.es.Namespace, targetName(s.es))
	}
	return nil
}

// delete deletes a Secret that the ExternalSecret controls if it is as it was seen; one that has changed is looked at first.
func (r *Reconciler) delete(ctx context.Context, es *esv1.ExternalSecret, m *metav1.PartialObjectMetadata) error {
	err := r.deleteAt(ctx, m)
	if apierrors.IsConflict(err) {
		_, _, err = r.deleteUnseen(ctx, es, m.Name)
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Secret %s/%s: %w", m.Namespace, m.Name, redact.API(err))
	}
	return nil
}

// deleteUnseen looks at a Secret and deletes it if the ExternalSecret controls it; it returns what it has seen, and whether it did. Errors
// are the API server's.
func (r *Reconciler) deleteUnseen(ctx context.Context, es *esv1.ExternalSecret, name string) (seen *metav1.PartialObjectMetadata, deleted bool, err error) {
	seen = secretMetadata()
	if err := r.deps.Live.Get(ctx, client.ObjectKey{Namespace: es.Namespace, Name: name}, seen); err != nil {
		return nil, false, err
	}
	if !metav1.IsControlledBy(seen, es) {
		return seen, false, nil
	}
	return seen, true, r.deleteAt(ctx, seen)
}

// deleteAt deletes a Secret if it is the one that was seen, as it was seen.
func (r *Reconciler) deleteAt(ctx context.Context, m *metav1.PartialObjectMetadata) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name}}
	return r.deps.Client.Delete(ctx, secret, client.Preconditions{UID: &m.UID, ResourceVersion: ptr.To(m.ResourceVersion)})
}
