package sealing

import (
	"bytes"
	"maps"
	"slices"

	"github.com/sealbridge/sealbridge/internal/manifest"
	"github.com/sealbridge/sealbridge/internal/yamledit"
)

// noAnswer is said of an answer that is no SealedSecret at all.
func noAnswer() error {
	return problem("check that --controller-name and --controller-namespace name the controller's service",
		"the controller did not answer with a SealedSecret")
}

func noSealedSecrets() error {
	return problem("give a SealedSecret manifest on standard input or with --secret-file",
		"no sealed secrets found. Ensure the input is valid and UTF-8 encoded")
}

// ReadSealed is ReadFile for a text that must hold SealedSecrets, and nothing else.
func ReadSealed(text []byte) (*File, error) {
	f, err := readFile(text, func(d manifest.Document) error {
		o := newObject(d)
		requireSealedSecret(o, d)
		return o.err
	})
	if err == nil && len(f.objects) == 0 {
		err = noSealedSecrets()
	}
	return f, err
}

// Renew puts the values that a controller has sealed anew in the place of the object's own, which it was sent with the same namespace as
// JSON. It refuses an answer that is another object or has other keys, and takes nothing but values from it: the controller of Sealed Secrets answers without a
// kind, with other labels and annotations, and without the templates. Of values that keep names, it takes none; it may be nil.
// The deprecated spec.data is the exception: the controller of Sealed Secrets answers with the values and the template that
// were sealed in it, in the format of today, and that becomes the object.
func (o *Object) Renew(answer []byte, namespace string, keep func(text string) bool) (*Renewal, error) {
	documents, err := manifest.Read(bytes.NewReader(answer), manifest.Limits{Documents: 1})
	if err != nil || len(documents) != 1 {
		return nil, noAnswer()
	}
	if apiVersion, kind := documents[0].Kind(); kind != "" && kind != Kind || apiVersion != "" && apiVersion != APIVersion {
		return nil, noAnswer()
	}
	other, err := newFileObject(documents[0])
	if err == nil && other.modernizes(o, namespace) {
		return o.modernize(other)
	}
	if err != nil || !other.replaces(o, namespace) {
		return nil, problem("the controller changed its name, namespace, scope or keys, so that nothing of it was taken", "the controller did not answer with the same SealedSecret")
	}
	renewal := &Renewal{}
	take := func(key string) {
		old, text := o.Sealed(key), other.Sealed(key)
		if keep != nil && keep(old) {
			return
		}
		if text != old {
			renewal.Changed++
			o.Set(key, text)
		}
		renewal.Values = append(renewal.Values, text)
	}
	for _, key := range o.Keys() {
		take(key)
	}
	if o.Deprecated != "" {
		take(DeprecatedKey)
	}
	return renewal, nil
}

// Renewal says what a controller has sealed anew.
type Renewal struct {
	// Values are the sealed values of the answer that were taken, Changed how many of them are new.
	Values  []string
	Changed int
}

// replaces says whether an object has the place, the scope and the keys of another, which is in a namespace.
func (o *Object) replaces(other *Object, namespace string) bool {
	return o.Name == other.Name && o.Namespace == namespace && o.Scope == other.Scope &&
		(o.Deprecated == "") == (other.Deprecated == "") && slices.Equal(o.Keys(), other.Keys())
}

// modernizes says whether an object is another one, of which it has the place, in a namespace, and scope, out of the deprecated format.
func (o *Object) modernizes(other *Object, namespace string) bool {
	return o.Name == other.Name && o.Namespace == namespace && o.Scope == other.Scope &&
		other.Deprecated != "" && len(other.Values) == 0 && o.Deprecated == "" && len(o.Values) > 0
}

// modernize takes the values and the template of an object that modernizes it. A template that it has counted for nothing.
func (o *Object) modernize(other *Object) (*Renewal, error) {
	read := newObject(other.document)
	template := Template{
		Metadata: read.metadata("spec", "template", "metadata"), Type: read.text("spec", "template", "type"), Immutable: read.boolean("spec", "template", "immutable"),
	}
	template.Metadata.Annotations = withoutLastApplied(template.Metadata.Annotations)
	if read.err != nil {
		return nil, noAnswer()
	}
	fresh, err := fieldsOf(&SealedSecret{Spec: SealedSecretSpec{Template: template, EncryptedData: other.Values}})
	if err != nil {
		return nil, err
	}
	after := maps.Clone(o.fields)
	spec := cloned(after, "spec")
	delete(spec, "data")
	maps.Copy(spec, child(fresh, "spec"))
	o.edit(yamledit.Difference(o.fields, after)...)
	renewal := &Renewal{Changed: 1}
	for _, key := range other.Keys() {
		renewal.Values = append(renewal.Values, other.Values[key])
	}
	return renewal, nil
}

// Strip takes away what only a server says, and what kubectl notes of an object that was applied.
func (o *Object) Strip() {
	o.edit(yamledit.Difference(o.fields, withoutServerFields(o.fields))...)
}

// In returns the file in a format, with all changes made. In its own format, which is also what "" stands for, all that was
// not changed stays as it is; in another one the SealedSecrets alone are written.
func (f *File) In(format Format) ([]byte, error) {
	text, err := f.Text()
	if err != nil || format == "" || format == formatOf(f.text) {
		return text, err
	}
	changed, err := ReadFile(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, o := range changed.objects {
		one, err := Encode(format, o.fields)
		if err != nil {
			return nil, err
		}
		out.Write(one)
	}
	return out.Bytes(), nil
}
