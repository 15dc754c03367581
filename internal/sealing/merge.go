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

// Merge seals a Secret's values into a SealedSecret that exists and returns the whole manifest. The values are sealed for
// the name, namespace and scope of that SealedSecret, because they would not open under others. What is not replaced
// stays as it is; in YAML so do comments and order. format "" keeps the format of the file.
func Merge(existing []byte, s Secret, o Options, format Format) ([]byte, error) {
	documents, err := manifest.Read(bytes.NewReader(existing), manifest.Limits{})
	if err != nil {
		return nil, inputError(err)
	}
	if len(documents) != 1 {
		return nil, problem("give a file with one SealedSecret", "expected one SealedSecret to merge into, found %d documents", len(documents))
	}
	target := newObject(documents[0])
	requireSealedSecret(target, documents[0])
	meta := target.metadata("metadata")
	if target.at("spec", "data") != nil {
		return nil, besideDeprecated(target.where)
	}
	if target.err != nil {
		return nil, target.err
	}
	scope := seal.ScopeOf(meta.Annotations)
	if o.Scope != "" && o.Scope != scope {
		return nil, problem("leave --scope out, or seal the Secret anew", "the SealedSecret has the scope %s, but %s was asked for", scope, o.Scope)
	}
	o.Scope, o.Name = scope, meta.Name
	if meta.Namespace != "" {
		s.Metadata.Namespace = meta.Namespace
	}
	update, err := Seal(s, o)
	if err != nil {
		return nil, err
	}
	d := documents[0]
	changed, err := yamledit.Apply(d.Raw, editsOf(update))
	if err != nil {
		return nil, editError(d, err)
	}
	if format == "" || format == formatOf(existing) {
		return slices.Concat(existing[:d.Offset], changed, existing[d.Offset+len(d.Raw):]), nil
	}
	documents, err = manifest.Read(bytes.NewReader(changed), manifest.Limits{})
	if err != nil || len(documents) != 1 {
		return nil, problem("", "the SealedSecret to merge into cannot be written in another format")
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
