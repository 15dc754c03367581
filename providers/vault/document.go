package vault

import (
	"encoding/json"
	"fmt"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
)

// document is the JSON object under a path. It keeps texts: what is decoded takes up to a hundred times as much memory.
type document struct {
	// name is what messages call it.
	name string
	// whole is the object as JSON, with sorted keys, and fields are the texts of its fields.
	whole  []byte
	fields map[string][]byte
}

func newDocument(name string, data map[string]any) (document, error) {
	whole, err := json.Marshal(data)
	if err != nil {
		return document{}, fmt.Errorf("encode document: %w", err)
	}
	fields, _ := property.RawFields(whole) // an object has some
	return document{name: name, whole: whole, fields: fields}, nil
}

// Value implements providers.Document. A field of exactly that name comes first, then a gjson path.
func (d document) Value(path string) (providers.Value, error) {
	if path == "" {
		return providers.NewValue(d.whole), nil
	}
	if field, ok := d.fields[path]; ok {
		return providers.NewValue(field), nil
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
	part, err := d.Value(path)
	if err != nil {
		return nil, err
	}
	data, ok := property.Object(part.Bytes())
	if !ok {
		return nil, providers.Errorf(providers.ErrInvalid, "%s has no fields to extract at property %q: it is not a JSON object", d.name, path)
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

// Size implements providers.Document.
func (d document) Size() int { return len(d.whole) + providers.SizeOf(d.fields) }
