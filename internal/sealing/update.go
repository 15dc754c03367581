package sealing

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/yamledit"
)

// Memory knows which sealed values hold what.
type Memory interface {
	// Holds says whether a sealed value holds a plain one at a place, and is sealed to those that are sealed to now.
	Holds(scope seal.Scope, namespace, name, text string, value []byte) bool
	// Sealed is told what was sealed.
	Sealed(scope seal.Scope, namespace, name, text string, value []byte)
}

// find returns the first SealedSecret of this name and namespace, or nil.
func (f *File) find(namespace, name string) *Object {
	if f.byName == nil { // which is needed for updates alone
		f.byName = make(map[[2]string]*Object, len(f.objects))
		for _, o := range slices.Backward(f.objects) {
			f.byName[[2]string{o.Namespace, o.Name}] = o
		}
	}
	return f.byName[[2]string{namespace, name}]
}

// Update seals a Secret into the file: its SealedSecret there is changed, or comes behind the others when there is none, in the
// format of the file, or in the one that is given where the file is empty. Of two Secrets of one name, which would replace one
// another, the second is refused.
// A value that the sealed one there holds already, as options' memory says, keeps its ciphertext. Keys that the Secret
// does not have go, as do labels and annotations of the template; what Secrets cannot say (template.data, labels of the
// SealedSecret itself, comments) stays.
func (f *File) Update(s Secret, o Options, format Format) error {
	o.existing = f.find
	sealed, err := Seal(s, o)
	if err != nil {
		return err
	}
	name := [2]string{sealed.Metadata.Namespace, sealed.Metadata.Name}
	if f.updated[name] {
		return problem("give each Secret once, with all of its keys", "%s: there are two Secrets with the name %s", s.where, sealed.Metadata.Name)
	}
	if f.updated == nil {
		f.updated = map[[2]string]bool{}
	}
	f.updated[name] = true
	existing := f.find(sealed.Metadata.Namespace, sealed.Metadata.Name)
	if existing == nil {
		if len(bytes.TrimSpace(f.text)) > 0 {
			format = formatOf(f.text)
		}
		text, err := Encode(format, sealed)
		if err != nil {
			return err
		}
		if len(f.text) > 0 && !bytes.HasSuffix(f.text, []byte("\n")) && len(f.added) == 0 {
			text = append([]byte("\n"), text...)
		}
		if first, _, _ := bytes.Cut(f.text, []byte("\n")); bytes.HasSuffix(first, []byte("\r")) {
			text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		}
		f.added = append(f.added, text...)
		return nil
	}
	want, err := fieldsOf(sealed)
	if err != nil {
		return err
	}
	existing.edit(yamledit.Difference(existing.fields, merged(existing.fields, want))...)
	return nil
}

func fieldsOf(sealed *SealedSecret) (map[string]any, error) {
	text, err := json.Marshal(sealed)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	return fields, json.Unmarshal(text, &fields)
}

// merged returns what the SealedSecret will be.
func merged(have, want map[string]any) map[string]any {
	out := maps.Clone(have)
	spec := cloned(out, "spec")
	delete(spec, "data") // the deprecated format, beside which no value opens
	template := cloned(spec, "template")
	wanted := child(want, "spec")
	spec["encryptedData"] = wanted["encryptedData"]
	for _, field := range []string{"metadata", "type", "immutable"} {
		value, ok := child(wanted, "template")[field]
		if ok {
			template[field] = value
		} else {
			delete(template, field)
		}
	}
	annotations := child(child(want, "metadata"), "annotations")
	before := child(child(have, "metadata"), "annotations")
	meta := cloned(out, "metadata")
	for _, scope := range []string{seal.AnnotationClusterWide, seal.AnnotationNamespaceWide} {
		if value, ok := annotations[scope]; ok {
			cloned(meta, "annotations")[scope] = value
		} else if before[scope] != nil {
			delete(cloned(meta, "annotations"), scope)
		}
	}
	return out
}

func child(fields map[string]any, name string) map[string]any {
	out, _ := fields[name].(map[string]any)
	return out
}

// cloned puts a copy of the map under a name in its place and returns it.
func cloned(fields map[string]any, name string) map[string]any {
	out := maps.Clone(child(fields, name))
	if out == nil {
		out = map[string]any{}
	}
	fields[name] = out
	return out
}

// kept returns the sealed value of a key that holds a value already.
func (o Options) kept(scope seal.Scope, namespace, name, key string, value []byte) (string, bool) {
	if o.Memory == nil || o.existing == nil {
		return "", false
	}
	existing := o.existing(namespace, name)
	if existing == nil || existing.Scope != scope {
		return "", false
	}
	text, ok := existing.Values[key]
	return text, ok && o.Memory.Holds(scope, namespace, name, text, value)
}

// Keys returns the keys of the object in their order.
func (o *Object) Keys() []string { return slices.Sorted(maps.Keys(o.Values)) }
