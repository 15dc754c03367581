package vault

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
)

// FuzzAPropertyIsThereOrIsMissing: whatever document and property meet, the answer is a value or one of two errors, twice the
// same; a field of exactly that name wins; and the fields of the whole are its names.
func FuzzAPropertyIsThereOrIsMissing(f *testing.F) {
	for _, doc := range []string{
		`{"k":"v","a.b":"dot","n":9007199254740993,"f":1.50,"o":{"a":{"b":[1,2]}},"z":null,"l":[{"x":1},{"x":2}],"":"empty"}`, `{}`, `{"a":{"a":{"a":{}}}}`, `{"@this":"x","#":"y","*":"z"}`,
	} {
		for _, path := range []string{"", "k", "a.b", "o.a.b.1", "o.a.b.#", "l.#.x", "l.#(x>1).x", "@this", "@pretty", "@ugly|@reverse", "*", "#", "a\\.b", "..", "o|a", "z.z", "@flatten:{\"deep\":true}", "{k,n}", "[k,n]", "\x00"} {
			f.Add(doc, path)
		}
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		data, ok := property.Object([]byte(text))
		if !ok || len(text) > 1<<14 || len(path) > 256 {
			return
		}
		doc, err := newDocument("doc", data)
		if err != nil {
			t.Fatal(err)
		}
		first, err := doc.Value(path)
		second, again := doc.Value(path)
		if (err == nil) != (again == nil) || string(first.Bytes()) != string(second.Bytes()) {
			t.Errorf("two answers for %q", path)
		}
		if err != nil && !errors.Is(err, providers.ErrPropertyNotFound) && !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("an error of no kind: %v", err)
		}
		if field, exact := data[path]; exact && path != "" {
			want, err := property.Text(field)
			if err != nil || string(first.Bytes()) != string(want) {
				t.Errorf("the field %q is not what it holds: %v", path, err)
			}
		}
		if path == "" && !json.Valid(first.Bytes()) {
			t.Error("the whole is not JSON")
		}
		fields, err := doc.Fields("")
		if err != nil || len(fields) != len(data) {
			t.Errorf("%d fields of %d: %v", len(fields), len(data), err)
		}
		_, _ = doc.Fields(path)
	})
}
