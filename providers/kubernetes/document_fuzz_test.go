package kubernetes

import (
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/sealbridge/sealbridge/providers"
)

// FuzzAPropertyIsThereOrIsMissing: whatever a Secret holds and a property asks for, the answer is a value or one of two errors; a
// key of exactly that name wins, and the whole is JSON.
func FuzzAPropertyIsThereOrIsMissing(f *testing.F) {
	for _, value := range []string{`{"a":{"b":[1,2.50]},"n":null}`, "plain", "", "\xff\x00", `[1]`, `"x"`} {
		for _, path := range []string{"", "k", "k.a", "k.a.b.1", "k.x", "a.b", "labels", "labels.k", "labels.k.a", "annotations.a.b", ".", "k.", ".k", "k.@this", "k.a.b.#", "\x00"} {
			f.Add("k", value, path)
			f.Add("a.b", value, path)
		}
	}
	f.Fuzz(func(t *testing.T, key, value, path string) {
		docs := map[string]providers.Document{
			"data":     document{name: "doc", data: map[string][]byte{key: []byte(value)}},
			"metadata": metadataDocument{name: "doc", labels: map[string]string{key: value}, annotations: map[string]string{"a.b": value}},
		}
		for name, doc := range docs {
			got, err := doc.Value(path)
			if err != nil && (got.Len() > 0 || !errors.Is(err, providers.ErrPropertyNotFound) && !errors.Is(err, providers.ErrInvalid)) {
				t.Errorf("%s: a value and an error, or an error of no kind: %v", name, err)
			}
			if path == "" && !json.Valid(got.Bytes()) {
				t.Errorf("%s: the whole is not JSON", name)
			}
			if path == key && path != "" && name == "data" && string(got.Bytes()) != value {
				t.Errorf("the key %q is not what it holds: %v", key, err)
			}
			if path == partLabels+"."+key && name == "metadata" && string(got.Bytes()) != value {
				t.Errorf("the label %q is not what it holds: %v", key, err)
			}
			fields, err := doc.Fields(path)
			if err != nil && fields != nil {
				t.Errorf("%s: fields and an error", name)
			}
			for field, v := range fields {
				if name == "metadata" && utf8.ValidString(field) && !json.Valid(v.Bytes()) {
					t.Errorf("the field %q is not JSON", field)
				}
			}
		}
	})
}
