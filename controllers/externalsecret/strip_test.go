package externalsecret

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

func TestOfASecretIsKeptWhatItIsWhoseItIsAndWhatItHolds(t *testing.T) {
	t.Parallel()
	owner := metav1.OwnerReference{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: "app", UID: "u1", Controller: ptr.To(true)}
	in := secretMetadata()
	in.ObjectMeta = metav1.ObjectMeta{
		Namespace: "team", Name: "app", UID: "u2", ResourceVersion: "7", Generation: 3, OwnerReferences: []metav1.OwnerReference{owner},
		Labels:      map[string]string{esv1.LabelManaged: "true", "team": "a"},
		Annotations: map[string]string{esv1.AnnotationDataHash: "hash", esv1.AnnotationInputs: "inputs", "note": "long"},
		ManagedFields: []metav1.ManagedFieldsEntry{
			{Manager: esv1.FieldOwnerPrefix + "app", Operation: metav1.ManagedFieldsOperationUpdate, FieldsV1: &metav1.FieldsV1{}},
			{Manager: esv1.FieldOwnerPrefix + "app", Operation: metav1.ManagedFieldsOperationApply},
			{Manager: "kubectl", Operation: metav1.ManagedFieldsOperationUpdate},
		},
	}
	want := secretMetadata()
	want.ObjectMeta = metav1.ObjectMeta{
		Namespace: "team", Name: "app", UID: "u2", ResourceVersion: "7", OwnerReferences: []metav1.OwnerReference{owner},
		Annotations:   map[string]string{esv1.AnnotationDataHash: "hash", esv1.AnnotationInputs: "inputs"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: esv1.FieldOwnerPrefix + "app", Operation: metav1.ManagedFieldsOperationUpdate}},
	}
	got, err := strip(in)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// Most have a target of their own name, and need no entry.
func TestATargetIsFoundUnderItsOwnNameAndUnderAnother(t *testing.T) {
	t.Parallel()
	for target, want := range map[string][]string{"": nil, "app": nil, "other": {"other"}} {
		es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Name: "app"}}
		es.Spec.Target.Name = target
		if diff := cmp.Diff(want, indexTarget(es)); diff != "" {
			t.Errorf("target %q: %s", target, diff)
		}
	}
}
