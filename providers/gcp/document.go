package gcp

import (
	"encoding/json"
	"strings"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// payload is the content of a version.
type payload struct {
	// name is what messages call it.
	name string
	data []byte
}

// Value implements providers.Document. A property with a dot is looked for as the name of one field first, then as a gjson path.
func (p payload) Value(path string) (providers.Value, error) {
	if path == "" {
		return providers.NewValue(p.data), nil
	}
	if !json.Valid(p.data) {
		return providers.Value{}, providers.Errorf(providers.ErrInvalid, "%s is not JSON, so it has no property %q", p.name, path)
	}
	if strings.IndexByte(path, '.') > 0 {
		if part, ok := property.Get(p.data, strings.ReplaceAll(path, ".", `\.`)); ok {
			return providers.NewValue(part), nil
		}
	}
	part, ok := property.Get(p.data, path)
	if !ok {
		return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "%s has no property %q", p.name, path)
	}
	return providers.NewValue(part), nil
}

// Fields implements providers.Document.
func (p payload) Fields(path string) (map[string]providers.Value, error) {
	return reading.Fields(p, p.name, path)
}

// Size implements providers.Document.
func (p payload) Size() int { return len(p.data) }

// records is what Secret Manager records about a secret.
type records struct {
	name   string
	groups map[string]map[string]string
}

// The groups of metadata, as properties name them.
const (
	groupAnnotations = "annotations"
	groupLabels      = "labels"
)

func metadataOf(name string, annotations, labels map[string]string) records {
	return records{name: name, groups: map[string]map[string]string{groupAnnotations: annotations, groupLabels: labels}}
}

// Value implements providers.Document: all as JSON, one of the groups as JSON, or one annotation or label.
func (m records) Value(path string) (providers.Value, error) {
	if path == "" {
		return encode(m.name, m.groups)
	}
	name, key, single := strings.Cut(path, ".")
	group, ok := m.groups[name]
	switch {
	case !ok || single && key == "":
		return providers.Value{}, providers.Errorf(providers.ErrInvalid, "%s: property %q names no metadata: it is annotations, labels, or one of them as annotations.name or labels.name", m.name, path)
	case !single:
		return encode(m.name, group)
	}
	value, ok := group[key]
	if !ok {
		return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "%s has no %s %q", m.name, strings.TrimSuffix(name, "s"), key)
	}
	return providers.NewValue([]byte(value)), nil
}

// Fields implements providers.Document. A group of which there are none has no fields, though its value is null.
func (m records) Fields(path string) (map[string]providers.Value, error) {
	if group, ok := m.groups[path]; ok {
		out := make(map[string]providers.Value, len(group))
		for name, value := range group {
			out[name] = providers.NewValue([]byte(value))
		}
		return out, nil
	}
	return reading.Fields(m, m.name, path)
}

// Size implements providers.Document.
func (m records) Size() int {
	size := 0
	for _, group := range m.groups {
		size += providers.SizeOf(group)
	}
	return size
}

func encode(name string, v any) (providers.Value, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return providers.Value{}, providers.Errorf(providers.ErrInvalid, "%s: its metadata cannot be written as JSON", name)
	}
	return providers.NewValue(raw), nil
}
