package azure

import (
	"errors"
	"testing"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
)

// FuzzAPropertyIsThereOrIsMissing: whatever secret, or tag, and property meet, the answer is a value or one of two errors, twice the
// same, and what is at a path wins over a field whose name has the dots.
func FuzzAPropertyIsThereOrIsMissing(f *testing.F) {
	for _, content := range []string{`{"k":"v","a.b":"dot","a":{"b":1.50},"l":[{"x":1}]}`, `{"a":"x","a.b":null}`, `[]`, `"text"`, `plain`, `{`, "\xff"} {
		for _, path := range []string{"", "k", "a.b", ".", "a..b", "l.#.x", "@this", `a\.b`, "*", "tag", "tag.a.b", "tag.", "none.a"} {
			f.Add(content, path)
		}
	}
	f.Fuzz(func(t *testing.T, content, path string) {
		if len(content) > 1<<14 || len(path) > 256 {
			return
		}
		secret := text{name: "doc", whole: []byte(content), fields: true}
		tags := newMetadata("doc", "doc", object{kind: kindSecret, name: "doc"}, map[string]*string{"tag": &content, "none": nil}, attributes{})
		for _, doc := range []providers.Document{secret, tags} {
			first, err := doc.Value(path)
			second, again := doc.Value(path)
			if (err == nil) != (again == nil) || string(first.Bytes()) != string(second.Bytes()) {
				t.Errorf("two answers for %q", path)
			}
			if err != nil && !errors.Is(err, providers.ErrPropertyNotFound) {
				t.Errorf("an error of no kind: %v", err)
			}
			if _, err := doc.Fields(path); err != nil && !errors.Is(err, providers.ErrPropertyNotFound) && !errors.Is(err, providers.ErrInvalid) {
				t.Errorf("an error of no kind: %v", err)
			}
		}
		if at, ok := property.Get([]byte(content), path); ok && path != "" {
			if got, err := secret.Value(path); err != nil || string(got.Bytes()) != string(at) {
				t.Errorf("what is at %q is not what is read: %v", path, err)
			}
		}
	})
}
