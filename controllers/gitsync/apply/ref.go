package apply

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Ref names an object independently of the version it is read in.
type Ref struct {
	Group, Kind, Namespace, Name string
}

// RefOf returns the Ref of an object.
func RefOf(u *unstructured.Unstructured) Ref {
	gvk := u.GroupVersionKind()
	return Ref{Group: gvk.Group, Kind: gvk.Kind, Namespace: u.GetNamespace(), Name: u.GetName()}
}

// ID returns the form in which inventories keep a Ref, <namespace>_<name>_<group>_<kind>, as Flux writes it: a colon,
// which names of RBAC objects may hold, becomes two underscores.
func (r Ref) ID() string {
	return r.Namespace + "_" + strings.ReplaceAll(r.Name, ":", "__") + "_" + r.Group + "_" + r.Kind
}

// String returns the form that people read: "Deployment.apps shop/api".
func (r Ref) String() string {
	kind := r.Kind
	if r.Group != "" {
		kind += "." + r.Group
	}
	if r.Namespace == "" {
		return kind + " " + r.Name
	}
	return kind + " " + r.Namespace + "/" + r.Name
}

// GroupKind returns the kind of the object.
func (r Ref) GroupKind() schema.GroupKind { return schema.GroupKind{Group: r.Group, Kind: r.Kind} }

// Key returns the namespace and name of the object.
func (r Ref) Key() types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
}

// Compare orders Refs by stage, kind, namespace and name: the order in which they are applied and reported.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(
		cmp.Compare(stageOf(r.GroupKind()), stageOf(o.GroupKind())),
		cmp.Compare(r.Kind, o.Kind), cmp.Compare(r.Group, o.Group),
		cmp.Compare(r.Namespace, o.Namespace), cmp.Compare(r.Name, o.Name))
}

// ParseID reads what ID wrote. Only a name may hold underscores.
func ParseID(id string) (Ref, error) {
	ns, rest, ok := strings.Cut(id, "_")
	kindAt := strings.LastIndex(rest, "_")
	if !ok || kindAt < 0 {
		return Ref{}, fmt.Errorf("inventory entry %q is not <namespace>_<name>_<group>_<kind>", id)
	}
	groupAt := strings.LastIndex(rest[:kindAt], "_")
	if groupAt < 0 {
		return Ref{}, fmt.Errorf("inventory entry %q is not <namespace>_<name>_<group>_<kind>", id)
	}
	r := Ref{Namespace: ns, Name: strings.ReplaceAll(rest[:groupAt], "__", ":"), Group: rest[groupAt+1 : kindAt], Kind: rest[kindAt+1:]}
	if r.Name == "" || r.Kind == "" {
		return Ref{}, fmt.Errorf("inventory entry %q names no object", id)
	}
	return r, nil
}

// Entry is one object of an inventory, with the version of its API in which it was last applied.
type Entry struct {
	Ref
	Version string
}

// GVK returns the group, version and kind with which the object can be read.
func (e Entry) GVK() schema.GroupVersionKind {
	return e.GroupKind().WithVersion(e.Version)
}

// EntryOf returns the inventory entry of an object.
func EntryOf(u *unstructured.Unstructured) Entry {
	return Entry{Ref: RefOf(u), Version: u.GroupVersionKind().Version}
}

// Union returns the entries of both inventories in a stable order; where both hold an object, the version of b stays.
func Union(a, b []Entry) []Entry {
	byRef := make(map[Ref]Entry, len(a)+len(b))
	for _, e := range a {
		byRef[e.Ref] = e
	}
	for _, e := range b {
		byRef[e.Ref] = e
	}
	out := make([]Entry, 0, len(byRef))
	for _, e := range byRef {
		out = append(out, e)
	}
	slices.SortFunc(out, func(x, y Entry) int { return x.Compare(y.Ref) })
	return out
}

// Without returns the entries of a whose objects are not in b, in the order of a.
func Without(a, b []Entry) []Entry {
	drop := make(map[Ref]bool, len(b))
	for _, e := range b {
		drop[e.Ref] = true
	}
	var out []Entry
	for _, e := range a {
		if !drop[e.Ref] {
			out = append(out, e)
		}
	}
	return out
}
