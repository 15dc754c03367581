package externalsecret

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// write makes the target hold the content, with one server-side apply. A target that is known to be owned is applied by
// force (whoever changed a key of it loses) at the version that is known; any other is applied without, which creates it when there is none. Only when
// the API server refuses, or when nothing may be created, is the Secret looked at, and taken over if nothing speaks against it.
func (r *Reconciler) write(ctx context.Context, s *scope) error {
	if creationOf(&s.es.Spec) == esv1.CreationNone || s.unchanged() {
		return nil
	}
	if s.es.Spec.Target.Immutable {
		if frozen, err := r.freeze(ctx, s); frozen || err != nil {
			return err
		}
	}
	got, found, err := r.put(ctx, s)
	if err != nil {
		return err
	}
	if s.frozen {
		return nil
	}
	if got == nil {
		s.absent, s.target = true, target{}
		return flow.Done()
	}
	version := ptr.Deref(got.ResourceVersion, "")
	s.written = version != s.target.resourceVersion && version != s.es.Status.Target.ResourceVersion
	s.created = s.written && !found && !s.content.lessThan(got) && ptr.Deref(got.UID, "") != s.es.Status.Target.UID
	if err := r.removeForeignKeys(ctx, s, got); err != nil {
		return err
	}
	s.target = target{exists: true, uid: ptr.Deref(got.UID, ""), resourceVersion: ptr.Deref(got.ResourceVersion, ""), dataHash: s.content.annotations[esv1.AnnotationDataHash]}
	if owns(&s.es.Spec) {
		s.target.controller = s.es.UID
	}
	return nil
}

// unchanged reports whether the target is known to hold the content already. What a shared target holds of ours only this
// process knows, and what is immutable does not change at all.
func (s *scope) unchanged() bool {
	if s.plan.changed || s.plan.drifted || !s.target.belongs(s.es) {
		return false
	}
	return s.es.Spec.Target.Immutable || (shares(&s.es.Spec) || s.content.hasHash(s.target.dataHash)) &&
		s.target.inputs == s.content.annotations[inputsAnnotation(s.es)] &&
		(!s.dynamic || s.memo.content == s.content.fingerprint())
}

// lessThan reports whether a Secret holds more than the content: somebody made it before.
func (c *content) lessThan(secret *corev1ac.SecretApplyConfiguration) bool {
	return len(secret.Data) > len(c.data) || len(secret.Labels) > len(c.labels) || len(secret.Annotations) > len(c.annotations)
}

// hasHash reports whether an annotation data-hash is that of the content: ours, or External Secrets Operator's.
func (c *content) hasHash(annotation string) bool {
	return annotation == c.annotations[esv1.AnnotationDataHash] || annotation == c.hash
}

// known returns the UID of the target when it is known that it may be written to: it is owned, or we have written to
// it before (nobody can change the type of a Secret).
func (s *scope) known() types.UID {
	if s.target.belongs(s.es) && (owns(&s.es.Spec) || s.target.uid == s.es.Status.Target.UID) {
		return s.target.uid
	}
	return ""
}

// put applies the content, and reports whether there was a Secret before. It returns nil when there is no Secret and
// creationPolicy is Merge.
func (r *Reconciler) put(ctx context.Context, s *scope) (got *corev1ac.SecretApplyConfiguration, found bool, err error) {
	uid := s.known()
	if uid == "" && creationOf(&s.es.Spec) == esv1.CreationMerge {
		got, err = r.takeOver(ctx, s, nil)
		return got, true, err
	}
	if s.target.predecessor {
		if err := r.askSuccessor(ctx, s); err != nil {
			return nil, true, err
		}
	}
	to, force := seen{uid: uid}, uid != "" && owns(&s.es.Spec)
	switch {
	case slices.Contains(s.target.updaters, fieldOwner(s.es.Name)):
		if err := r.inherit(ctx, s); err != nil { // which changes its version
			return nil, true, err
		}
	case force:
		to.version = s.lastVersion()
	}
	got, err = r.apply(ctx, s, to, s.content.secretType, force)
	if err == nil && !s.target.exists && s.content.lessThan(got) {
		got, err = r.inheritUnseen(ctx, s, got)
	}
	if !refusedByState(err) {
		return got, s.target.exists, err
	}
	got, err = r.takeOver(ctx, s, err)
	return got, true, err
}

// refusedByState reports whether the API server refused because of what the Secret is, not because of who asks or what else
// is in the cluster.
func refusedByState(err error) bool {
	return (apierrors.IsConflict(err) || apierrors.IsInvalid(err)) && redact.Refuser(err) == ""
}

// apply writes the content to the target as it was seen.
func (r *Reconciler) apply(
	ctx context.Context, s *scope, to seen, t corev1.SecretType, force bool,
) (*corev1ac.SecretApplyConfiguration, error) {
	secret := corev1ac.Secret(targetName(s.es), s.es.Namespace).
		WithData(s.content.data).WithLabels(s.content.labels).WithAnnotations(s.content.annotations)
	secret.WithFinalizers(s.content.finalizers...)
	if s.es.Spec.Target.Immutable {
		secret.WithImmutable(true)
	}
	switch {
	case t != "":
		secret.WithType(t)
	case creationOf(&s.es.Spec) != esv1.CreationMerge:
		// Said, so that a Secret of another type is refused instead of filled.
		secret.WithType(corev1.SecretTypeOpaque)
	}
	if owns(&s.es.Spec) {
		secret.WithOwnerReferences(metav1ac.OwnerReference().
			WithAPIVersion(esv1.GroupVersion().String()).WithKind(esv1.KindExternalSecret).
			WithName(s.es.Name).WithUID(s.es.UID).WithController(true).WithBlockOwnerDeletion(true))
	}
	opts := []client.ApplyOption{client.FieldOwner(fieldOwner(s.es.Name))}
	if to.uid != "" {
		secret.WithUID(to.uid)
	}
	if to.version != "" {
		secret.WithResourceVersion(to.version)
	}
	if force {
		opts = append(opts, client.ForceOwnership)
	}
	if err := r.applySecret(ctx, s, secret, opts); err != nil {
		return nil, fmt.Errorf("write Secret %s/%s: %w%s", s.es.Namespace, targetName(s.es), redact.API(err), cureOf(err))
	}
	return secret, nil
}

// applySecret applies. Where the content has no key and others may have some, it says so with an empty map: whoever owned the
// last key and does not name the map any more removes all of it, also keys that have no owner, such as those of a Secret that was
// applied with stringData. A map that is empty on both sides would be a conflict of those who say so.
func (r *Reconciler) applySecret(ctx context.Context, s *scope, secret *corev1ac.SecretApplyConfiguration, opts []client.ApplyOption) error {
	if len(secret.Data) > 0 || !shares(&s.es.Spec) {
		return r.deps.Client.Apply(ctx, secret, opts...)
	}
	live, err := r.read(ctx, s)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err != nil || len(live.Data) == 0 {
		return r.deps.Client.Apply(ctx, secret, opts...)
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(secret)
	if err != nil {
		return fmt.Errorf("encode it: %w", err)
	}
	fields["data"] = map[string]any{}
	object := &unstructured.Unstructured{Object: fields}
	if err := r.deps.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), opts...); err != nil {
		return err
	}
	secret.UID, secret.ResourceVersion = ptr.To(object.GetUID()), ptr.To(object.GetResourceVersion())
	return nil
}

// takeOver looks at the Secret that the API server refused to change, and applies the content to it by force unless it
// belongs to somebody else, is privileged or cannot be changed. Without a Secret it returns what was refused; nil for a
// target that is not ours to create.
func (r *Reconciler) takeOver(ctx context.Context, s *scope, refused error) (*corev1ac.SecretApplyConfiguration, error) {
	live, err := r.read(ctx, s)
	if err == nil {
		err = r.refuseRival(ctx, s, refused, live)
	}
	if err == nil {
		err = r.mayInherit(ctx, s, live)
	}
	switch {
	case apierrors.IsNotFound(err) && creationOf(&s.es.Spec) == esv1.CreationMerge:
		return nil, nil //nolint:nilnil // no Secret is what there is to say
	case apierrors.IsNotFound(err):
		return nil, refused
	case err != nil:
		return nil, err
	}
	if ptr.Deref(live.Immutable, false) && refuseOwner(live, s.es) == nil && holdsContent(live, s) {
		s.frozen = true
		return nil, r.patchMetadata(ctx, s, live, s.content.labels, s.content.annotations)
	}
	if err := refuseTarget(live, s.es, s.content.secretType); err != nil {
		return nil, err
	}
	if err := refuseLack(live, s); err != nil {
		return nil, err
	}
	if err := r.inheritFrom(ctx, s, live); err != nil {
		return nil, err
	}
	t := live.Type
	if creationOf(&s.es.Spec) == esv1.CreationMerge {
		t = s.content.secretType // what is not ours to create is not ours to say, the next time either
	}
	return r.apply(ctx, s, seen{uid: live.UID}, t, true)
}

// refuseRival says that another ExternalSecret writes the same field of a target that neither of them owns, when that is what
// the API server refused: the two would take it from each other for ever. A field that both have written with one value until now is
// nobody's alone: who has a new value first writes it, so that a value that both read is rotated, and the other is told if it has another.
func (r *Reconciler) refuseRival(ctx context.Context, s *scope, refused error, live *corev1.Secret) error {
	contested := contests(refused, s.es)
	if len(contested) == 0 || owns(&s.es.Spec) {
		return nil
	}
	others, err := r.rivals(ctx, s.es)
	if err != nil {
		return err
	}
	ours, err := appliedFields(live.ManagedFields, fieldOwner(s.es.Name))
	if err != nil {
		return fmt.Errorf("read the field managers of Secret %s/%s: %w", s.es.Namespace, targetName(s.es), err)
	}
	for _, c := range contested {
		for _, other := range others {
			if fieldOwner(other.Name) == c.manager && !ours[c.field] {
				return providers.Errorf(providers.ErrInvalid, "target is owned by another: ExternalSecret %s writes %s of Secret %s/%s; "+
					"let the two write different keys or Secrets", other.Name, redact.Field(strings.TrimPrefix(c.field, ".")), s.es.Namespace, targetName(s.es))
			}
		}
	}
	return nil // who else wrote it is gone, and its fields are anybody's
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

// removeForeignKeys removes the keys that others put into a target that belongs to the ExternalSecret as a whole
// (creationPolicy Owner, and Orphan while no other ExternalSecret merges into it). The resource version of what is left goes into got.
func (r *Reconciler) removeForeignKeys(ctx context.Context, s *scope, got *corev1ac.SecretApplyConfiguration) error {
	if shares(&s.es.Spec) {
		return nil
	}
	drop := map[string]any{}
	for key := range got.Data {
		if _, ours := s.content.data[key]; !ours {
			drop[key] = nil
		}
	}
	if len(drop) == 0 {
		return nil
	}
	if others, err := r.rivals(ctx, s.es); err != nil || len(others) > 0 && !owns(&s.es.Spec) {
		return err
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
	hash, said := dataHash(live.Data), s.target.dataHash
	right := said == hash
	if !right {
		if err := r.readKey(ctx, s); err != nil {
			return err
		}
		right = said == keyedHash(s.key, s.es, hash)
	}
	if refuseOwner(live, s.es) != nil || !right || live.UID != s.target.uid || live.ResourceVersion != s.target.resourceVersion {
		s.plan.refresh, s.plan.drifted = true, true
	}
	return nil
}

// prune deletes the Secrets that the ExternalSecret owned under other names of its target.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	if !owns(&s.es.Spec) {
		return nil
	}
	owned, err := r.targets.ownedBy(ctx, s.es)
	if err != nil {
		return err
	}
	for i := range owned {
		if owned[i].Name == targetName(s.es) {
			continue
		}
		if err := r.delete(ctx, s.es, &owned[i]); err != nil {
			return fmt.Errorf("remove the target before: %w", err)
		}
		r.deps.Events.Eventf(s.es, nil, corev1.EventTypeNormal, esv1.ReasonDeleted, "Delete", "secret deleted because it was orphaned")
	}
	return nil
}
