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

// TestPropertiesAreReadAsTheOperatorReadsThem: each value is what External Secrets Operator 2.9 read from the same Secret of a real
// API server.
func TestPropertiesAreReadAsTheOperatorReadsThem(t *testing.T) {
	t.Parallel()
	const missing = "there is no such part"
	data := document{name: "doc", data: map[string][]byte{
		`config`:    []byte(`{"database":{"host":"<h>","port":5432,"f":1.50,"t":true,"z":null},"a.b":"dot","list":[1,{"k":"v"}],"e":1e21,"s":"str"}`),
		`file.json`: []byte(`exact`),
		`file`:      []byte(`{"json":"nested"}`),
		`arr`:       []byte(`[1,{"k":"<v>"}]`),
		`str`:       []byte(`"s"`),
		`empty`:     []byte(``),
		`plain`:     []byte(`text`),
		`tls.crt`:   []byte(`PEM`),
		`trail`:     []byte(`{"a":1} x`),
	}}
	meta := metadataDocument{name: "doc", labels: map[string]string{"app": "shop"}, annotations: map[string]string{"json": `{"x":{"y":1}}`, "note": "<n>"}}
	read := func(doc providers.Document, path, want string) {
		t.Helper()
		got, err := doc.Value(path)
		if want == missing {
			if !errors.Is(err, providers.ErrPropertyNotFound) {
				t.Errorf("%s: %q, %v", path, got.Bytes(), err)
			}
		} else if err != nil || string(got.Bytes()) != want {
			t.Errorf("%s: got %s, %v; want %s", path, got.Bytes(), err, want)
		}
	}
	for path, want := range map[string]string{
		``:                     `{"arr":"[1,{\"k\":\"<v>\"}]","config":"{\"database\":{\"host\":\"<h>\",\"port\":5432,\"f\":1.50,\"t\":true,\"z\":null},\"a.b\":\"dot\",\"list\":[1,{\"k\":\"v\"}],\"e\":1e21,\"s\":\"str\"}","empty":"","file":"{\"json\":\"nested\"}","file.json":"exact","plain":"text","str":"\"s\"","tls.crt":"PEM","trail":"{\"a\":1} x"}`,
		`plain`:                `text`,
		`file.json`:            `exact`,
		`file`:                 `{"json":"nested"}`,
		`tls.crt`:              `PEM`,
		`config.database`:      `{"host":"<h>","port":5432,"f":1.50,"t":true,"z":null}`,
		`config.database.host`: `<h>`,
		`config.database.port`: `5432`,
		`config.database.f`:    `1.5`,
		`config.database.z`:    ``,
		`config.a\.b`:          `dot`,
		`config.list`:          `[1,{"k":"v"}]`,
		`config.list.1.k`:      `v`,
		`config.list.#`:        `2`,
		`config.e`:             `1000000000000000000000`,
		`config.*.host`:        `<h>`,
		`config.@this.s`:       `str`,
		`arr.1.k`:              `<v>`,
		`arr.0`:                `1`,
		`trail.a`:              `1`,
		`empty`:                ``,
		`file\.json`:           missing,
		`conf*`:                missing,
		`nope`:                 missing,
		`plain.x`:              missing,
		`config.nope`:          missing,
		`config.`:              missing,
		`.config`:              missing,
		`str.x`:                missing,
	} {
		read(data, path, want)
	}
	for path, want := range map[string]string{
		``:                   `{"annotations":{"json":"{\"x\":{\"y\":1}}","note":"<n>"},"labels":{"app":"shop"}}`,
		`labels`:             `{"app":"shop"}`,
		`annotations`:        `{"json":"{\"x\":{\"y\":1}}","note":"<n>"}`,
		`labels.app`:         `shop`,
		`annotations.note`:   `<n>`,
		`annotations.json`:   `{"x":{"y":1}}`,
		`annotations.json.x`: `{"y":1}`,
		`labels.nope`:        missing,
		`nope`:               missing,
		`annotations.json.z`: missing,
	} {
		read(meta, path, want)
	}
}
