package externalsecret

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// freeze makes a target that exists immutable and marks it, and leaves its data as they are: target.immutable means that data
// are written once. It reports false when there is no target yet.
func (r *Reconciler) freeze(ctx context.Context, s *scope) (bool, error) {
	live, err := r.read(ctx, s)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := refuseOwner(live, s.es); err != nil {
		return true, err
	}
	marks := content{}
	marks.mark(s.es, keyedHash(s.key, s.es, dataHash(live.Data)))
	return true, r.patchMetadata(ctx, s, live, marks.labels, marks.annotations)
}

// holdsContent reports whether a Secret holds the data that it shall hold, so that only its metadata is left to write.
func holdsContent(live *corev1.Secret, s *scope) bool {
	if s.content.secretType != "" && live.Type != s.content.secretType {
		return false
	}
	for key, value := range s.content.data {
		if got, ok := live.Data[key]; !ok || !bytes.Equal(got, value) {
			return false
		}
	}
	return shares(&s.es.Spec) || len(live.Data) == len(s.content.data)
}

// patchMetadata writes labels, annotations and the owner of a Secret whose data cannot or shall not change, and makes it
// immutable where the spec says so. It writes nothing when there is nothing to change.
func (r *Reconciler) patchMetadata(ctx context.Context, s *scope, live *corev1.Secret, labels, annotations map[string]string) error {
	if err := r.mayInherit(ctx, s, live); err != nil {
		return err
	}
	want := live.DeepCopy()
	want.Labels, want.Annotations = merged(live.Labels, labels), merged(live.Annotations, annotations)
	if theirs := live.Annotations[esv1.AnnotationDataHash]; theirs == dataHash(live.Data) {
		want.Annotations[esv1.AnnotationDataHash] = theirs // as right as ours, and no reason to write
	}
	want.Immutable = ptr.To(s.es.Spec.Target.Immutable || ptr.Deref(live.Immutable, false))
	if owns(&s.es.Spec) && !metav1.IsControlledBy(live, s.es) {
		want.OwnerReferences = append(withoutPredecessors(want.OwnerReferences, s.es), *metav1.NewControllerRef(s.es, esv1.GroupVersion().WithKind(esv1.KindExternalSecret)))
	}
	if !owns(&s.es.Spec) && metav1.IsControlledBy(live, s.es) {
		delete(want.Labels, esv1.LabelCreatedBy)
		want.OwnerReferences = without(want.OwnerReferences, s.es.UID)
	}
	patch := client.StrategicMergeFrom(live, client.MergeFromWithOptimisticLock{})
	if raw, err := patch.Data(want); err == nil && hasChanges(raw) {
		if err := r.deps.Client.Patch(ctx, want, patch, client.FieldOwner(fieldOwner(s.es.Name))); err != nil {
			return fmt.Errorf("mark Secret %s/%s, whose data stay: %w", live.Namespace, live.Name, redact.API(err))
		}
		s.written = true
	}
	s.target = target{exists: true, uid: live.UID, resourceVersion: want.ResourceVersion, dataHash: want.Annotations[esv1.AnnotationDataHash]}
	if owns(&s.es.Spec) {
		s.target.controller = s.es.UID
	}
	return nil
}

// hasChanges reports whether a patch says more than which version of which object it is for.
func hasChanges(raw []byte) bool {
	var patch map[string]any
	if json.Unmarshal(raw, &patch) != nil {
		return true
	}
	metadata, _ := patch["metadata"].(map[string]any)
	delete(metadata, "resourceVersion")
	delete(metadata, "uid")
	return len(patch) > 1 || len(metadata) > 0
}

func merged(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, b)
	return out
}

// withoutPredecessors returns the owners but those that had the name of the ExternalSecret before it.
func withoutPredecessors(refs []metav1.OwnerReference, es *esv1.ExternalSecret) []metav1.OwnerReference {
	return slices.DeleteFunc(slices.Clone(refs), func(ref metav1.OwnerReference) bool { return isPredecessor(&ref, es) })
}

func without(refs []metav1.OwnerReference, uid types.UID) []metav1.OwnerReference {
	var out []metav1.OwnerReference
	for _, ref := range refs {
		if ref.UID != uid {
			out = append(out, ref)
		}
	}
	return out
}
