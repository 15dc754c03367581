package template

import (
	"reflect"
	"strings"
)

// maxEncoded is how many values toYaml may be given: it makes JSON of them, reads that, and makes YAML of what it has read, which takes
// hundreds of bytes for each.
const maxEncoded = 1 << 16

// guardJSON bounds the text that is made of a value before a buffer is doubled for it: a character can become six. A text that
// passes can still be too large, as what stands between the strings is not counted.
func guardJSON(escapes string) guard {
	return func(m *meter, args []reflect.Value) error {
		_, size := extent(args[0], escapes)
		return m.fits(size)
	}
}

func guardToYAML(m *meter, args []reflect.Value) error {
	values, size := extent(args[0], escapesHTML)
	if err := m.atMost(int64(values), maxEncoded); err != nil {
		return err
	}
	return m.fits(size)
}

// What encoding/json writes in six bytes, beside control characters.
const (
	escapes     = "\u2028\u2029"
	escapesHTML = "<>&" + escapes
)

// extent returns how many values and keys there are in a value, which has been weighed and thus has a bottom, and how many bytes the
// strings among them take as JSON.
func extent(v reflect.Value, escapes string) (values, size int) {
	values = 1
	add := func(inner reflect.Value) {
		n, bytes := extent(inner, escapes)
		values, size = values+n, size+bytes
	}
	switch v.Kind() {
	case reflect.String:
		return 1, escaped(v.String(), escapes)
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() {
			return extent(v.Elem(), escapes)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return 1, v.Len()
		}
		for i := range v.Len() {
			add(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			add(it.Key())
			add(it.Value())
		}
	}
	return values, size
}

func escaped(text, escapes string) int {
	const six = 6
	size := len(text)
	for _, r := range text {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || r == '"' || r == '\\':
			size++
		case r < ' ' || strings.ContainsRune(escapes, r):
			size += six - len(string(r))
		}
	}
	return size
}
