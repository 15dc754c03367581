package sealing

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	"github.com/sealbridge/sealbridge/internal/manifest"
)

// object reads fields of a document and keeps the first thing that was wrong with one. It names fields and keys, and
// never what they hold.
type object struct {
	where  string
	fields map[string]any
	err    error
}

func newObject(d manifest.Document) *object {
	where := fmt.Sprintf("document %d, line %d", d.Index, d.Line)
	if len(d.Path) > 0 {
		where += ", " + dotted(d.Path)
	}
	return &object{where: where, fields: d.Object}
}

// fail keeps the first fault.
func (o *object) fail(hint, format string, args ...any) {
	if o.err == nil {
		o.err = problem(hint, "%s: %s", o.where, fmt.Sprintf(format, args...))
	}
}

// at returns the value under a path of field names, or nil.
func (o *object) at(path ...string) any {
	var value any = o.fields
	for i, name := range path {
		fields, ok := value.(map[string]any)
		if !ok {
			if value != nil {
				o.fail(asMap, "%s is not a map", dotted(path[:i]))
			}
			return nil
		}
		value = fields[name]
	}
	return value
}

const asMap = "write its fields below it, further in, as \"name: text\""

const quote = "put it in quotes; YAML reads words such as yes, no, on, null and numbers as something else than text"

// text returns a string field; a missing one is "".
func (o *object) text(path ...string) string {
	switch value := o.at(path...).(type) {
	case nil:
		return ""
	case string:
		return value
	default:
		o.fail(quote, "%s is not a string", dotted(path))
		return ""
	}
}

// texts returns a map of strings; a missing one is nil, a null in it is "".
func (o *object) texts(path ...string) map[string]string {
	fields := o.mapping(path...)
	if len(fields) == 0 {
		return nil
	}
	out := make(map[string]string, len(fields))
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		switch value := fields[key].(type) {
		case nil:
			out[key] = ""
		case string:
			out[key] = value
		default:
			o.fail(quote, "%s[%q] is not a string", dotted(path), key)
		}
	}
	return out
}

// mapping returns a map field; a missing one is nil.
func (o *object) mapping(path ...string) map[string]any {
	value := o.at(path...)
	fields, ok := value.(map[string]any)
	if !ok && value != nil {
		o.fail(asMap, "%s is not a map", dotted(path))
	}
	return fields
}

// list returns a list of strings; a missing one is nil.
func (o *object) list(path ...string) []string {
	value := o.at(path...)
	items, ok := value.([]any)
	if !ok && value != nil {
		o.fail("write one item a line, as \"- text\"", "%s is not a list", dotted(path))
	}
	var out []string
	for _, item := range items {
		text, ok := item.(string)
		if !ok {
			o.fail(quote, "%s holds something that is not a string", dotted(path))
			return nil
		}
		out = append(out, text)
	}
	return out
}

// boolean returns an optional boolean field.
func (o *object) boolean(path ...string) *bool {
	switch value := o.at(path...).(type) {
	case nil:
		return nil
	case bool:
		return &value
	default:
		o.fail("write true or false, without quotes", "%s is not true or false", dotted(path))
		return nil
	}
}

// bytes returns a map of base64 values, decoded.
func (o *object) bytes(path ...string) map[string][]byte {
	texts := o.texts(path...)
	out := make(map[string][]byte, len(texts))
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		value, err := base64.StdEncoding.DecodeString(texts[key])
		if err != nil {
			o.fail("values under data are base64; put plain text under stringData", "%s[%q] is not base64", dotted(path), key)
		}
		out[key] = value
	}
	return out
}

func (o *object) metadata(path ...string) Metadata {
	in := func(name string) []string { return append(slices.Clone(path), name) }
	return Metadata{
		Name:         o.text(in("name")...),
		GenerateName: o.text(in("generateName")...),
		Namespace:    o.text(in("namespace")...),
		Labels:       o.texts(in("labels")...),
		Annotations:  o.texts(in("annotations")...),
		Finalizers:   o.list(in("finalizers")...),
	}
}

func dotted(path []string) string {
	out := ""
	for i, name := range path {
		if i > 0 {
			out += "."
		}
		out += name
	}
	return out
}
