package vault

import (
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// What is read is kept for a minute, and as a tree it would take a hundred times as much.
func TestWhatIsKeptOfADocumentIsItsText(t *testing.T) { //nolint:paralleltest // what others keep would count
	kept := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what other tests have left in pools is gone with the second
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	text := []byte(`{"k":[{"":0}` + strings.Repeat(`,{"":0}`, property.MaxParts/2-2) + `]}`)
	before := kept()
	var docs []document
	for range 4 {
		data, _ := property.Object(text)
		doc, err := newDocument("doc", data)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	if each := (kept() - before) / 4; each > 4*uint64(len(text)) {
		t.Errorf("of %d bytes %d are kept", len(text), each)
	}
	if got, err := docs[0].Value("k.0"); err != nil || string(got.Bytes()) != `{"":0}` {
		t.Errorf("%s, %v", got.Bytes(), err)
	}
}

// TestPropertiesAreReadAsTheOperatorReadsThem: each value is what External Secrets Operator 2.9 read from the same document of a
// real Vault, for data and for dataFrom.extract.
func TestPropertiesAreReadAsTheOperatorReadsThem(t *testing.T) {
	t.Parallel()
	const missing = "there is no such part"
	data, _ := property.Object([]byte(`{"s":"<a&b>","n":42,"f":1.50,"e":1e21,"small":1.5e-7,"t":true,"z":null,"empty":"","u":"ü😀","o":{"a":{"b":[1,2.50,{"c":"d"}],"x.y":"in"},"h":"<>","z":null},"l":["x","y",{"k":"<v>"}],"el":[],"a.b":"dotted","a":{"b":"nested"},"js":"{\"in\":{\"k\":1},\"t\":true,\"s\":\"v\"}","sp ace":"sp","back\\slash":"bs","nl":"a\nb","1":"one","@this":"at"}`))
	doc, err := newDocument("doc", data)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		`s`:                `<a&b>`,
		`f`:                `1.50`,
		`e`:                `1e21`,
		`small`:            `1.5e-7`,
		`z`:                ``,
		`u`:                `ü😀`,
		`o`:                `{"a":{"b":[1,2.50,{"c":"d"}],"x.y":"in"},"h":"\u003c\u003e","z":null}`,
		`o.a.b`:            `[1,2.50,{"c":"d"}]`,
		`o.a.b.1`:          `2.5`,
		`o.a.b.2.c`:        `d`,
		`o.a.b.#`:          `3`,
		`o.a.x\.y`:         `in`,
		`o.a.x.y`:          missing,
		`o.h`:              `<>`,
		`o.z`:              ``,
		`l`:                `["x","y",{"k":"\u003cv\u003e"}]`,
		`l.0`:              `x`,
		`l.#`:              `3`,
		`l.2`:              `{"k":"\u003cv\u003e"}`,
		`l.2.k`:            `<v>`,
		`l.#.k`:            `["\u003cv\u003e"]`,
		`el`:               `[]`,
		`a.b`:              `dotted`,
		`a\.b`:             `dotted`,
		`a`:                `{"b":"nested"}`,
		`js`:               `{"in":{"k":1},"t":true,"s":"v"}`,
		`js.in`:            missing,
		`js|@fromstr|in.k`: `1`,
		`sp ace`:           `sp`,
		`back\slash`:       `bs`,
		`back\\slash`:      `bs`,
		`@this`:            `at`,
		`@this|n`:          `42`,
		`o.@keys`:          `["a","h","z"]`,
		`{n,t}`:            `{"n":42,"t":true}`,
		`?`:                `one`,
		`sp*`:              `sp`,
		`.s`:               missing,
		`*.b`:              `nested`,
		``:                 `{"1":"one","@this":"at","a":{"b":"nested"},"a.b":"dotted","back\\slash":"bs","e":1e21,"el":[],"empty":"","f":1.50,"js":"{\"in\":{\"k\":1},\"t\":true,\"s\":\"v\"}","l":["x","y",{"k":"\u003cv\u003e"}],"n":42,"nl":"a\nb","o":{"a":{"b":[1,2.50,{"c":"d"}],"x.y":"in"},"h":"\u003c\u003e","z":null},"s":"\u003ca\u0026b\u003e","small":1.5e-7,"sp ace":"sp","t":true,"u":"ü😀","z":null}`,
	} {
		got, err := doc.Value(path)
		if want == missing {
			if !errors.Is(err, providers.ErrPropertyNotFound) {
				t.Errorf("%s: %q, %v", path, got.Bytes(), err)
			}
			continue
		}
		if err != nil || string(got.Bytes()) != want {
			t.Errorf("%s: got %s, %v; want %s", path, got.Bytes(), err, want)
		}
	}
	for path, want := range map[string]map[string]string{
		`o`:     {`a`: `{"b":[1,2.5,{"c":"d"}],"x.y":"in"}`, `h`: `<>`, `z`: ``},
		`l.2`:   {`k`: `<v>`},
		`a`:     {`b`: `nested`},
		`js`:    {`in`: `{"k":1}`, `s`: `v`, `t`: `true`},
		`{n,t}`: {`n`: `42`, `t`: `true`},
		``:      {`1`: `one`, `@this`: `at`, `a`: `{"b":"nested"}`, `a.b`: `dotted`, `back\slash`: `bs`, `e`: `1000000000000000000000`, `el`: `[]`, `empty`: ``, `f`: `1.5`, `js`: `{"in":{"k":1},"t":true,"s":"v"}`, `l`: `["x","y",{"k":"\u003cv\u003e"}]`, `n`: `42`, `nl`: "a\nb", `o`: `{"a":{"b":[1,2.5,{"c":"d"}],"x.y":"in"},"h":"\u003c\u003e","z":null}`, `s`: `<a&b>`, `small`: `0.00000015`, `sp ace`: `sp`, `t`: `true`, `u`: `ü😀`, `z`: ``},
		`s`:     nil, `z`: nil, `o.a.b`: nil, `l.#.k`: nil, `el`: nil, `js.in`: nil, `@this`: nil,
	} {
		fields, err := doc.Fields(path)
		if want == nil {
			if !errors.Is(err, providers.ErrInvalid) && !errors.Is(err, providers.ErrPropertyNotFound) {
				t.Errorf("%s: %d fields, %v", path, len(fields), err)
			}
			continue
		}
		got := map[string]string{}
		for name, value := range fields {
			got[name] = string(value.Bytes())
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", path, err, diff)
		}
	}
}

// TestAnExtractedNullIsNoObject: the operator takes it for one without fields, so that nothing is extracted and nothing is wrong.
func TestAnExtractedNullIsNoObject(t *testing.T) {
	t.Parallel()
	doc, err := newDocument("doc", map[string]any{"text": "null", "null": nil})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"text", "null"} {
		if _, err := doc.Fields(path); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
