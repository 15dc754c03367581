package kubernetes

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
)

// document is the data of a Secret.
type document struct {
	// name is what messages call it.
	name string
	data map[string][]byte
}

// Value implements providers.Document: the data key of exactly that name, else what follows the first dot as a gjson path
// in the data key before it. The whole document is a JSON object of text, in which bytes that are not UTF-8 are replaced.
func (d document) Value(path string) (providers.Value, error) {
	if path == "" {
		text := make(map[string]string, len(d.data))
		for k, v := range d.data {
			text[k] = string(v)
		}
		return encoded(d.name, text)
	}
	if v, ok := d.data[path]; ok {
		return providers.NewValue(v), nil
	}
	if key, rest, ok := strings.Cut(path, "."); ok && key != "" && rest != "" {
		if part, ok := property.Get(d.data[key], rest); ok {
			return providers.NewValue(part), nil
		}
	}
	return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "%s has no property %q", d.name, path)
}

// Fields implements providers.Document: all data keys as they are, or the fields of a JSON object in one of them.
func (d document) Fields(path string) (map[string]providers.Value, error) {
	if path == "" {
		out := make(map[string]providers.Value, len(d.data))
		for k, v := range d.data {
			out[k] = providers.NewValue(v)
		}
		return out, nil
	}
	part, err := d.Value(path)
	if key, ok := d.named(path); err != nil && ok {
		part, err = providers.NewValue(d.data[key]), nil
	}
	if err != nil {
		return nil, err
	}
	object, ok := property.Object(part.Bytes())
	if !ok {
		return nil, providers.Errorf(providers.ErrInvalid, "%s has no fields to extract at property %q: it is not a JSON object", d.name, path)
	}
	return jsonFields(d.name, object)
}

// Size implements providers.Document.
func (d document) Size() int { return providers.SizeOf(d.data) }

// named returns the data key that path is as a gjson path over them all, its dots escaped or not ("file\.json"): the first that
// a wildcard matches. External Secrets Operator reads the property of extract like this.
func (d document) named(path string) (string, bool) {
	keys := slices.Sorted(maps.Keys(d.data))
	index := make(map[string]int, len(keys))
	for i, key := range keys {
		index[key] = i
	}
	all, err := json.Marshal(index)
	if err != nil {
		return "", false
	}
	for _, spelled := range []string{strings.ReplaceAll(path, ".", `\.`), path} {
		text, ok := property.Get(all, spelled)
		if i, err := strconv.Atoi(string(text)); ok && err == nil && i >= 0 && i < len(keys) {
			return keys[i], true
		}
	}
	return "", false
}

// The parts of a Secret's metadata that are a document.
const (
	partLabels      = "labels"
	partAnnotations = "annotations"
)

// metadataDocument is the labels and annotations of a Secret.
type metadataDocument struct {
	name                string
	labels, annotations map[string]string
}

// Value implements providers.Document: "labels" and "annotations" are JSON objects, "labels.<key>" is one of them, and what
// follows a further dot is a gjson path in it.
func (d metadataDocument) Value(path string) (providers.Value, error) {
	if path == "" {
		return encoded(d.name, map[string]map[string]string{partLabels: d.labels, partAnnotations: d.annotations})
	}
	part, rest, below := strings.Cut(path, ".")
	entries, ok := d.part(part)
	switch {
	case ok && !below:
		return encoded(d.name, entries)
	case ok:
		if v, ok := entries[rest]; ok {
			return providers.NewValue([]byte(v)), nil
		}
		key, inner, _ := strings.Cut(rest, ".")
		if v, ok := property.Get([]byte(entries[key]), inner); ok && inner != "" {
			return providers.NewValue(v), nil
		}
	}
	return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "the metadata of %s has no property %q", d.name, path)
}

func (d metadataDocument) part(name string) (map[string]string, bool) {
	switch name {
	case partLabels:
		return d.labels, true
	case partAnnotations:
		return d.annotations, true
	default:
		return nil, false
	}
}

// Fields implements providers.Document.
func (d metadataDocument) Fields(path string) (map[string]providers.Value, error) {
	object := map[string]any{partLabels: d.labels, partAnnotations: d.annotations}
	if path != "" {
		entries, ok := d.part(path)
		if !ok {
			part, err := d.Value(path)
			if err != nil {
				return nil, err
			}
			if object, ok = property.Object(part.Bytes()); !ok {
				return nil, providers.Errorf(providers.ErrInvalid, "the metadata of %s has no fields to extract at property %q: it is not a JSON object", d.name, path)
			}
			return jsonFields(d.name, object)
		}
		object = make(map[string]any, len(entries))
		for k, v := range entries {
			object[k] = v
		}
	}
	return jsonFields(d.name, object)
}

// Size implements providers.Document.
func (d metadataDocument) Size() int {
	return providers.SizeOf(d.labels) + providers.SizeOf(d.annotations)
}

// jsonFields returns each field as JSON, strings with their quotes, which is what extract with a property gives in the
// Kubernetes provider of External Secrets Operator.
func jsonFields(name string, object map[string]any) (map[string]providers.Value, error) {
	out := make(map[string]providers.Value, len(object))
	for k, v := range object {
		value, err := encoded(name, property.Floats(v))
		if err != nil {
			return nil, err
		}
		out[k] = value
	}
	return out, nil
}

// encoded returns v as JSON in which <, > and & are as they are.
func encoded(name string, v any) (providers.Value, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return providers.Value{}, providers.Errorf(providers.ErrInvalid, "%s cannot be written as JSON", name)
	}
	return providers.NewValue(bytes.TrimRight(b.Bytes(), "\n")), nil
}
