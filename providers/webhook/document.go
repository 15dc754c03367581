package webhook

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
)

// document is an answer. It is parsed when a part of it is wanted, because a parsed answer takes many times its size.
type document struct {
	// name is what messages call it.
	name string
	body []byte
	// path renders result.jsonPath for a property; empty means the whole answer.
	path func(property string) (string, error)
}

// Value implements providers.Document: what result.jsonPath selects, of several the first; the whole answer without a
// path. A string is unquoted, null is empty, objects are JSON with sorted keys, and numbers are written without exponent.
func (d document) Value(prop string) (providers.Value, error) {
	selected, whole, err := d.find(prop)
	if err != nil {
		return providers.Value{}, err
	}
	if whole {
		return providers.NewValue(d.body), nil
	}
	for list, ok := selected.([]any); ok; list, ok = selected.([]any) {
		if len(list) == 0 {
			return providers.Value{}, d.missing(prop)
		}
		selected = list[0]
	}
	text, err := property.Text(property.Floats(selected))
	if err != nil {
		return providers.Value{}, providers.Errorf(providers.ErrInvalid, "%s: what result.jsonPath selects cannot be a value", d.name)
	}
	return providers.NewValue(text), nil
}

// Fields implements providers.Document: the fields of the object that result.jsonPath selects, or of the whole answer.
// An object that is written in a string is one, too.
func (d document) Fields(prop string) (map[string]providers.Value, error) {
	selected, whole, err := d.find(prop)
	if err != nil {
		return nil, err
	}
	if whole {
		if !utf8.Valid(d.body) || !property.Decode(d.body, &selected) {
			return nil, d.noFields()
		}
	}
	if text, ok := selected.(string); ok && !property.Decode([]byte(text), &selected) {
		return nil, d.noFields()
	}
	object, ok := selected.(map[string]any)
	if !ok {
		return nil, d.noFields()
	}
	out := make(map[string]providers.Value, len(object))
	for name, field := range object {
		text, err := property.Text(property.Floats(field))
		if err != nil {
			return nil, providers.Errorf(providers.ErrInvalid, "%s: field %q cannot be a value", d.name, name)
		}
		out[name] = providers.NewValue(text)
	}
	return out, nil
}

// Size implements providers.Document.
func (d document) Size() int { return len(d.body) }

// find returns what result.jsonPath selects for a property; whole is set when there is no path.
func (d document) find(prop string) (selected any, whole bool, err error) {
	path, err := d.path(prop)
	if err != nil {
		return nil, false, err
	}
	if path = strings.TrimSpace(path); path == "" {
		return nil, true, nil
	}
	var root any
	if !property.Decode(d.body, &root) {
		return nil, false, providers.Errorf(providers.ErrInvalid, "%s: the answer is not JSON", d.name)
	}
	selected, err = follow(path, root)
	switch {
	case errors.Is(err, errNothing):
		return nil, false, d.missing(prop)
	case err != nil:
		return nil, false, providers.Errorf(providers.ErrInvalid, "%s: result.jsonPath %w", d.name, err)
	default:
		return selected, false, nil
	}
}

func (d document) missing(prop string) error {
	if prop == "" {
		return providers.Errorf(providers.ErrPropertyNotFound, "%s: result.jsonPath finds nothing in the answer", d.name)
	}
	return providers.Errorf(providers.ErrPropertyNotFound, "%s: result.jsonPath finds nothing in the answer for property %q", d.name, prop)
}

func (d document) noFields() error {
	return providers.Errorf(providers.ErrInvalid, "%s has no fields to extract: the answer, or what result.jsonPath selects, is not a JSON object", d.name)
}
