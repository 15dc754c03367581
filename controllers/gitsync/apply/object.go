package apply

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/providers"
)

// enabled is the value with which an annotation asks for something.
const enabled = "enabled"

// Owner is the GitSync that applies.
type Owner struct{ Namespace, Name string }

// Object is one desired object, made by Prepare.
type Object struct {
	Ref Ref
	// Sensitive marks an object that holds decrypted or secret values: errors about it name fields only.
	Sensitive bool

	desired *unstructured.Unstructured
	hash    [sha256.Size]byte
}

// Entry returns the inventory entry of the object.
func (o Object) Entry() Entry { return EntryOf(o.desired) }

// Entries returns the inventory of the objects.
func Entries(objects []Object) []Entry {
	out := make([]Entry, len(objects))
	for i, o := range objects {
		out[i] = o.Entry()
	}
	return Union(nil, out)
}

// Prepare makes u, which it takes over, ready to be applied for owner: what only a server may set is removed, a Secret's
// stringData becomes data (server-side apply would otherwise never remove a key of it), and the owner's labels are added.
// It returns an error of class providers.ErrInvalid that names the object and the field.
func Prepare(u *unstructured.Unstructured, owner Owner, sensitive bool) (Object, error) {
	ref := RefOf(u)
	if ref.Name == "" || ref.Kind == "" {
		return Object{}, providers.Errorf(providers.ErrInvalid, "%s: an object needs apiVersion, kind and metadata.name", ref)
	}
	unstructured.RemoveNestedField(u.Object, "status")
	for _, f := range []string{"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink", "deletionTimestamp"} {
		unstructured.RemoveNestedField(u.Object, "metadata", f)
	}
	if ref.Group == "" && ref.Kind == "Secret" {
		sensitive = true
		if err := mergeStringData(ref, u.Object); err != nil {
			return Object{}, err
		}
	}
	labels := u.GetLabels()
	if labels == nil {
		labels = make(map[string]string, 2)
	}
	labels[v1alpha1.LabelName], labels[v1alpha1.LabelNamespace] = owner.Name, owner.Namespace
	u.SetLabels(labels)
	raw, err := json.Marshal(u.Object) // sorts the keys
	if err != nil {
		return Object{}, providers.Errorf(providers.ErrInvalid, "%s: cannot be written as JSON", ref)
	}
	// Read back, so that it holds only the types that the API machinery knows, whatever read it first.
	desired := &unstructured.Unstructured{}
	if err := desired.UnmarshalJSON(raw); err != nil {
		return Object{}, providers.Errorf(providers.ErrInvalid, "%s: is not a Kubernetes object", ref)
	}
	return Object{Ref: ref, Sensitive: sensitive, desired: desired, hash: sha256.Sum256(raw)}, nil
}

// mergeStringData moves stringData into data and checks that both hold what a Secret may hold, because the API server's
// own words about a bad value quote it.
func mergeStringData(ref Ref, secret map[string]any) error {
	data, err := stringMap(ref, secret, "data")
	if err != nil {
		return err
	}
	plain, err := stringMap(ref, secret, "stringData")
	if err != nil {
		return err
	}
	out := make(map[string]any, len(data)+len(plain))
	for _, k := range slices.Sorted(maps.Keys(data)) {
		raw, err := base64.StdEncoding.DecodeString(data[k])
		if err != nil {
			return providers.Errorf(providers.ErrInvalid, "%s: data.%s is not base64; encode it or move it to stringData", ref, k)
		}
		out[k] = base64.StdEncoding.EncodeToString(raw)
	}
	for k, v := range plain {
		out[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	delete(secret, "stringData")
	delete(secret, "data")
	if len(out) > 0 {
		secret["data"] = out
	}
	return nil
}

// secretKeys is what Kubernetes accepts as a key of a Secret.
var secretKeys = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)

func stringMap(ref Ref, secret map[string]any, field string) (map[string]string, error) {
	raw, ok := secret[field]
	if !ok || raw == nil {
		return nil, nil
	}
	m, ok := raw.(map[string]any)
	if !ok {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s must be a map of keys to strings", ref, field)
	}
	out := make(map[string]string, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if len(k) > 253 || !secretKeys.MatchString(k) { // it is not quoted: it may be a value in the wrong place
			return nil, providers.Errorf(providers.ErrInvalid,
				"%s: a key of %s has characters other than letters, digits, '-', '_' and '.'; rename it", ref, field)
		}
		switch v := m[k].(type) {
		case string:
			out[k] = v
		case nil:
			out[k] = ""
		default:
			return nil, providers.Errorf(providers.ErrInvalid, "%s: %s.%s must be a string; put it in quotes", ref, field, k)
		}
	}
	return out, nil
}

// Duplicates returns an error that names the objects which occur more than once, or nil.
func Duplicates(objects []Object) error {
	seen := make(map[Ref]int, len(objects))
	for _, o := range objects {
		seen[o.Ref]++
	}
	var twice []string
	for _, r := range slices.SortedFunc(maps.Keys(seen), Ref.Compare) {
		if seen[r] > 1 {
			twice = append(twice, r.String())
		}
	}
	if len(twice) == 0 {
		return nil
	}
	return providers.Errorf(providers.ErrInvalid, "%s: defined more than once; keep one of them", list(twice))
}

// list joins the first names and counts the others.
func list(names []string) string {
	const shown = 5
	if len(names) > shown {
		return fmt.Sprintf("%s and %d more", join(names[:shown]), len(names)-shown)
	}
	return join(names)
}
