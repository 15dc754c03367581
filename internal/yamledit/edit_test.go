package yamledit_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/internal/yamledit"
)

func set(value any, path ...string) yamledit.Edit { return yamledit.Edit{Path: path, Value: value} }
func del(path ...string) yamledit.Edit            { return yamledit.Edit{Path: path, Delete: true} }

const odd = `# who: team payments
kind:   SealedSecret   # two spaces
metadata: {name: db,   namespace: "pay"}

spec:
    encryptedData:

        # the password
        password: AgOld1 # rotated in May
        'user': "AgOld2"


        folded: >-
            AgOld3
            AgOld4
        none:
    template:
        metadata: {}   # nothing yet
    list:
    -   name: a
        x: y
    -   name: b
# the end
`

const quotes = `empty:   '' # a
escaped: "\"}" # b
single:  'it''s }' # c
`

const marked = `k:   {x: &y 1}

m:

    a: &x AgOld1 # a

    c: !!str AgOld2
    d:  *y
o:
    e: *y
    f: &z AgOld4 # f

...
# the end
`

const bracketed = `m: {
      a: x, # of a

      # not of b

      b: y,  # of b
      # of c
      c: z # and c
    }
`

func TestWhatIsNotEditedKeepsEveryByte(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in    string
		edits []yamledit.Edit
		want  func(string) string
	}{
		"nothing":                              {odd, nil, func(s string) string { return s }},
		"a value":                              {odd, []yamledit.Edit{set("AgNew", "spec", "encryptedData", "password")}, replace("AgOld1", "AgNew")},
		"a quoted value":                       {odd, []yamledit.Edit{set("AgNew", "spec", "encryptedData", "user")}, replace("AgOld2", "AgNew")},
		"a value of several lines":             {odd, []yamledit.Edit{set("AgNew", "spec", "encryptedData", "folded")}, replace(">-\n            AgOld3\n            AgOld4", "AgNew")},
		"a missing value":                      {odd, []yamledit.Edit{set("AgNew", "spec", "encryptedData", "none")}, replace("none:", "none: AgNew")},
		"a value in brackets":                  {odd, []yamledit.Edit{set("other", "metadata", "name")}, replace("name: db", "name: other")},
		"several":                              {odd, []yamledit.Edit{set("A", "spec", "encryptedData", "password"), set("B", "spec", "encryptedData", "user")}, func(s string) string { return replace("AgOld1", "A")(replace("AgOld2", "B")(s)) }},
		"a new field at the end":               {odd, []yamledit.Edit{set("AgNew", "spec", "encryptedData", "zip")}, replace("        none:\n", "        none:\n        zip: AgNew\n")},
		"a new field in an empty map":          {odd, []yamledit.Edit{set("v", "spec", "template", "metadata", "labels", "a")}, replace(" {}", "\n          labels:\n            a: v")},
		"a new field in brackets":              {odd, []yamledit.Edit{set("v", "metadata", "uid")}, replace(`"pay"}`, `"pay", uid: "v"}`)},
		"a new map":                            {odd, []yamledit.Edit{set("v", "spec", "new", "deep", "er")}, replace("    -   name: b\n", "    -   name: b\n    new:\n      deep:\n        er: v\n")},
		"a field of a list's item":             {odd, []yamledit.Edit{set("z", "spec", "list", "0", "x")}, replace("x: y", "x: z")},
		"a field goes":                         {odd, []yamledit.Edit{del("spec", "encryptedData", "user")}, replace("        'user': \"AgOld2\"\n", "")},
		"a field of several lines":             {odd, []yamledit.Edit{del("spec", "encryptedData", "folded")}, replace("        folded: >-\n            AgOld3\n            AgOld4\n", "")},
		"a missing value goes":                 {odd, []yamledit.Edit{del("spec", "encryptedData", "none")}, replace("        none:\n", "")},
		"what is not there goes":               {odd, []yamledit.Edit{del("spec", "encryptedData", "gone"), del("a", "b", "c")}, func(s string) string { return s }},
		"a field in brackets goes":             {odd, []yamledit.Edit{del("metadata", "namespace")}, replace(`,   namespace: "pay"`, "")},
		"a field goes with its comments":       {"a:\n  # of all\n\n  # first\n  # second\n  b: c # third\n  # of d\n  d: e\n", []yamledit.Edit{del("a", "b")}, func(string) string { return "a:\n  # of all\n\n  # of d\n  d: e\n" }},
		"comments of others stay":              {"a:\n  d: e\n# of f\n  # of b\n  b: c\nf: g\n", []yamledit.Edit{del("a", "b")}, func(string) string { return "a:\n  d: e\n# of f\nf: g\n" }},
		"a commented field goes with its last": {"a:\r\n  d: e\r\n  # of b\r\n  b: c\r\n", []yamledit.Edit{del("a", "b")}, func(string) string { return "a:\r\n  d: e\r\n" }},
		"the only field goes":                  {"a:\n  b: c # x\nd: e\n", []yamledit.Edit{del("a", "b")}, func(string) string { return "a: {} # x\nd: e\n" }},
		"sorted fields stay sorted":            {"m:\n  a: x\n  # of c\n  # too\n  c: y\n", []yamledit.Edit{set("v", "m", "b")}, replace("  # of c", "  b: v\n  # of c")},
		"before the first":                     {"m:\n  b: x\n  c: y\n", []yamledit.Edit{set("v", "m", "a")}, replace("  b: x", "  a: v\n  b: x")},
		"Windows line ends":                    {"a: x\r\nm:\r\n  b: y\r\n", []yamledit.Edit{set("v", "m", "c"), set("w", "a")}, func(string) string { return "a: w\r\nm:\r\n  b: y\r\n  c: v\r\n" }},
		"without a last line end":              {"m:\n  b: y", []yamledit.Edit{set("v", "m", "c")}, func(string) string { return "m:\n  b: y\n  c: v" }},
		"wide characters":                      {"ä: {ö: 'ü', x: old}\n", []yamledit.Edit{set("v", "ä", "x")}, replace("old", "v")},
		"words that YAML reads":                {"m: {a:   b}\n", []yamledit.Edit{set("yes", "m", "a")}, replace("b}", `"yes"}`)},
		"a text of several lines":              {"m:\n  a: b\n", []yamledit.Edit{set("x\ny", "m", "a")}, replace("b", `"x\ny"`)},
		"JSON": {"{\n\t\"m\": {\n\t\t\"b\": \"x\"\n\t},\n\t\"e\": {}\n}\n", []yamledit.Edit{set("v", "m", "b"), set("w", "m", "c"), set("z", "e", "f")}, func(string) string {
			return "{\n\t\"m\": {\n\t\t\"b\": \"v\",\n\t\t\"c\": \"w\"\n\t},\n\t\"e\": {\"f\": \"z\"}\n}\n"
		}},
		"JSON in one line":        {`{"m":{"b":"x","d":"y"}}`, []yamledit.Edit{set("w", "m", "c"), del("m", "b")}, func(string) string { return `{"m":{"d":"y", "c": "w"}}` }},
		"a value that is no text": {"m:\n  a:   b\n  c: d\n", []yamledit.Edit{set(true, "m", "x"), set(int64(3), "m", "z")}, replace("c: d\n", "c: d\n  x: true\n  z: 3\n")},
		"JSON with characters beyond U+FFFF and escaped slashes": {`{"z": "\ud83d\ude00 \/ \\ud83d", "m": {"b": "x"}}`, []yamledit.Edit{set("v", "m", "b"), set("w", "m", "c")}, func(string) string {
			return `{"z": "\ud83d\ude00 \/ \\ud83d", "m": {"b": "v", "c": "w"}}`
		}},
		"a value with an anchor":             {marked, []yamledit.Edit{set("v", "m", "a")}, replace("AgOld1", "v")},
		"a value with a tag":                 {marked, []yamledit.Edit{set("v", "m", "c")}, replace("AgOld2", "v")},
		"a value that is an alias":           {marked, []yamledit.Edit{set("v", "m", "d")}, replace("  *y", " v")},
		"a new field behind an anchor":       {marked, []yamledit.Edit{set("v", "o", "z")}, replace("AgOld4 # f", "AgOld4 # f\n    z: v")},
		"a field with an anchor goes":        {marked, []yamledit.Edit{del("m", "a")}, replace("    a: &x AgOld1 # a\n", "")},
		"a field with a tag goes":            {marked, []yamledit.Edit{del("m", "c")}, replace("    c: !!str AgOld2\n", "")},
		"an alias goes":                      {marked, []yamledit.Edit{del("m", "d")}, replace("    d:  *y\n", "")},
		"a commented field in brackets goes": {bracketed, []yamledit.Edit{del("m", "a")}, replace("      a: x, # of a\n", "")},
		"the last commented one in brackets": {bracketed, []yamledit.Edit{del("m", "c")}, replace("      # of c\n      c: z # and c\n", "")},
		"a new field in commented brackets":  {bracketed, []yamledit.Edit{set("v", "m", "d")}, replace("c: z # and c\n", "c: z, # and c\n      d: \"v\"\n")},
		"a new field behind a last comma":    {strings.Replace(bracketed, "c: z", "c: z,", 1), []yamledit.Edit{set("v", "m", "d")}, func(s string) string { return replace("# and c\n", "# and c\n      d: \"v\",\n")(s) }},
		"what is so already": {odd, []yamledit.Edit{set("AgOld3 AgOld4", "spec", "encryptedData", "folded"), set(nil, "spec", "encryptedData", "none"), set("b", "spec", "list", "1", "name"), set("v", "spec", "list", "1", "x")},
			replace("name: b\n", "name: b\n        x: v\n")},
		"fields in another order": {quotes, []yamledit.Edit{set("C", "single"), set("B", "escaped"), set("A", "empty")}, func(string) string { return "empty:   'A' # a\nescaped: \"B\" # b\nsingle:  'C' # c\n" }},
		"a text with quotes": {quotes, []yamledit.Edit{set("it's", "single"), set("a\nb", "empty"), set(`"<&>"`, "escaped")}, func(string) string {
			return "empty:   \"a\\nb\" # a\nescaped: \"\\\"<&>\\\"\" # b\nsingle:  'it''s' # c\n"
		}},
		"a text behind quotes goes":           {quotes, []yamledit.Edit{del("single"), del("empty")}, func(string) string { return "escaped: \"\\\"}\" # b\n" }},
		"a field before the first of all":     {"# b\nb:   x\n", []yamledit.Edit{set("v", "a")}, func(s string) string { return "a: v\n" + s }},
		"the first of all goes":               {"b:   x\nc:   y\n", []yamledit.Edit{del("b")}, replace("b:   x\n", "")},
		"the last goes, and its line end":     {"b:   x\nc:   y", []yamledit.Edit{del("c")}, replace("c:   y", "")},
		"one line with a Windows end":         {"a: x\r\n", []yamledit.Edit{set("v", "b")}, func(s string) string { return s + "b: v\r\n" }},
		"a map with a tag":                    {"m: !!map\n  a:   b\n  d: e\n", []yamledit.Edit{set("v", "m", "c"), del("m", "d")}, replace("  d: e", "  c: v")},
		"a value with an anchor and a tag":    {"a:   &x !!str b # c\n", []yamledit.Edit{set("v", "a")}, replace(" b ", " v ")},
		"nothing with an anchor goes":         {"m:\n  a:   b\n  c: &x\n  d: e\n", []yamledit.Edit{del("m", "c")}, replace("  c: &x\n", "")},
		"a new field behind one of nothing":   {"m:\n  a:   b\n  c: &x\n", []yamledit.Edit{set("v", "m", "d")}, func(s string) string { return s + "  d: v\n" }},
		"nothing that is written out":         {"m: {a:   b, c : ~ }\np:   null # c\n", []yamledit.Edit{set(true, "p"), set("v", "m", "c")}, func(string) string { return "m: {a:   b, c : v }\np: true # c\n" }},
		"an empty map":                        {"m:   {}\np:   x\n", []yamledit.Edit{set(map[string]any{}, "o"), set([]any{"a"}, "m")}, func(string) string { return "m: [\"a\"]\no: {}\np:   x\n" }},
		"an empty map in brackets":            {"m: {a:   {}}\n", []yamledit.Edit{set("v", "m", "a", "b")}, replace("{}", `{"b": "v"}`)},
		"JSON without fields":                 {" {}\n", []yamledit.Edit{set("v", "a")}, replace("{}", `{"a": "v"}`)},
		"an empty map of a list's item":       {"l:\n- m:   {} # c\n- - p:   {}\n", []yamledit.Edit{set("v", "l", "0", "m", "a"), set("v", "l", "1", "0", "p", "a")}, func(string) string { return "l:\n- m:\n    a: v # c\n- - p:\n      a: v\n" }},
		"a new field of nothing":              {"m:\n  a:   x\n  p:\n", []yamledit.Edit{set("v", "m", "p", "q")}, func(s string) string { return s + "    q: v\n" }},
		"a new field of nothing in JSON":      {"{\"m\":   null}\n", []yamledit.Edit{set("v", "m", "p", "q")}, replace("   null", ` {"p":{"q":"v"}}`)},
		"a new field of a list's item":        {"l:\n- b:   x\n  c: y\n", []yamledit.Edit{set("v", "l", "0", "a")}, replace("c: y", "c: y\n  a: v")},
		"a value in brackets and quotes goes": {"k: {a: \"}\", b: [']']}\nm:   x\n", []yamledit.Edit{del("k")}, func(string) string { return "m:   x\n" }},
		"a new field behind a comma":          {"m: {\n  a: x,\n}\n", []yamledit.Edit{set("v", "m", "b")}, replace("a: x,", "a: x,\n  b: \"v\",")},
		"a text of lines with a gap":          {"a: |\n  x\n\n  y\nb:   z\n", []yamledit.Edit{set("v", "a")}, func(string) string { return "a: v\nb:   z\n" }},
		"a text of lines at the end":          {"b:   z\na: |\n  x\n  y", []yamledit.Edit{set("v", "a")}, func(string) string { return "b:   z\na: v" }},
		"what cannot be done in place":        {"m: &a\n  # c\n  b: y\nn: *a\n", []yamledit.Edit{set("v", "o")}, func(s string) string { return s + "o: v\n" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := yamledit.Apply([]byte(c.in), c.edits)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want(c.in), string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Where one edit cannot be made in place all are made in the syntax tree, which keeps comments.
func TestADocumentThatIsWrittenAnewSaysWhatIsWanted(t *testing.T) {
	t.Parallel()
	for in, c := range map[string]struct {
		edits []yamledit.Edit
		want  string
	}{
		"a:\n- ? b\n  : c\n  e: {} # of e\n  f: ~ # of f\n  g:   x\n  h: y # of h\n": {
			[]yamledit.Edit{set("5", "a", "0", "i"), set("v", "a", "0", "e", "x"), set(true, "a", "0", "f", "x", "y"), set("no", "a", "0", "d"), set([]any{"<&>"}, "a", "0", "h"), del("a", "0", "g")},
			"a:\n- b: c\n  e: # of e\n    x: v\n  f: # of f\n    x:\n      \"y\": true\n  h: # of h\n  - <&>\n  i: \"5\"\n  d: \"no\"\n",
		},
		`{"a":[{"\ud83d\ude00":{},"b":"x"}]}`: {
			[]yamledit.Edit{set("<&>", "a", "0", "😀", "x"), del("a", "0", "b")},
			"{\n  \"a\": [\n    {\n      \"😀\": {\n        \"x\": \"<&>\"\n      }\n    }\n  ]\n}",
		},
		"a: b # c\n":                            {[]yamledit.Edit{del("a")}, "{}\n"},
		"l:\n- a:   x # c\n  b:   y\n":          {[]yamledit.Edit{del("l", "0", "a")}, "l:\n- b: y\n"},
		"m: {a: x, # c\n  b: y}\n":              {[]yamledit.Edit{del("m", "a")}, "m: {b: y}\n"},
		"m: {\n  a: x, # c\n  b: y }\nz:   1\n": {[]yamledit.Edit{del("m", "b")}, "m: {a: x, # c\n}\nz: 1\n"},
	} {
		got, err := yamledit.Apply([]byte(in), c.edits)
		if err != nil {
			t.Errorf("%q: %v", in, err)
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

// What is written anew, because a key of several lines cannot be found, stays apart from what is around it.
func TestADocumentThatIsWrittenAnewStaysBetweenItsNeighbours(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"a comment behind the separator": {" # of all\na:\n- ? b\n  : c\n", " # of all\na:\n- b: c\n  d: v\n"},
		"Windows line ends":              {"\r\n# of all\r\na:\r\n- ? b\r\n  : c\r\n", "\r\n# of all\r\na:\r\n- b: c\r\n  d: v\r\n"},
		"an end mark":                    {"\na:\n- ? b\n  : c\n...\n# the end\n", "\na:\n- b: c\n  d: v\n...\n# the end\n"},
		"JSON without a last line end":   {" {\"a\":[{\"\\ud83d\\ude00\":{}}]}", ""},
	} {
		edit := set("v", "a", "0", "d")
		if strings.Contains(c.in, "{") {
			edit = set("v", "a", "0", "😀", "x")
			c.want = " {\n  \"a\": [\n    {\n      \"😀\": {\n        \"x\": \"v\"\n      }\n    }\n  ]\n}"
		}
		got, err := yamledit.Apply([]byte(c.in), []yamledit.Edit{edit})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func replace(old, new string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, new, 1) }
}

func TestWhatWouldChangeElsewhereTooIsRefused(t *testing.T) {
	t.Parallel()
	const syntax = "not one document with fields"
	for name, c := range map[string]struct {
		in   string
		edit yamledit.Edit
		want error
		says string
	}{
		"an alias":                     {"a: &x {b: c}\nd: *x\n", set("v", "d", "b"), yamledit.ErrShape, "d is not a plain map"},
		"an alias far above":           {"a: &x {b: {c: {}}}\nd: [*x]\n", set("v", "d", "0", "b", "c", "e"), yamledit.ErrShape, "d.0 is not a plain map"},
		"a field of an alias goes":     {"a: &x {b: {c: d}}\ne: *x\n", del("e", "b", "c"), yamledit.ErrShape, "e is not a plain map"},
		"a merged field goes":          {"a: &x {b: {c: d}}\ne: {<<: *x}\n", del("e", "b", "c"), yamledit.ErrShape, "e is not a plain map"},
		"a merged field goes as whole": {"a: &x {b: c}\ne: {<<: *x}\n", del("e", "b"), yamledit.ErrShape, "e is not a plain map"},
		"a field that has aliases":     {"a: &x b\nd: *x\n", set("v", "a"), yamledit.ErrShape, "the document is not a plain map"},
		"a map that is merged":         {"a: &x {b: c}\ne: {<<: *x}\n", set("v", "a", "b"), yamledit.ErrShape, "a is not a plain map"},
		"a text on the way":            {"a: b\n", set("v", "a", "b"), yamledit.ErrShape, "a is not a plain map"},
		"a list's item":                {"a: [b]\n", set("v", "a", "0"), yamledit.ErrShape, "a is not a plain map"},
		"no such item":                 {"a: [{}]\n", set("v", "a", "1", "b"), yamledit.ErrShape, "a is not a plain map"},
		"an item before the first":     {"a: [{}]\n", set("v", "a", "-1", "b"), yamledit.ErrShape, "a is not a plain map"},
		"an item of no number":         {"a: [{}]\n", set("v", "a", "b", "c"), yamledit.ErrShape, "a is not a plain map"},
		"no map":                       {"- a\n", set("v", "a"), yamledit.ErrSyntax, syntax},
		"no YAML":                      {"a: [\n", set("v", "a"), yamledit.ErrSyntax, syntax},
		"a key twice":                  {"a: b\na: c\n", set("v", "a"), yamledit.ErrSyntax, syntax},
		"a key of JSON twice":          {`{"a": "b", "a": "c"}`, set("v", "a"), yamledit.ErrSyntax, syntax},
		"nothing":                      {"", set("v", "a"), yamledit.ErrSyntax, syntax},
		"no path":                      {"a: b\n", set("v"), yamledit.ErrShape, "not a plain map"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := set("v", "other", "map") // what cannot be made is told of, not what can
			got, err := yamledit.Apply([]byte(c.in), []yamledit.Edit{good, c.edit})
			if !errors.Is(err, c.want) || got != nil {
				t.Fatalf("got %q, %v", got, err)
			}
			if err.Error() != c.says {
				t.Errorf("it says %q, want %q", err, c.says)
			}
		})
	}
}

func TestTheDifferenceOfTwoObjectsMakesTheOneTheOther(t *testing.T) {
	t.Parallel()
	const have = "# top\nspec:\n  encryptedData:\n    a: old # kept\n    b: same\n    c: goes\n  template:\n    metadata:\n      finalizers: [x]\n"
	var old, want map[string]any
	if yaml.Unmarshal([]byte(have), &old) != nil ||
		yaml.Unmarshal([]byte("spec: {encryptedData: {a: new, b: same, d: comes}, template: {type: Opaque, metadata: {finalizers: [x, y]}}}"), &want) != nil {
		t.Fatal("the test is wrong")
	}
	edits := yamledit.Difference(old, want)
	got, err := yamledit.Apply([]byte(have), edits)
	if err != nil {
		t.Fatal(err)
	}
	var now map[string]any
	if err := yaml.Unmarshal(got, &now); err != nil || !reflect.DeepEqual(now, want) {
		t.Errorf("got\n%s", got)
	}
	if !strings.Contains(string(got), "# top\n") || !strings.Contains(string(got), "a: new # kept") {
		t.Errorf("comments are lost:\n%s", got)
	}
	if len(yamledit.Difference(want, want)) != 0 {
		t.Error("an object differs from itself")
	}
	edits = yamledit.Difference(map[string]any{"b": "x", "c": map[string]any{}, "d": "y", "f": nil}, map[string]any{"a": nil, "c": "z", "d": map[string]any{}, "f": nil})
	if diff := cmp.Diff([]yamledit.Edit{set(nil, "a"), del("b"), set("z", "c"), set(map[string]any{}, "d")}, edits); diff != "" {
		t.Errorf("each field once, in order:\n%s", diff)
	}
}

func TestALineIsFoundForEachField(t *testing.T) {
	t.Parallel()
	for text, lines := range map[string]map[string]int{
		odd: {"": 11, "kind": 11, "spec": 14, "spec encryptedData password": 18, "spec template metadata labels": 27, "spec list 1": 31,
			"spec list 2": 28, "spec list -1": 28, "spec list x": 28, "spec nothing": 14},
		"a: &x\n  b: c\nd: *x\n": {"d": 12, "d b": 11, "d c": 12}, // below an alias, where it stands
		"[":                      {"a": 10},
		"":                       {"a": 10},
	} {
		found := yamledit.NewLines([]byte(text), 10)
		for path, want := range lines {
			if got := found.Of(strings.Fields(path)...); got != want {
				t.Errorf("%q: line %d, want %d", path, got, want)
			}
		}
	}
}

func FuzzAnEditChangesWhatItNamesAndNothingElse(f *testing.F) {
	f.Add(odd, "spec", "encryptedData", "password", "AgNew", false)
	f.Add(odd, "metadata", "labels", "x", "v", false)
	f.Add(odd, "spec", "template", "metadata", "", true)
	f.Add("{\"a\":{\"b\":{\"c\":\"d\"}}}", "a", "b", "c", "x: y #", false)
	f.Add("a: &x {b: {c: d}}\ne: *x\n", "e", "b", "c", "v", false)
	f.Add("a:\n- b:\n    c: |\n      d\n", "a", "0", "b", "\n\t", true)
	f.Add("? a\n: b:\n    c: d\n", "a", "b", "c", "é", false)
	f.Fuzz(func(t *testing.T, text, a, b, c, value string, remove bool) {
		var before map[string]any
		if read([]byte(text), &before) != nil {
			return
		}
		const first = 10
		if line := yamledit.NewLines([]byte(text), first).Of(a, b, c); line < first || line > first+strings.Count(text, "\n") {
			t.Errorf("%q of %q is in line %d", []string{a, b, c}, text, line)
		}
		edit := yamledit.Edit{Path: []string{a, b, c}, Value: value, Delete: remove}
		got, err := yamledit.Apply([]byte(text), []yamledit.Edit{edit})
		if err != nil {
			return
		}
		var after map[string]any
		if err := read(got, &after); err != nil {
			t.Fatalf("what came out cannot be read: %v\n%q", err, got)
		}
		for name, value := range before {
			if name != a && !reflect.DeepEqual(after[name], value) {
				t.Errorf("%q has changed", name)
			}
		}
		again, err := yamledit.Apply(got, []yamledit.Edit{edit})
		if err != nil || string(again) != string(got) {
			t.Errorf("the same edit again: %v\n%q\n%q", err, got, again)
		}
	})
}

func read(text []byte, into *map[string]any) error {
	if json.Valid(text) {
		return json.Unmarshal(text, into)
	}
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
