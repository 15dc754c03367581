package externalsecret

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// write makes the target hold the content, with one server-side apply. A target that is known to be ours is applied by
// force (whoever changed a key of it loses); any other is applied without, which creates it when there is none. Only when
// the API server refuses is the Secret looked at, and taken over if nothing speaks against it.
func (r *Reconciler) write(ctx context.Context, s *scope) error {
	if s.unchanged() {
		return nil
	}
	var known types.UID
	if s.target.ours(s.es) {
		known = s.target.uid
	}
	got, err := r.apply(ctx, s, known, s.content.secretType)
	found := s.target.exists || refusedByState(err)
	if refusedByState(err) {
		got, err = r.takeOver(ctx, s, err)
	}
	if err != nil {
		return err
	}
	version := ptr.Deref(got.ResourceVersion, "")
	s.written = version != s.target.resourceVersion && version != s.es.Status.Target.ResourceVersion
	s.created = s.written && !found && ptr.Deref(got.UID, "") != s.es.Status.Target.UID
	if err := r.removeForeignKeys(ctx, s, got); err != nil {
		return err
	}
	s.target = target{
		exists: true, uid: ptr.Deref(got.UID, ""), resourceVersion: ptr.Deref(got.ResourceVersion, ""),
		dataHash: s.content.hash, controller: s.es.UID,
	}
	return nil
}

// unchanged reports whether the target is known to hold the content already.
func (s *scope) unchanged() bool {
	return !s.plan.changed && !s.plan.drifted && s.target.ours(s.es) && s.target.dataHash == s.content.hash &&
		(!s.dynamic || s.memo.metadata == s.content.metadataPrint())
}

// refusedByState reports whether the API server refused because of what the Secret is, not because of who asks.
func refusedByState(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsInvalid(err)
}

// apply writes the content. With a UID it writes by force, to that object only.
func (r *Reconciler) apply(ctx context.Context, s *scope, uid types.UID, t corev1.SecretType) (*corev1ac.SecretApplyConfiguration, error) {
	if t == "" {
		// Said, so that a Secret of another type is refused instead of filled.
		t = corev1.SecretTypeOpaque
	}
	secret := corev1ac.Secret(targetName(s.es), s.es.Namespace).
		WithType(t).WithData(s.content.data).WithLabels(s.content.labels).WithAnnotations(s.content.annotations).
		WithOwnerReferences(metav1ac.OwnerReference().
			WithAPIVersion(esv1.GroupVersion().String()).WithKind(esv1.KindExternalSecret).
			WithName(s.es.Name).WithUID(s.es.UID).WithController(true).WithBlockOwnerDeletion(true))
	opts := []client.ApplyOption{client.FieldOwner(fieldOwner(s.es.Name))}
	if uid != "" {
		secret.WithUID(uid)
		opts = append(opts, client.ForceOwnership)
	}
	if err := r.deps.Client.Apply(ctx, secret, opts...); err != nil {
		return nil, fmt.Errorf("write Secret %s/%s: %w", s.es.Namespace, targetName(s.es), redact.API(err))
	}
	return secret, nil
}

// takeOver looks at the Secret that the API server refused to change, and applies the content to it by force unless it
// belongs to somebody else, is privileged or cannot be changed. Refused is returned when there is no such Secret.
func (r *Reconciler) takeOver(ctx context.Context, s *scope, refused error) (*corev1ac.SecretApplyConfiguration, error) {
	live, err := r.read(ctx, s)
	switch {
	case apierrors.IsNotFound(err):
		return nil, refused
	case err != nil:
		return nil, err
	}
	if err := refuseTarget(live, s.es, s.content.secretType); err != nil {
		return nil, err
	}
	return r.apply(ctx, s, live.UID, live.Type)
}

// read reads the target live.
func (r *Reconciler) read(ctx context.Context, s *scope) (*corev1.Secret, error) {
	var live corev1.Secret
	key := types.NamespacedName{Namespace: s.es.Namespace, Name: targetName(s.es)}
	if err := r.deps.Live.Get(ctx, key, &live); err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, redact.API(err))
	}
	return &live, nil
}

// removeForeignKeys removes the keys that others put into the target, which belongs to the ExternalSecret as a whole
// (creationPolicy Owner). The resource version of what is left goes into got.
func (r *Reconciler) removeForeignKeys(ctx context.Context, s *scope, got *corev1ac.SecretApplyConfiguration) error {
	drop := map[string]any{}
	for key := range got.Data {
		if _, ours := s.content.data[key]; !ours {
			drop[key] = nil
		}
	}
	if len(drop) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": got.UID, "resourceVersion": got.ResourceVersion},
		"data":     drop,
	})
	if err != nil {
		return fmt.Errorf("remove keys %v: %w", slices.Sorted(maps.Keys(drop)), err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.es.Namespace, Name: targetName(s.es)}}
	err = r.deps.Client.Patch(ctx, secret, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldOwner(s.es.Name)))
	if err != nil {
		return fmt.Errorf("remove foreign keys from Secret %s/%s: %w", s.es.Namespace, targetName(s.es), redact.API(err))
	}
	got.ResourceVersion = &secret.ResourceVersion
	s.written = true
	return nil
}

// verify reads, once, a target that looks right and that this controller has not written: another one left it behind.
// If it holds what its hash says, it is taken as it is.
func (r *Reconciler) verify(ctx context.Context, s *scope) error {
	live, err := r.read(ctx, s)
	if err != nil {
		return err
	}
	if dataHash(live.Data) != s.target.dataHash || live.UID != s.target.uid || live.ResourceVersion != s.target.resourceVersion {
		s.plan.refresh, s.plan.drifted = true, true
	}
	return nil
}

// prune deletes the Secrets that the ExternalSecret owned under other names of its target.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	owned, err := r.targets.ownedBy(ctx, s.es)
	if err != nil {
		return err
	}
	for _, old := range owned {
		if old.Name == targetName(s.es) {
			continue
		}
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: old.Namespace, Name: old.Name}}
		err := r.deps.Client.Delete(ctx, secret, client.Preconditions{UID: &old.UID})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Secret %s/%s, the target before: %w", old.Namespace, old.Name, redact.API(err))
		}
	}
	return nil
}
