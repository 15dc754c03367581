package sealedsecret

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

func TestTheCacheHasWhatSaysWhetherAnObjectIsCurrentAndNoValue(t *testing.T) {
	t.Parallel()
	const sealed = "c2VhbGVk"
	now := metav1.NewTime(time.Now())
	obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "app", UID: "u", ResourceVersion: "7", Generation: 3, DeletionTimestamp: &now,
		Labels: map[string]string{instanceLabel: "shop", "tier": "web"},
		Annotations: map[string]string{
			v1alpha1.AnnotationNamespaceWide: "true", "kubectl.kubernetes.io/last-applied-configuration": `{"spec":{"encryptedData":{"k":"` + sealed + `"}}}`,
		},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}}
	obj.Spec.EncryptedData = map[string]string{"k": sealed}
	obj.Spec.Data = []byte(sealed)
	text := sealed
	obj.Spec.Template.Data = map[string]*string{"t": &text}
	obj.Status = v1alpha1.SealedSecretStatus{
		ObservedGeneration: 3, Scope: string(seal.NamespaceWide), SealingKey: "SHA256:k", Secret: v1alpha1.SecretVersion{UID: "s", ResourceVersion: "9"},
	}
	setConditions(&obj.Status, metav1.ConditionTrue, v1alpha1.ReasonUnsealed, "", now.Time, false)
	obj.Status.Conditions = append(obj.Status.Conditions, v1alpha1.Condition{Type: "Foreign", Status: "Maybe", Message: "stays"})

	handover := &Handover{}
	got, err := handover.Cached(obj)
	kept, ok := got.(*v1alpha1.SealedSecret)
	if err != nil || !ok {
		t.Fatalf("%T, %v", got, err)
	}
	if diff := cmp.Diff(obj.Status, kept.Status); diff != "" {
		t.Error(diff)
	}
	want := metav1.ObjectMeta{
		Namespace: "team", Name: "app", UID: "u", ResourceVersion: "7", Generation: 3, DeletionTimestamp: &now,
		Labels: map[string]string{instanceLabel: "shop"}, Annotations: map[string]string{v1alpha1.AnnotationNamespaceWide: "true"},
	}
	if diff := cmp.Diff(want, kept.ObjectMeta); diff != "" {
		t.Error(diff)
	}
	if !upToDate(kept) {
		t.Error("it is not up to date any more")
	}
	raw, err := json.Marshal(kept)
	if err != nil || strings.Contains(string(raw), sealed) {
		t.Errorf("%s, %v", raw, err)
	}
	if again, err := handover.Cached(got); !cmp.Equal(got, again) || err != nil {
		t.Errorf("once more it is %+v, %v", again, err)
	}
}

func TestTheCacheHasTheVersionOfASecretAlone(t *testing.T) {
	t.Parallel()
	secret := secretMetadata()
	secret.ObjectMeta = metav1.ObjectMeta{
		Namespace: "team", Name: "app", UID: "u", ResourceVersion: "7", Generation: 1,
		Labels: map[string]string{v1alpha1.LabelSealedBy: "o"}, Annotations: map[string]string{"a": "b"},
		OwnerReferences: []metav1.OwnerReference{{Name: "app"}},
	}
	want := secretMetadata()
	want.ObjectMeta = metav1.ObjectMeta{Namespace: "team", Name: "app", UID: "u", ResourceVersion: "7"}
	got, err := cachedVersion(secret)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
