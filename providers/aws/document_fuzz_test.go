package aws

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
)

// plain are names that gjson takes as they are, but for their dots.
var plain = regexp.MustCompile(`^[a-z]+(\.[a-z]+)+$`)

// FuzzAPropertyIsThereOrIsMissing: whatever content and property meet, the answer is a value or one of two errors, twice the same, and
// a field whose name has the dots wins.
func FuzzAPropertyIsThereOrIsMissing(f *testing.F) {
	for _, content := range []string{`{"k":"v","a.b":"dot","a":{"b":1.50},"l":[{"x":1}]}`, `{"a":{"b":1},"a.b":null}`, `[]`, `"text"`, `plain`, `{`, "\xff"} {
		for _, path := range []string{"", "k", "a.b", ".", "a..b", "l.#.x", "@this", `a\.b`, "*", "l.0.x"} {
			f.Add(content, path)
		}
	}
	f.Fuzz(func(t *testing.T, content, path string) {
		if len(content) > 1<<14 || len(path) > 256 {
			return
		}
		doc := document{name: "doc", content: []byte(content)}
		first, err := doc.Value(path)
		second, again := doc.Value(path)
		if (err == nil) != (again == nil) || string(first.Bytes()) != string(second.Bytes()) {
			t.Errorf("two answers for %q", path)
		}
		if err != nil && !errors.Is(err, providers.ErrPropertyNotFound) {
			t.Errorf("an error of no kind: %v", err)
		}
		if object, ok := property.Object([]byte(content)); ok && plain.MatchString(path) && strings.Count(content, strconv.Quote(path)) == 1 {
			if field, ok := object[path].(string); ok && (err != nil || string(first.Bytes()) != field) {
				t.Errorf("the field %q is not what is read: %v", path, err)
			}
		}
		if _, err := doc.Fields(path); err != nil && !errors.Is(err, providers.ErrPropertyNotFound) && !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
