package property

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPropertyIsFoundByItsPath(t *testing.T) {
	t.Parallel()
	doc := []byte(`{"user":"admin","n":{"a.b":"dot","list":[1,2,{"k":"v"}]},"t":true,"z":null,
		"int":9007199254740993,"zeros":007,"most":-12.3456789012345E2,"small":0.00123456789012345e-1,"over":1.234567890123450,"neg":-12345678901234567890,"exp":1e3,"frac":1.0,"long":1.23456789012345678901,"huge":1e400,"html":"<a&b>"}`)
	for name, tc := range map[string]struct {
		path, want string
		missing    bool
	}{
		"a string is unquoted":                       {path: "user", want: "admin"},
		"an escaped dot is part of the name":         {path: `n.a\.b`, want: "dot"},
		"an index selects an element":                {path: "n.list.2.k", want: "v"},
		"an array is JSON as it was written":         {path: "n.list", want: `[1,2,{"k":"v"}]`},
		"a boolean is a word":                        {path: "t", want: "true"},
		"null is empty":                              {path: "z", want: ""},
		"an integer above 2^53 keeps its digits":     {path: "int", want: "9007199254740993"},
		"a long negative integer keeps its digits":   {path: "neg", want: "-12345678901234567890"},
		"an exponent is written out":                 {path: "exp", want: "1000"},
		"a fraction of zero is dropped":              {path: "frac", want: "1"},
		"a fraction longer than a float64 keeps all": {path: "long", want: "1.23456789012345678901"},
		"leading zeros stay":                         {path: "zeros", want: "007"},
		"fifteen digits are written out":             {path: "most", want: "-1234.56789012345"},
		"zeros before them are not among them":       {path: "small", want: "0.000123456789012345"},
		"sixteen digits stay as they are":            {path: "over", want: "1.234567890123450"},
		"a number beyond float64 is left alone":      {path: "huge", want: "1e400"},
		"HTML characters are not escaped":            {path: "html", want: "<a&b>"},
		"a missing field is missing":                 {path: "nope", missing: true},
		"below a string there is nothing":            {path: "user.name", missing: true},
		"a query may select":                         {path: `n.list.#(k=="v").k`, want: "v"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := Get(doc, tc.path)
			if ok == tc.missing || string(got) != tc.want {
				t.Errorf("Get(%q) = %q, %v", tc.path, got, ok)
			}
		})
	}
}

func TestADocumentOfAnyDepthIsSafe(t *testing.T) {
	t.Parallel()
	deep := bytes.Repeat([]byte("["), 4<<20)
	for _, path := range []string{"a", "@pretty", "@valid", "0.0", "#.a"} {
		if _, ok := Get(deep, path); ok {
			t.Errorf("Get of a bottomless document found %q", path)
		}
	}
	if _, ok := Object(append([]byte(`{"a":`), deep...)); ok {
		t.Error("a bottomless object was decoded")
	}
	if _, ok := RawFields(append([]byte(`{"a":`), deep...)); ok {
		t.Error("a bottomless object has fields")
	}
}

func TestADocumentMayBeAsWideAsItLikes(t *testing.T) {
	t.Parallel()
	wide := []byte(`{"a":[` + strings.Repeat(`{"b":[1]},`, maxDepth) + `{"b":["last"]}]}`)
	if got, ok := Get(wide, strings.Join([]string{"a", strconv.Itoa(maxDepth), "b", "0"}, ".")); !ok || string(got) != "last" {
		t.Errorf("the last of %d objects is %q, %t", maxDepth+1, got, ok)
	}
	deepest := []byte(strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth))
	if _, ok := Get(deepest, "@this"); !ok {
		t.Errorf("a document of %d levels is refused", maxDepth)
	}
	if _, ok := Get(slices.Concat([]byte("]"), []byte("["), deepest, []byte("]")), "@this"); ok {
		t.Errorf("a document of %d levels is read", maxDepth+1)
	}
}

func TestAPathMakesNoMoreOfADocumentThanIsAllowed(t *testing.T) {
	t.Parallel()
	nested := func(levels int, inner string) string {
		return strings.Repeat(`{"x":`, levels) + inner + strings.Repeat("}", levels)
	}
	large := `"` + strings.Repeat("y", 1<<20) + `"`
	for name, tc := range map[string]struct{ doc, path string }{
		"strings of strings":         {`{"a":"x"}`, strings.Repeat("@tostr|", 40) + "@tostr"},
		"brackets in brackets":       {`{"a":"x"}`, strings.Repeat("[", 2046) + "@this" + strings.Repeat("]", 2046)},
		"characters written as six":  {`{"a":"` + strings.Repeat("<", 12<<20) + `"}`, "a|@tostr"},
		"the whole, often":           {`{"a":"x"}`, strings.Repeat("[@this,@this]|", 40) + "@this"},
		"the whole in objects":       {`{"a":"x"}`, strings.Repeat(`{"a":@this,"b":@this,"c":@this}|`, 30) + "@this"},
		"what is in each other":      {nested(9000, large), "@dig:x"},
		"dug up again":               {nested(90, large), "@dig:x|@dig:x"},
		"indents":                    {strings.Repeat("[", 9000) + strings.Repeat("1,", 500_000) + "1" + strings.Repeat("]", 9000), "@pretty"},
		"wide indents":               {"[" + strings.Repeat("[1],", 50_000) + "1]", `@pretty:{"indent":"` + strings.Repeat(" ", 5000) + `"}`},
		"names that repeat":          {`{"` + strings.Repeat("n", 500_000) + `":[` + strings.Repeat("1,", 250_000) + `1]}`, "@group"},
		"levels behind their number": {`{"a":"` + strings.Repeat(`\u005b`, 20_000) + strings.Repeat("]", 20_000) + `"}`, "a|@fromstr|@valid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, ok := Get([]byte(tc.doc), tc.path); ok {
				t.Errorf("%d bytes were made of %d", len(got), len(tc.doc))
			}
		})
	}
	if got, ok := Get([]byte(`{"a":"x"}`), strings.Repeat("[", 2045)+"@this"+strings.Repeat("]", 2045)); !ok || len(got) != 2045+9+2045 {
		t.Errorf("brackets that are not too many: %d bytes, %t", len(got), ok)
	}
	doc := `{"user@example.com":{"p":` + large + `},"list":[1,2],"ids":[3,4],"text":"{\"a\":[{\"b\":\"\u0078\"}]}"}`
	for path, want := range map[string]string{
		`user@example\.com.p|@this|@ugly|@tostr|@fromstr`:                      strings.Trim(large, `"`),
		`[list.0,list.1,ids.0,ids.1,list.#,ids.#,list.0,list.0,list.0,list.0]`: `[1,2,3,4,2,2,1,1,1,1]`,
		`{"a":list.0,"b":text|@fromstr|a.0.b}`:                                 `{"a":1,"b":"x"}`,
		`text|@fromstr|@dig:b`:                                                 `["x"]`,
		`list|@pretty`:                                                         "[1, 2]\n",
	} {
		if got, ok := Get([]byte(doc), path); !ok || string(got) != want {
			t.Errorf("%s: %.80q, %t", path, got, ok)
		}
	}
	if got, ok := Get([]byte(`{"list":[1,2],"ids":[3,4]}`), "@group"); !ok || string(got) != `[{"list":1,"ids":3},{"list":2,"ids":4}]` {
		t.Errorf("%q, %t", got, ok)
	}
}

func TestAnObjectKeepsTheDigitsOfItsNumbers(t *testing.T) {
	t.Parallel()
	object, ok := Object([]byte(`{"id":9007199254740993}`))
	if got, err := Text(object["id"]); !ok || err != nil || string(got) != "9007199254740993" {
		t.Errorf("the number is %q, %v", got, err)
	}
}

func TestFieldsAreRawAndStringsUnquoted(t *testing.T) {
	t.Parallel()
	got, ok := RawFields([]byte(`{"s":"x\"y","n":1.0,"big":9007199254740993,"o":{"b": 1, "a":"<"},"z":null,"b":false}`))
	want := map[string][]byte{
		"s": []byte(`x"y`), "n": []byte("1.0"), "big": []byte("9007199254740993"),
		"o": []byte(`{"b": 1, "a":"<"}`), "z": {}, "b": []byte("false"),
	}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Error(ok, diff)
	}
	for _, bad := range []string{``, `null`, `[]`, `"x"`, `{"a":1} x`, `{"a":1}{}`, `{`, `<html>`} {
		if _, ok := RawFields([]byte(bad)); ok {
			t.Errorf("RawFields accepts %q", bad)
		}
		if _, ok := Object([]byte(bad)); ok {
			t.Errorf("Object accepts %q", bad)
		}
	}
}

func TestADocumentIsTakenApartThatHasAsManyValuesAsMayBe(t *testing.T) {
	t.Parallel()
	list := func(first, each string, n int) string { return `{"k":[` + first + strings.Repeat(each, n) + `]}` }
	for name, tc := range map[string]struct {
		doc string
		ok  bool
	}{
		"as many numbers":         {list("0", ",0", MaxParts-3), true},
		"one number more":         {list("0", ",0", MaxParts-2), false},
		"as many objects":         {list("0", ",{}", MaxParts/2-2), true},
		"more objects":            {list("0", ",{}", MaxParts/2), false},
		"as many fields":          {`{"k":0` + strings.Repeat(`,"k":0`, MaxParts-2) + `}`, true},
		"one field more":          {`{"k":0` + strings.Repeat(`,"k":0`, MaxParts-1) + `}`, false},
		"what is in a text":       {`{"k":"` + strings.Repeat(`,[{\"\\`, MaxParts) + `"}`, true},
		"what comes after a text": {`{"k":["` + strings.Repeat(`\"`, MaxParts) + `\\"` + strings.Repeat(",0", MaxParts) + `]}`, false},
		"a text of as many bytes": {`{"k":"` + strings.Repeat("x", MaxParts) + `"}`, true},
	} {
		if TooMany([]byte(tc.doc)) == tc.ok {
			t.Errorf("%s: too many: %v", name, tc.ok)
		}
		_, whole := Object([]byte(tc.doc))
		_, raw := RawFields([]byte(tc.doc))
		if whole != tc.ok || raw != tc.ok {
			t.Errorf("%s is taken apart: %v, %v", name, whole, raw)
		}
	}
}

func TestADecodedValueBecomesText(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in          any
		want, float string // as it was written; as one who decodes to float64 sees it
	}{
		"string":         {"<x>", "<x>", "<x>"},
		"null":           {nil, "", ""},
		"integer":        {json.Number("42"), "42", "42"},
		"large integer":  {json.Number("9007199254740993"), "9007199254740993", "9007199254740993"},
		"fraction":       {json.Number("2.50"), "2.50", "2.5"},
		"exponent":       {json.Number("1e3"), "1e3", "1000"},
		"boolean":        {true, "true", "true"},
		"array":          {[]any{"a", json.Number("1.0")}, `["a",1.0]`, `["a",1]`},
		"nested object":  {map[string]any{"b": json.Number("1e21"), "a": "<"}, `{"a":"\u003c","b":1e21}`, `{"a":"\u003c","b":1e+21}`},
		"nested integer": {map[string]any{"b": json.Number("12345678901234567890")}, `{"b":12345678901234567890}`, `{"b":12345678901234567890}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Text(tc.in)
			if err != nil || string(got) != tc.want {
				t.Errorf("Text = %q, %v, want %q", got, err, tc.want)
			}
			got, err = Text(Floats(tc.in))
			if err != nil || string(got) != tc.float {
				t.Errorf("Text of Floats = %q, %v, want %q", got, err, tc.float)
			}
		})
	}
}

func FuzzGet(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a":{"b":[1,2,3]}}`, "a.b.1"}, {`{"a":"x"}`, "a"}, {`[`, "@pretty"}, {`{"a":1e999}`, "a"}, {`nan`, "@this"},
		{`{"a":[{"k":1}]}`, `a.#(k>0)#.k`}, {"\x00\xff", "@valid"}, {`{"a":"\ud800"}`, "a|@tostr"}, {``, "@fromstr"}, {`{}`, `{"x":!"y"}`},
	} {
		f.Add([]byte(seed[0]), seed[1])
	}
	f.Fuzz(func(t *testing.T, doc []byte, path string) {
		before := bytes.Clone(doc)
		got, ok := Get(doc, path)
		if !ok && got != nil {
			t.Error("a missing part has a value")
		}
		if !bytes.Equal(before, doc) {
			t.Error("the document was changed")
		}
	})
}

func FuzzFields(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":"b","c":null}`, `[]`, `{"a":{"b":9007199254740993.5}}`, `{"a":1}{`, strings.Repeat("[", 100)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		raw, ok := RawFields(doc)
		object, ok2 := Object(doc)
		if ok != ok2 || len(raw) != len(object) {
			t.Fatalf("RawFields and Object disagree: %v %v", ok, ok2)
		}
		for k, v := range object {
			if _, err := Text(Floats(v)); err != nil {
				t.Errorf("field %q has no text: %v", k, err)
			}
		}
	})
}
