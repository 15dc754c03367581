package kubernetes

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/providers"
)

// TestExtractTakesTheDataKeysThatTheOperatorTakes: the expected fields are those that External Secrets Operator 2.9 took from
// the same Secret of a real API server.
func TestExtractTakesTheDataKeysThatTheOperatorTakes(t *testing.T) {
	t.Parallel()
	file := `{"database":{"host":"<h>","port":5432,"f":1.50,"t":true,"z":null},"a.b":"dot","e":1e21,"s":"str"}`
	fields := map[string]string{"database": `{"f":1.5,"host":"<h>","port":5432,"t":true,"z":null}`, "a.b": `"dot"`, "e": "1e+21", "s": `"str"`}
	doc := document{name: "doc", data: map[string][]byte{
		"config": []byte(file), "file.json": []byte(file), "conf": []byte(`{"p":"conf"}`), "a": []byte(`{"b":{"c":"nested"}}`),
		"arr": []byte(`[1,2]`), "str": []byte(`"s"`), "bin": {0, 0xff}, "empty": nil, "null": []byte("null"),
	}}
	for property, want := range map[string]map[string]string{
		"config":      fields,
		"file.json":   fields,
		`file\.json`:  fields,
		"?onfig":      fields,
		"conf?g":      fields,
		"conf?":       nil,
		`config\`:     fields,
		"conf*":       {"p": `"conf"`}, // the first of the keys in order
		"file.*":      fields,
		"arr":         nil,
		"str":         nil,
		"bin":         nil,
		"empty":       nil,
		"null":        nil, // in which the operator sees an object without fields
		"nope":        nil,
		"nope*":       nil,
		"@this":       nil,
		"@keys":       nil,
		"#":           nil,
		"{conf}":      nil,
		"config.nope": nil,
		"*.database":  nil,
	} {
		got, err := doc.Fields(property)
		if want == nil {
			if !errors.Is(err, providers.ErrInvalid) && !errors.Is(err, providers.ErrPropertyNotFound) {
				t.Errorf("%s: %d fields, %v", property, len(got), err)
			}
			continue
		}
		text := map[string]string{}
		for name, value := range got {
			text[name] = string(value.Bytes())
		}
		if diff := cmp.Diff(want, text); err != nil || diff != "" {
			t.Errorf("%s: %v %s", property, err, diff)
		}
	}
	// Where the operator finds nothing, a part of a data key is taken.
	for property, want := range map[string]int{"config.database": 5, "a.b": 1} {
		if got, err := doc.Fields(property); err != nil || len(got) != want {
			t.Errorf("%s: %d fields, %v", property, len(got), err)
		}
	}
}
