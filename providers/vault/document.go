package vault

import (
	"encoding/json"
	"fmt"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
)

// document is the JSON object under a path.
type document struct {
	// name is what messages call it.
	name string
	data map[string]any
	// whole is data as JSON, with sorted keys.
	whole []byte
}

func newDocument(name string, data map[string]any) (document, error) {
	whole, err := json.Marshal(data)
	if err != nil {
		return document{}, fmt.Errorf("encode document: %w", err)
	}
	return document{name: name, data: data, whole: whole}, nil
}

// Value implements providers.Document. A field of exactly that name comes first, then a gjson path.
func (d document) Value(path string) (providers.Value, error) {
	if path == "" {
		return providers.NewValue(d.whole), nil
	}
	if field, ok := d.data[path]; ok {
		text, err := property.Text(field)
		if err != nil {
			return providers.Value{}, providers.Errorf(providers.ErrInvalid, "%s: property %q cannot be a value", d.name, path)
		}
		return providers.NewValue(text), nil
	}
	part, ok := property.Get(d.whole, path)
	if !ok {
		return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "%s has no property %q", d.name, path)
	}
	return providers.NewValue(part), nil
}

// Fields implements providers.Document. Numbers are spelled as External Secrets Operator spells them, except that none
// loses a digit.
func (d document) Fields(path string) (map[string]providers.Value, error) {
	data := d.data
	if path != "" {
		part, err := d.Value(path)
		if err != nil {
			return nil, err
		}
		var ok bool
		if data, ok = property.Object(part.Bytes()); !ok {
			return nil, providers.Errorf(providers.ErrInvalid, "%s has no fields to extract at property %q: it is not a JSON object", d.name, path)
		}
	}
	out := make(map[string]providers.Value, len(data))
	for name, field := range data {
		text, err := property.Text(property.Floats(field))
		if err != nil {
			return nil, providers.Errorf(providers.ErrInvalid, "%s: field %q cannot be a value", d.name, name)
		}
		out[name] = providers.NewValue(text)
	}
	return out, nil
}
