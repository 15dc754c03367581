package sealing

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/manifest"
	"github.com/sealbridge/sealbridge/internal/yamledit"
)

// Target is a file with one SealedSecret that a Secret's values are merged into.
type Target struct {
	text     []byte
	document manifest.Document
	metadata Metadata
}

// ReadTarget reads a file to merge into.
func ReadTarget(text []byte) (*Target, error) {
	documents, err := manifest.Read(bytes.NewReader(text), manifest.Limits{})
	if err != nil {
		return nil, inputError(err)
	}
	if len(documents) != 1 {
		return nil, problem("give a file with one SealedSecret", "expected one SealedSecret to merge into, found %d documents", len(documents))
	}
	o := newObject(documents[0])
	requireSealedSecret(o, documents[0])
	meta := o.metadata("metadata")
	if o.at("spec", "data") != nil {
		return nil, besideDeprecated(o.where)
	}
	if o.err != nil {
		return nil, o.err
	}
	return &Target{text: text, document: documents[0], metadata: meta}, nil
}

// Merge seals a Secret's values into the SealedSecret and returns the whole file. The values are sealed for the name, namespace and
// scope of that SealedSecret, because they would not open under others. What is not replaced stays as it is; in YAML so do comments
// and order. format "" keeps the format of the file.
func (t *Target) Merge(s Secret, o Options, format Format) ([]byte, error) {
	scope := seal.ScopeOf(t.metadata.Annotations)
	if o.Scope != "" && o.Scope != scope {
		return nil, problem("leave --scope out, or seal the Secret anew", "the SealedSecret has the scope %s, but %s was asked for", scope, o.Scope)
	}
	o.Scope, o.Name = scope, t.metadata.Name
	if t.metadata.Namespace != "" {
		s.Metadata.Namespace = t.metadata.Namespace
	}
	update, err := Seal(s, o)
	if err != nil {
		return nil, err
	}
	d := t.document
	changed, err := yamledit.Apply(d.Raw, editsOf(update))
	if err != nil {
		return nil, editError(d, err)
	}
	if format == "" || format == formatOf(t.text) {
		return slices.Concat(t.text[:d.Offset], changed, t.text[d.Offset+len(d.Raw):]), nil
	}
	documents, err := manifest.Read(bytes.NewReader(changed), manifest.Limits{})
	if err != nil || len(documents) != 1 {
		return nil, problem("leave --format out: the file keeps its own", "the SealedSecret to merge into cannot be written in another format")
	}
	return Encode(format, documents[0].Object)
}

// editsOf returns what a newly sealed Secret changes in a SealedSecret that exists.
func editsOf(update *SealedSecret) []yamledit.Edit {
	var out []yamledit.Edit
	add := func(values map[string]string, path ...string) {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			out = append(out, yamledit.Edit{Path: append(slices.Clone(path), key), Value: values[key]})
		}
	}
	add(update.Spec.EncryptedData, "spec", "encryptedData")
	add(update.Spec.Template.Metadata.Annotations, "spec", "template", "metadata", "annotations")
	add(update.Spec.Template.Metadata.Labels, "spec", "template", "metadata", "labels")
	return out
}

// formatOf says how a manifest is written.
func formatOf(text []byte) Format {
	var first json.RawMessage
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) && json.NewDecoder(bytes.NewReader(text)).Decode(&first) == nil {
		return JSON
	}
	return YAML
}
