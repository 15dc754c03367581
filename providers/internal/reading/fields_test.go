package reading_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

const canary = "canary-7f3e91c4"

// parts is a document by its properties.
type parts map[string]string

func (p parts) Value(path string) (providers.Value, error) {
	part, ok := p[path]
	if !ok {
		return providers.Value{}, providers.ErrPropertyNotFound
	}
	return providers.NewValue([]byte(part)), nil
}

func (p parts) Size() int { return providers.SizeOf(p) }

func (p parts) Fields(path string) (map[string]providers.Value, error) {
	return reading.Fields(p, "secret x", path)
}

func TestFieldsAreThoseOfAnObjectAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	doc := parts{"": `{"s":"<a>","n":1.50,"z":null,"o":{"k":[1]}}`, "o": `{"k":[1]}`, "none": "{}", "text": `"` + canary + `"`, "list": "[" + canary + "]"}
	for path, want := range map[string]map[string]string{
		"": {"s": "<a>", "n": "1.50", "z": "", "o": `{"k":[1]}`}, "o": {"k": "[1]"}, "none": {},
	} {
		fields, err := doc.Fields(path)
		got := make(map[string]string, len(fields))
		for name, value := range fields {
			got[name] = string(value.Bytes())
		}
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v", path, got, err)
		}
	}
	if _, err := doc.Fields("absent"); !errors.Is(err, providers.ErrPropertyNotFound) {
		t.Errorf("what is not there: %v", err)
	}
	for _, path := range []string{"text", "list"} {
		_, err := doc.Fields(path)
		if !errors.Is(err, providers.ErrInvalid) || err.Error() != `secret x has no fields to extract at property "`+path+`": it is not a JSON object` {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := (parts{"": canary}).Fields(""); !errors.Is(err, providers.ErrInvalid) || strings.Contains(err.Error(), canary) ||
		err.Error() != "secret x has no fields to extract: it is not a JSON object" {
		t.Errorf("what is no JSON: %v", err)
	}
}
