package property

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxDepth bounds the nesting of a document, as encoding/json does; deeper documents are refused, because a parser that
// recurses could exhaust the stack of the whole process.
const maxDepth = 10000

// maxPath bounds a path, in bytes: what gjson does for brackets in brackets grows with the square of their number, and uses the
// stack for each.
const maxPath = 4096

// Get returns the part of doc at a gjson path (github.com/tidwall/gjson SYNTAX.md: dots, wildcards, queries,
// modifiers). A string is unquoted, null is empty, a number keeps its digits, anything else is returned as it was
// written. ok is false when there is no such part, when the path has over 4096 bytes, and when it could make more of the
// document than is allowed. The document does not have to be valid JSON as a whole.
func Get(doc []byte, path string) (value []byte, ok bool) {
	if len(path) > maxPath {
		return nil, false
	}
	if depth := nesting(doc, strings.Contains(path, "@fromstr")); depth > maxDepth || growth(len(doc), depth, path) > maxGrowth {
		return nil, false
	}
	r := gjson.GetBytes(doc, path)
	if !r.Exists() {
		return nil, false
	}
	if _, exact := exactFloat(r.Raw); r.Type == gjson.Number && !exact {
		return []byte(r.Raw), true
	}
	return []byte(r.String()), true // writes an exponent out
}

// MaxParts is how many values a document may have that is taken apart: each takes up to a hundred times as much memory as its text.
const MaxParts = 250_000

// TooMany reports whether a JSON document has more than MaxParts values.
func TooMany(doc []byte) bool {
	if len(doc) < MaxParts {
		return false
	}
	parts, quoted := 1, false
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '[' || c == '{'):
			parts++
		}
	}
	return parts > MaxParts
}

// Decode reads exactly one JSON value of at most MaxParts values, numbers as json.Number, and reports whether doc is that. Why it is
// not is left out on purpose: errors of the parser quote the document.
func Decode(doc []byte, into any) (ok bool) {
	if TooMany(doc) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	if dec.Decode(into) != nil {
		return false
	}
	_, err := dec.Token()
	return errors.Is(err, io.EOF)
}

// Object is Decode for a JSON object.
func Object(doc []byte) (object map[string]any, ok bool) {
	if !Decode(doc, &object) || object == nil {
		return nil, false
	}
	return object, true
}

// RawFields returns the fields of a JSON object as they were written, except that strings are unquoted and null is
// empty. ok is false when doc is not exactly one JSON object, or has more than MaxParts values.
func RawFields(doc []byte) (fields map[string][]byte, ok bool) {
	var raw map[string]json.RawMessage
	if !Decode(doc, &raw) || raw == nil {
		return nil, false
	}
	fields = make(map[string][]byte, len(raw))
	for k, v := range raw {
		var s *string
		switch err := json.Unmarshal(v, &s); {
		case err != nil:
			fields[k] = v
		case s == nil:
			fields[k] = []byte{}
		default:
			fields[k] = []byte(*s)
		}
	}
	return fields, true
}

// Text returns the bytes of one decoded JSON value: a string as it is, null empty, a json.Number as it was written, a
// float64 without an exponent, and objects and arrays as JSON with sorted keys and <, > and & escaped.
func Text(v any) ([]byte, error) {
	switch t := v.(type) {
	case nil:
		return []byte{}, nil
	case string:
		return []byte(t), nil
	case json.Number:
		return []byte(t.String()), nil
	case float64:
		return []byte(strconv.FormatFloat(t, 'f', -1, 64)), nil
	default:
		return json.Marshal(t)
	}
}

// Floats returns v, a value decoded with json.Number, with the numbers replaced by float64 where that loses no digit.
// Those who decode JSON without json.Number see the same numbers in the same spelling, and longer ones are kept whole.
func Floats(v any) any {
	switch t := v.(type) {
	case json.Number:
		if f, ok := exactFloat(t.String()); ok {
			return f
		}
		return t
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, e := range t {
			out[k] = Floats(e)
		}
		return out
	case []any:
		out := make([]any, len(t))
		for i, e := range t {
			out[i] = Floats(e)
		}
		return out
	default:
		return v
	}
}

// exactDigits is how many significant decimal digits a float64 always keeps (DBL_DIG).
const exactDigits = 15

func exactFloat(raw string) (float64, bool) {
	if significantDigits(raw) > exactDigits {
		return 0, false
	}
	f, err := strconv.ParseFloat(raw, 64)
	return f, err == nil
}

func significantDigits(raw string) int {
	n := 0
	for _, c := range []byte(raw) {
		switch {
		case c == 'e' || c == 'E':
			return n
		case c >= '1' && c <= '9', c == '0' && n > 0:
			n++
		}
	}
	return n
}

// nesting overestimates the nesting of doc: brackets inside strings count as well, and, where a string is going to be read as a
// document, whatever is escaped by its number.
func nesting(doc []byte, escaped bool) int {
	depth, deepest := 0, 0
	for i, c := range doc {
		switch {
		case c == '[', c == '{', c == 'u' && escaped && i > 0 && doc[i-1] == '\\':
			if depth++; depth > deepest {
				deepest = depth
			}
		case c == ']', c == '}':
			depth = max(depth-1, 0)
		}
	}
	return deepest
}

// maxGrowth bounds what a path may make of a document, in bytes.
const maxGrowth = 64 << 20

// growth overestimates how many bytes a path makes of a document. What it selects is never larger than the document; modifiers
// and lists of paths in brackets can be, and a path may chain many of them.
func growth(size, depth int, path string) float64 {
	grown := float64(size)
	// @tostr writes some characters as six, among them backslashes which the next one doubles.
	if quoted := strings.Count(path, "@tostr"); quoted > 0 {
		grown *= 6 * math.Pow(2, float64(quoted-1))
	}
	// Each path in brackets may select the whole. Shared out evenly, they make most of it.
	if lists := strings.Count(path, "[") + strings.Count(path, "{"); lists > 0 {
		grown *= math.Pow(1+float64(strings.Count(path, ","))/float64(lists), float64(lists))
		depth += lists
	}
	// @dig returns what is in each other once for each level, @pretty indents each value by its level, and @group repeats
	// names for each element.
	width := 2
	if strings.Contains(path, "@pretty:") {
		width = len(path)
	}
	grown *= math.Pow(float64(depth+1), float64(strings.Count(path, "@dig")))
	grown *= math.Pow(float64((depth+1)*width), float64(strings.Count(path, "@pretty")))
	return grown * math.Pow(float64(size+1), float64(strings.Count(path, "@group")))
}
