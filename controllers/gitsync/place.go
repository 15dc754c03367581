package gitsync

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/gitsync/apply"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// scopes tells whether kinds are namespaced: from what the API server serves, and from the definitions in the same build.
type scopes struct {
	mapper  meta.RESTMapper
	defined map[schema.GroupKind]bool
}

func newScopes(mapper meta.RESTMapper, built []Desired) scopes {
	s := scopes{mapper: mapper, defined: make(map[schema.GroupKind]bool)}
	for _, d := range built {
		if d.Object.GetKind() != "CustomResourceDefinition" {
			continue
		}
		group, _, _ := unstructured.NestedString(d.Object.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(d.Object.Object, "spec", "names", "kind")
		scope, _, _ := unstructured.NestedString(d.Object.Object, "spec", "scope")
		s.defined[schema.GroupKind{Group: group, Kind: kind}] = scope == "Namespaced"
	}
	return s
}

// namespaced reports whether objects of the kind live in namespaces. A kind that nobody knows keeps what Git says: its
// apply says that it is not known.
func (s scopes) namespaced(gvk schema.GroupVersionKind) (namespaced, known bool, err error) {
	if in, ok := s.defined[gvk.GroupKind()]; ok {
		return in, true, nil
	}
	mapping, err := s.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	return mapping.Scope.Name() == meta.RESTScopeNameNamespace, true, nil
}

// place gives every object its namespace (spec.targetNamespace, else its own, else the GitSync's) and makes it ready to
// be applied.
func place(sync *v1alpha1.GitSync, built []Desired, s scopes) ([]apply.Object, error) {
	owner := apply.Owner{Namespace: sync.Namespace, Name: sync.Name}
	accounts := accountsOf(built)
	out := make([]apply.Object, 0, len(built))
	for _, d := range built {
		namespaced, known, err := s.namespaced(d.Object.GroupVersionKind())
		if err != nil {
			return nil, fmt.Errorf("look up the kind of %s: %w", apply.RefOf(d.Object), redact.API(err))
		}
		switch {
		case known && !namespaced:
			d.Object.SetNamespace("")
		case known && sync.Spec.TargetNamespace != "":
			d.Object.SetNamespace(sync.Spec.TargetNamespace)
		case known && d.Object.GetNamespace() == "":
			d.Object.SetNamespace(sync.Namespace)
		}
		if sync.Spec.TargetNamespace != "" {
			moveSubjects(d.Object, accounts, sync.Spec.TargetNamespace)
		}
		o, err := apply.Prepare(d.Object, owner, d.Sensitive)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, apply.Duplicates(out)
}

func accountsOf(built []Desired) map[string]bool {
	out := make(map[string]bool)
	for _, d := range built {
		if d.Object.GetKind() == "ServiceAccount" && d.Object.GroupVersionKind().Group == "" {
			out[d.Object.GetName()] = true
		}
	}
	return out
}

// moveSubjects lets role bindings follow the ServiceAccounts of the same build into the target namespace.
func moveSubjects(u *unstructured.Unstructured, accounts map[string]bool, namespace string) {
	if u.GetKind() != "RoleBinding" && u.GetKind() != "ClusterRoleBinding" {
		return
	}
	subjects, _, _ := unstructured.NestedSlice(u.Object, "subjects")
	for _, s := range subjects {
		m, ok := s.(map[string]any)
		name, _ := m["name"].(string)
		if ok && m["kind"] == "ServiceAccount" && accounts[name] {
			m["namespace"] = namespace
		}
	}
	if len(subjects) > 0 {
		_ = unstructured.SetNestedSlice(u.Object, subjects, "subjects") // fails only when u is not an object
	}
}
