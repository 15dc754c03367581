package sealedsecret

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/privileged"
	"github.com/sealbridge/sealbridge/providers"
)

// expected returns the version of the Secret that was written for the object as it is now, and by which key; false when
// none was. What this process remembers counts before the status, which the cache may show late.
func expected(obj *v1alpha1.SealedSecret, r *record, scope seal.Scope) (v1alpha1.SecretVersion, bool) {
	if r.written.UID != "" {
		return r.written, r.generation == obj.Generation && r.scope == scope
	}
	return obj.Status.Secret, obj.Status.Secret.UID != "" && upToDate(obj)
}

// upToDate says whether the status is a success for the object as it is now.
func upToDate(obj *v1alpha1.SealedSecret) bool {
	st := obj.Status
	return synced(obj) && st.ObservedGeneration == obj.Generation && st.Scope == string(seal.ScopeOf(obj.Annotations))
}

func synced(obj *v1alpha1.SealedSecret) bool {
	for _, c := range obj.Status.Conditions {
		if c.Type == v1alpha1.ConditionSynced {
			return c.Status == metav1.ConditionTrue
		}
	}
	return false
}

// follows says whether an object is the one that was seen, at the same version or a later one.
func follows(obj, seen *v1alpha1.SealedSecret) bool {
	order, err := resourceversion.CompareResourceVersion(obj.ResourceVersion, seen.ResourceVersion)
	return err == nil && order >= 0 && obj.UID == seen.UID
}

// is says whether a Secret is at this version.
func is(live *metav1.PartialObjectMetadata, v v1alpha1.SecretVersion) bool {
	return live != nil && live.UID == v.UID && live.ResourceVersion == v.ResourceVersion
}

// checkPrivileges refuses the Secrets by which a template would make a credential of the cluster itself out of nothing, or a
// sealing key.
func checkPrivileges(t corev1.SecretType, labels map[string]string) error {
	if privileged.Type(t) {
		return providers.Errorf(providers.ErrInvalid,
			"a SealedSecret must not make a Secret of type %s, which is a credential of the cluster; use another type", t)
	}
	if label := privileged.Label(labels); label != "" {
		return providers.Errorf(providers.ErrInvalid,
			"a SealedSecret must not make a sealing key: remove the label %s, and create key Secrets themselves", label)
	}
	return nil
}

// action is how the Secret is written.
type action int

const (
	// create: there is no Secret.
	create action = iota
	// replace: the Secret is ours, or its owner left it to us.
	replace
	// merge: its owner lets us add to it.
	merge
	// refuse: the Secret belongs to somebody else.
	refuse
)

// decide returns how the Secret is written, given the metadata of the one that is there, nil for none.
func decide(obj *v1alpha1.SealedSecret, live *metav1.PartialObjectMetadata) action {
	switch {
	case live == nil:
		return create
	case live.Annotations[v1alpha1.AnnotationPatch] == "true":
		return merge
	case metav1.IsControlledBy(live, obj), isSuccessor(obj, live), live.Labels[v1alpha1.LabelSealedBy] == string(obj.UID), isManaged(live):
		return replace
	default:
		return refuse
	}
}

// isSuccessor reports whether a SealedSecret that had the name of this one before it controls the Secret: that is gone, and the Secret
// goes to its successor or to the garbage collector, whoever comes first. Which of the two is gone only the API server knows.
func isSuccessor(obj *v1alpha1.SealedSecret, live *metav1.PartialObjectMetadata) bool {
	ref := metav1.GetControllerOfNoCopy(live)
	if ref == nil {
		return false
	}
	group, _, _ := strings.Cut(ref.APIVersion, "/")
	return ref.Kind == v1alpha1.KindSealedSecret && group == v1alpha1.GroupVersion().Group && ref.Name == obj.Name && ref.UID != obj.UID
}

func isManaged(live *metav1.PartialObjectMetadata) bool {
	return live.Annotations[v1alpha1.AnnotationManaged] == "true"
}

// fromTemplate returns the Secret that the template shapes, without its data.
func fromTemplate(obj *v1alpha1.SealedSecret) *corev1.Secret {
	t := obj.Spec.Template
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Labels: maps.Clone(t.Metadata.Labels), Annotations: maps.Clone(t.Metadata.Annotations),
			Finalizers: slices.Clone(t.Metadata.Finalizers),
		},
		Type: corev1.SecretType(t.Type), Immutable: t.Immutable,
	}
}

// fromDeprecated returns the Secret that the plaintext of spec.data is. Its error quotes nothing of it.
func fromDeprecated(plaintext []byte) (*corev1.Secret, error) {
	var in corev1.Secret
	if err := json.Unmarshal(plaintext, &in); err != nil {
		return nil, providers.Errorf(providers.ErrInvalid, "the opened spec.data is not a Secret in JSON: seal it again as encryptedData")
	}
	out := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Labels: in.Labels, Annotations: in.Annotations, Finalizers: in.Finalizers},
		Type:       in.Type, Immutable: in.Immutable, Data: in.Data,
	}
	for key, value := range in.StringData {
		if out.Data == nil {
			out.Data = map[string][]byte{}
		}
		out.Data[key] = []byte(value)
	}
	return out, nil
}

// finish gives the Secret its name, its owner and our label, which nothing in a sealed blob can change. It takes the whole object: of
// owners the template decides, also where the Secret is sealed as a whole.
func finish(obj *v1alpha1.SealedSecret, secret *corev1.Secret) {
	secret.Namespace, secret.Name = obj.Namespace, obj.Name
	if secret.Type == "" {
		secret.Type = corev1.SecretTypeOpaque
	}
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	secret.Labels[v1alpha1.LabelSealedBy] = string(obj.UID)
	secret.OwnerReferences = nil
	if obj.Spec.Template.Metadata.Annotations[v1alpha1.AnnotationSkipSetOwnerReferences] != "true" {
		controller := true
		secret.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.KindSealedSecret,
			Name: obj.Name, UID: obj.UID, Controller: &controller,
		}}
	}
}

// templateInput returns what templates are rendered over: the raw templates themselves, and the opened values, which
// win.
func templateInput(obj *v1alpha1.SealedSecret, opened map[string][]byte) map[string]string {
	input := make(map[string]string, len(opened)+len(obj.Spec.Template.Data))
	for key, text := range obj.Spec.Template.Data {
		if text != nil {
			input[key] = *text
		}
	}
	for key, value := range opened {
		input[key] = string(value)
	}
	return input
}

// rendered returns the keys of template.data that are rendered, in order: a null is none, and an opened value wins.
func rendered(obj *v1alpha1.SealedSecret, opened map[string][]byte) []string {
	var keys []string
	for key, text := range obj.Spec.Template.Data {
		if _, sealed := opened[key]; text != nil && !sealed {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// published returns the opened values that go into the Secret: a null in template.data keeps one out.
func published(obj *v1alpha1.SealedSecret, opened map[string][]byte) map[string][]byte {
	data := make(map[string][]byte, len(opened))
	for key, value := range opened {
		if text, named := obj.Spec.Template.Data[key]; named && text == nil {
			continue
		}
		data[key] = value
	}
	return data
}

// replacement returns the object for an update of the Secret that is there: the whole of ours, on the version that was
// seen. Finalizers of others stay. In a repair, where our own part of the metadata has not changed since it was written,
// labels, annotations and owners of others stay too: taking them away would start a fight with whoever put them there.
func replacement(secret *corev1.Secret, live *metav1.PartialObjectMetadata, repair bool) *corev1.Secret {
	out := secret.DeepCopy()
	out.UID, out.ResourceVersion = live.UID, live.ResourceVersion
	out.Finalizers = union(live.Finalizers, secret.Finalizers)
	out.OwnerReferences = ownersOf(secret, live, repair)
	if !repair {
		return out
	}
	out.Labels = overlay(live.Labels, secret.Labels)
	out.Annotations = overlay(live.Annotations, secret.Annotations)
	return out
}

// ownersOf returns the owners that the Secret shall have: ours, and in a repair those of others that control nothing.
func ownersOf(secret *corev1.Secret, live *metav1.PartialObjectMetadata, repair bool) []metav1.OwnerReference {
	owners := slices.Clone(secret.OwnerReferences)
	for _, owner := range live.OwnerReferences {
		isController := owner.Controller != nil && *owner.Controller
		if repair && !isController && !hasOwner(owners, owner.UID) {
			owners = append(owners, owner)
		}
	}
	return owners
}

func hasOwner(owners []metav1.OwnerReference, uid types.UID) bool {
	return slices.ContainsFunc(owners, func(o metav1.OwnerReference) bool { return o.UID == uid })
}

// mergePatch returns the patch of a Secret whose owner lets us add to it: data, labels and annotations, of which it takes none away,
// and our owners in the place of all others only when it may be taken over too. Its type stays.
func mergePatch(secret *corev1.Secret, live *metav1.PartialObjectMetadata, repair bool) ([]byte, error) {
	labels := added(maps.Clone(secret.Labels))
	metadata := map[string]any{"uid": live.UID, "labels": labels, "annotations": added(secret.Annotations)}
	if by := labels[v1alpha1.LabelSealedBy]; !isManaged(live) && live.Labels[v1alpha1.LabelSealedBy] != by {
		labels[v1alpha1.LabelSealedBy] = by + v1alpha1.SharedSuffix // it is theirs, also when they take the annotation away
	}
	if isManaged(live) {
		metadata["resourceVersion"], metadata["ownerReferences"] = live.ResourceVersion, ownersOf(secret, live, repair)
	}
	data := make(map[string]string, len(secret.Data))
	for key, value := range secret.Data {
		data[key] = base64.StdEncoding.EncodeToString(value)
	}
	return json.Marshal(map[string]any{"metadata": metadata, "data": data})
}

// added returns a map that is not nil: in a merge patch a null takes away.
func added(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func overlay(under, over map[string]string) map[string]string {
	out := make(map[string]string, len(under)+len(over))
	maps.Copy(out, under)
	maps.Copy(out, over)
	return out
}

// notManaged is the refusal to touch a Secret of somebody else, in Sealed Secrets' words, which people grep.
func notManaged(obj *v1alpha1.SealedSecret) error {
	return providers.Errorf(providers.ErrInvalid,
		"failed update: Resource %q already exists and is not managed by SealedSecret: delete Secret %s/%s, or annotate it with %s=true to let it be taken over",
		obj.Name, obj.Namespace, obj.Name, v1alpha1.AnnotationManaged)
}

// place names the Secret in messages.
func place(obj *v1alpha1.SealedSecret) string {
	return fmt.Sprintf("Secret %s/%s", obj.Namespace, obj.Name)
}
