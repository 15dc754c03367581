package sealing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/manifest"
	"github.com/sealbridge/sealbridge/internal/yamledit"
)

// File is a file of manifests whose SealedSecrets can be changed where they stand. All else in it stays as it is, byte by
// byte.
type File struct {
	text    []byte
	objects []*Object
	byName  map[[2]string]*Object // by namespace and name
	updated map[[2]string]bool    // what Update was given
	added   []byte                // behind the text
}

// Object is a SealedSecret of a file.
type Object struct {
	Name      string
	Namespace string // "" when the manifest leaves it to whoever applies it
	Scope     seal.Scope
	// Values is spec.encryptedData: sealed values by their keys.
	Values map[string]string
	// Deprecated is spec.data, one sealed value of the old format; mostly "".
	Deprecated string
	// Line of the file on which the object's document begins, from 1.
	Line int

	document manifest.Document
	fields   map[string]any
	edits    []yamledit.Edit
}

// ReadFile reads a file of manifests. A document that cannot be read, and a SealedSecret with fields of another type, is
// an error; documents of other kinds are not looked at.
func ReadFile(text []byte) (*File, error) {
	return readFile(text, func(manifest.Document) error { return nil })
}

// readFile hands each document of another kind to other, whose error ends it.
func readFile(text []byte, other func(manifest.Document) error) (*File, error) {
	documents, err := manifest.Read(bytes.NewReader(text), manifest.Limits{})
	if err != nil {
		return nil, inputError(err)
	}
	f := &File{text: text}
	for _, d := range documents {
		items, err := manifest.Items(d)
		if err != nil {
			return nil, inputError(err)
		}
		lines := sync.OnceValue(func() yamledit.Lines { return yamledit.NewLines(d.Raw, d.RawLine()) })
		for _, item := range items {
			if apiVersion, kind := item.Kind(); kind != Kind || apiVersion != APIVersion {
				if err := other(item); err != nil {
					return nil, err
				}
				continue
			}
			object, err := newFileObject(item)
			if err != nil {
				return nil, err
			}
			if len(item.Path) > 0 {
				object.Line = lines().Of(item.Path...)
			}
			f.objects = append(f.objects, object)
		}
	}
	return f, nil
}

func newFileObject(d manifest.Document) (*Object, error) {
	o := newObject(d)
	meta := o.metadata("metadata")
	object := &Object{
		Name: meta.Name, Namespace: meta.Namespace, Scope: seal.ScopeOf(meta.Annotations), Values: o.texts("spec", "encryptedData"),
		Deprecated: o.text("spec", "data"), Line: d.Line, document: d, fields: d.Object,
	}
	return object, o.err
}

// Objects returns the SealedSecrets of the file in their order.
func (f *File) Objects() []*Object { return f.objects }

// Before returns the file as it was read.
func (f *File) Before() []byte { return f.text }

// Choose returns the one SealedSecret of this name and namespace, of which each may be "" for any. A SealedSecret without a
// namespace is in the one that it is applied to: it is meant by any that no other is in, by its name where the file has several.
func (f *File) Choose(name, namespace string) (*Object, error) {
	if len(f.objects) == 0 {
		return nil, problem("sealbridge seal makes one", "the file has no SealedSecret")
	}
	found := f.fitting(name, namespace)
	if len(found) == 0 && (name != "" || len(f.objects) == 1) {
		found = slices.DeleteFunc(f.fitting(name, ""), func(o *Object) bool { return o.Namespace != "" })
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return nil, problem("it has: "+list(f.objects), "the file has no SealedSecret of this name and namespace")
	}
	hint := "choose one with --name and --namespace: "
	if !slices.ContainsFunc(found, func(o *Object) bool { return o.Name != found[0].Name }) {
		hint = "choose one with --namespace: "
		if !slices.ContainsFunc(found, func(o *Object) bool { return o.Namespace != found[0].Namespace }) {
			hint = "no flag tells them apart, and only one of them can be in a cluster; remove the others: "
		}
	}
	return nil, problem(hint+list(found), "the file has %d SealedSecrets that fit", len(found))
}

func (f *File) fitting(name, namespace string) []*Object {
	var out []*Object
	for _, o := range f.objects {
		if (name == "" || o.Name == name) && (namespace == "" || o.Namespace == namespace) {
			out = append(out, o)
		}
	}
	return out
}

// list names objects and where they stand.
func list(objects []*Object) string {
	texts := make([]string, len(objects))
	for i, o := range objects {
		texts[i] = fmt.Sprintf("%s (line %d)", o, o.Line)
		if o.Namespace == "" {
			texts[i] = fmt.Sprintf("%s (line %d, in the namespace that it is applied to)", o, o.Line)
		}
	}
	return strings.Join(texts, ", ")
}

// String names the object for people: namespace/name.
func (o *Object) String() string {
	if o.Namespace == "" {
		return o.Name
	}
	return o.Namespace + "/" + o.Name
}

// JSON returns the object for a controller to judge, as it is in a namespace: its own, or the one that it is applied to when it names none.
func (o *Object) JSON(namespace string) ([]byte, error) {
	fields := o.fields
	if namespace != o.Namespace {
		fields = maps.Clone(fields)
		cloned(fields, "metadata")["namespace"] = namespace
	}
	return json.Marshal(fields)
}

// SetDeprecated replaces the deprecated spec.data.
func (o *Object) SetDeprecated(sealed string) {
	o.edit(yamledit.Edit{Path: []string{"spec", "data"}, Value: sealed})
}

// DeprecatedKey stands for the deprecated spec.data where a key is asked for: one sealed value like the others, whose
// plaintext is a whole Secret.
const DeprecatedKey = ""

// Sealed returns the sealed value of a key, or of DeprecatedKey.
func (o *Object) Sealed(key string) string {
	if key == DeprecatedKey {
		return o.Deprecated
	}
	return o.Values[key]
}

// Set puts a sealed value under a key.
func (o *Object) Set(key, sealed string) {
	if key == DeprecatedKey {
		o.SetDeprecated(sealed)
		return
	}
	o.edit(yamledit.Edit{Path: []string{"spec", "encryptedData", key}, Value: sealed})
}

// Remove takes a key away.
func (o *Object) Remove(key string) {
	o.edit(yamledit.Edit{Path: []string{"spec", "encryptedData", key}, Delete: true})
}

func (o *Object) edit(edits ...yamledit.Edit) {
	for _, e := range edits {
		e.Path = slices.Concat(o.document.Path, e.Path)
		o.edits = append(o.edits, e)
	}
}

// Changed says whether an edit is waiting to be made.
func (f *File) Changed() bool {
	return len(f.added) > 0 || slices.ContainsFunc(f.objects, func(o *Object) bool { return len(o.edits) > 0 })
}

// Text returns the file with all changes made.
func (f *File) Text() ([]byte, error) {
	var out bytes.Buffer
	at := 0
	for i := 0; i < len(f.objects); {
		d := f.objects[i].document
		var edits []yamledit.Edit
		for ; i < len(f.objects) && f.objects[i].document.Offset == d.Offset; i++ {
			edits = append(edits, f.objects[i].edits...)
		}
		if len(edits) == 0 {
			continue
		}
		changed, err := yamledit.Apply(d.Raw, edits)
		if err != nil {
			return nil, editError(d, err)
		}
		out.Write(f.text[at:d.Offset])
		out.Write(changed)
		at = d.Offset + len(d.Raw)
	}
	out.Write(f.text[at:])
	out.Write(f.added)
	return out.Bytes(), nil
}

func editError(d manifest.Document, err error) error {
	where := fmt.Sprintf("document %d, line %d", d.Index, d.Line)
	var shape *yamledit.ShapeError
	if errors.As(err, &shape) {
		return &Error{Problem: where + ": " + shape.Error(), Hint: "write maps out where they stand, without anchors and aliases", Cause: err}
	}
	return fmt.Errorf("%s: %w", where, err)
}

// SealValue seals a value for the place of an object under a key.
func (o *Object) SealValue(options Options, key string, value []byte) (string, error) {
	where := fmt.Sprintf("document %d, line %d", o.document.Index, o.Line)
	if key != DeprecatedKey && !isDataKey(key) {
		return "", problem("Kubernetes would refuse the Secret", "%q is not a key for a Secret: letters, digits, - _ and . are allowed", key)
	}
	if key != DeprecatedKey && o.Deprecated != "" {
		return "", besideDeprecated(where)
	}
	namespace, err := o.Place(options)
	if err != nil {
		return "", err
	}
	to, err := options.To(namespace)
	if err != nil {
		return "", err
	}
	text, err := seal.Seal(options.Random, to, o.Scope, namespace, o.Name, value)
	if err != nil {
		return "", sealError(where, key, err)
	}
	return text, nil
}

// besideDeprecated refuses values that would make both formats of an object useless.
func besideDeprecated(where string) error {
	return problem("seal the whole Secret again (seal --update), which leaves spec.data out", "%s: has the deprecated spec.data, beside which nothing in spec.encryptedData opens", where)
}

// Place returns the namespace that the object's values are bound to: its own, else the one that options know.
func (o *Object) Place(options Options) (string, error) {
	if o.Scope == seal.ClusterWide || o.Namespace != "" || options.Namespace == nil {
		return o.Namespace, nil
	}
	namespace, _, err := options.Namespace(true)
	if err == nil && namespace == "" {
		err = problem("set metadata.namespace in the file, or give --namespace", "the SealedSecret %q names no namespace, to which its values are bound", o.Name)
	}
	return namespace, err
}

// Open returns the value of a key, opened with the keys of opener for the object's own place.
func (o *Object) Open(open Opener, namespace, key string) ([]byte, error) {
	text := o.Sealed(key)
	if _, ok := o.Values[key]; !ok && (key != DeprecatedKey || o.Deprecated == "") {
		hint := "it has no key at all; sealbridge set adds one"
		if len(o.Values) > 0 {
			hint = "it has: " + strings.Join(o.Keys(), ", ")
		}
		return nil, problem(hint, "the SealedSecret has no key %q", key)
	}
	value, err := open(o.Scope, namespace, o.Name, text)
	if err != nil {
		hint := "a value opens under the namespace, name and scope that it was sealed for, and with the key that it was sealed to"
		if errors.Is(err, seal.ErrEncoding) || errors.Is(err, rsahybrid.ErrTooShort) {
			hint = "seal the value anew: sealbridge set"
		}
		return nil, &Error{Problem: fmt.Sprintf("open %s of %s: %s", key, o, err), Hint: hint, Cause: err}
	}
	return value, nil
}

// Opener opens one sealed value, as seal.Opener.Open does with a context of its own.
type Opener func(scope seal.Scope, namespace, name, text string) ([]byte, error)

// ReadValue reads a value whole, its last newline included, and refuses one that no Secret can hold.
func ReadValue(r io.Reader) ([]byte, error) {
	value, err := io.ReadAll(io.LimitReader(r, seal.MaxValue+1))
	if err != nil {
		return nil, &Error{Problem: "read the value: " + err.Error(), Hint: "give it in a file, or check what writes it to standard input", Cause: err}
	}
	if len(value) > seal.MaxValue {
		return nil, &Error{Problem: seal.ErrTooLarge.Error(), Hint: "split the value; Kubernetes holds at most 1 MiB in one Secret", Cause: seal.ErrTooLarge}
	}
	return value, nil
}
