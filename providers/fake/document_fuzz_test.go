package fake

import (
	"errors"
	"testing"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
)

// FuzzAPropertyIsThereOrIsMissing: whatever value and property meet, the answer is what is at the path, as it is written, or one of two
// errors.
func FuzzAPropertyIsThereOrIsMissing(f *testing.F) {
	for _, value := range []string{`{"k":"v","a.b":"dot","a":{"b":1.50},"l":[{"x":1}]}`, `[]`, `"text"`, `plain`, `{`, "\xff"} {
		for _, path := range []string{"", "k", "a.b", ".", "a..b", "l.#.x", "@this", `a\.b`, "*"} {
			f.Add(value, path)
		}
	}
	f.Fuzz(func(t *testing.T, value, path string) {
		if len(value) > 1<<14 || len(path) > 256 {
			return
		}
		doc := document{name: "doc", value: []byte(value)}
		got, err := doc.Value(path)
		if err != nil && !errors.Is(err, providers.ErrPropertyNotFound) && !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("an error of no kind: %v", err)
		}
		if at, ok := property.Get([]byte(value), path); path != "" && (ok != (err == nil) || string(at) != string(got.Bytes())) {
			t.Errorf("%q is read otherwise than it is: %v", path, err)
		}
		if _, err := doc.Fields(path); err != nil && !errors.Is(err, providers.ErrPropertyNotFound) && !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
