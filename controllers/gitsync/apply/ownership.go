package apply

import (
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
)

// Holder tells whether another GitSync still holds an object, that is, exists and has it in its inventory.
type Holder func(other Owner, r Ref) bool

// The marks by which other reconcilers own objects.
const (
	fluxKustomization = "kustomize.toolkit.fluxcd.io/name"
	fluxHelmRelease   = "helm.toolkit.fluxcd.io/name"
	argoTracking      = "argocd.argoproj.io/tracking-id"
	argoInstance      = "argocd.argoproj.io/instance"
)

// ownerOf returns the GitSync that the object's labels name; ok is false when they name none.
func ownerOf(o metav1.Object) (owner Owner, ok bool) {
	labels := o.GetLabels()
	owner = Owner{Namespace: labels[v1alpha1.LabelNamespace], Name: labels[v1alpha1.LabelName]}
	return owner, owner.Name != "" && owner.Namespace != ""
}

// foreign returns an error when somebody else reconciles the live object: two reconcilers of one object undo each other
// for ever. No label is quoted: the objects that controllers make have those that a template gives them.
func foreign(desired Object, live metav1.Object, us Owner, holds Holder) error {
	if desired.desired.GetAnnotations()[v1alpha1.AnnotationAdopt] == enabled {
		return nil
	}
	by := ""
	labels, annotations := live.GetLabels(), live.GetAnnotations()
	other, marked := ownerOf(live)
	switch {
	case marked && other != us:
		if holds != nil && holds(other, desired.Ref) {
			by = fmt.Sprintf("GitSync %s/%s", other.Namespace, other.Name)
		}
	case marked: // ours
	case labels[fluxKustomization] != "":
		by = "Flux, in a Kustomization that its label " + fluxKustomization + " names"
	case labels[fluxHelmRelease] != "":
		by = "Flux, in a HelmRelease that its label " + fluxHelmRelease + " names"
	case annotations[argoTracking] != "" || labels[argoInstance] != "":
		by = "Argo CD"
	}
	if by == "" {
		return nil
	}
	return &ObjectError{Ref: desired.Ref, Reason: ReasonOwnedByOther, Text: "is owned by " + by +
		"; remove it there first, or annotate it with " + v1alpha1.AnnotationAdopt + "=" + enabled + " in Git"}
}

// replaced are the field managers whose fields we take over the first time we apply: an object that was made by hand
// must follow Git wholly, also when Git drops a field.
func replaced() sets.Set[string] {
	return sets.New("kubectl", "kubectl-client-side-apply", "kubectl-create", "kubectl-edit", "kubectl-patch",
		"kubectl-replace", "kubectl-label", "kubectl-annotate", "before-first-apply")
}

// takeOver returns the JSON patch that hands the fields of replaced managers to us, or nil when there are none.
func takeOver(live *unstructured.Unstructured) ([]byte, error) {
	names := replaced()
	entries := live.GetManagedFields()
	if !slices.ContainsFunc(entries, func(e metav1.ManagedFieldsEntry) bool { return e.Subresource == "" && names.Has(e.Manager) }) {
		return nil, nil
	}
	// The upgrade knows client-side managers only; what `kubectl apply --server-side` owns is handed over alike.
	for i := range entries {
		if entries[i].Subresource == "" && names.Has(entries[i].Manager) {
			entries[i].Operation = metav1.ManagedFieldsOperationUpdate
		}
	}
	changed := &metav1.PartialObjectMetadata{}
	changed.SetManagedFields(entries)
	if err := csaupgrade.UpgradeManagedFields(changed, names, v1alpha1.FieldOwner); err != nil {
		return nil, fmt.Errorf("%s: take over the fields of kubectl: its field sets cannot be read", RefOf(live))
	}
	return json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": changed.GetManagedFields()},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
	})
}
