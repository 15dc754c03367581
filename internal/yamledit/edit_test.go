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
		"sorted fields stay sorted":            {"m:\n  a: x\n  # of c\n  c: y\n", []yamledit.Edit{set("v", "m", "b")}, replace("  # of c", "  b: v\n  # of c")},
		"before the first":                     {"m:\n  b: x\n  c: y\n", []yamledit.Edit{set("v", "m", "a")}, replace("  b: x", "  a: v\n  b: x")},
		"Windows line ends":                    {"a: x\r\nm:\r\n  b: y\r\n", []yamledit.Edit{set("v", "m", "c"), set("w", "a")}, func(string) string { return "a: w\r\nm:\r\n  b: y\r\n  c: v\r\n" }},
		"without a last line end":              {"m:\n  b: y", []yamledit.Edit{set("v", "m", "c")}, func(string) string { return "m:\n  b: y\n  c: v" }},
		"wide characters":                      {"ä: {ö: 'ü', x: old}\n", []yamledit.Edit{set("v", "ä", "x")}, replace("old", "v")},
		"words that YAML reads":                {"m: {a: b}\n", []yamledit.Edit{set("yes", "m", "a")}, replace("b}", `"yes"}`)},
		"a text of several lines":              {"m:\n  a: b\n", []yamledit.Edit{set("x\ny", "m", "a")}, replace("b", `"x\ny"`)},
		"JSON": {"{\n\t\"m\": {\n\t\t\"b\": \"x\"\n\t},\n\t\"e\": {}\n}\n", []yamledit.Edit{set("v", "m", "b"), set("w", "m", "c"), set("z", "e", "f")}, func(string) string {
			return "{\n\t\"m\": {\n\t\t\"b\": \"v\",\n\t\t\"c\": \"w\"\n\t},\n\t\"e\": {\"f\": \"z\"}\n}\n"
		}},
		"JSON in one line":        {`{"m":{"b":"x","d":"y"}}`, []yamledit.Edit{set("w", "m", "c"), del("m", "b")}, func(string) string { return `{"m":{"d":"y", "c": "w"}}` }},
		"a value that is no text": {"m:\n  a: b\n  c: d\n", []yamledit.Edit{set(true, "m", "x"), set(int64(3), "m", "z")}, replace("c: d\n", "c: d\n  x: true\n  z: 3\n")},
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
		"what cannot be done in place":       {"m: &a\n  # c\n  b: y\nn: *a\n", []yamledit.Edit{set("v", "o")}, func(s string) string { return s + "o: v\n" }},
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
	for name, c := range map[string]struct {
		in   string
		edit yamledit.Edit
		want error
	}{
		"an alias":                 {"a: &x {b: c}\nd: *x\n", set("v", "d", "b"), yamledit.ErrShape},
		"a field that has aliases": {"a: &x b\nd: *x\n", set("v", "a"), yamledit.ErrShape},
		"a text on the way":        {"a: b\n", set("v", "a", "b"), yamledit.ErrShape},
		"a list's item":            {"a: [b]\n", set("v", "a", "0"), yamledit.ErrShape},
		"no such item":             {"a: [{}]\n", set("v", "a", "7", "b"), yamledit.ErrShape},
		"no map":                   {"- a\n", set("v", "a"), yamledit.ErrSyntax},
		"no YAML":                  {"a: [\n", set("v", "a"), yamledit.ErrSyntax},
		"a key twice":              {"a: b\na: c\n", set("v", "a"), yamledit.ErrSyntax},
		"nothing":                  {"", set("v", "a"), yamledit.ErrSyntax},
		"no path":                  {"a: b\n", set("v"), yamledit.ErrShape},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := yamledit.Apply([]byte(c.in), []yamledit.Edit{c.edit})
			if !errors.Is(err, c.want) || got != nil {
				t.Errorf("got %q, %v", got, err)
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
}

func TestALineIsFoundForEachField(t *testing.T) {
	t.Parallel()
	lines := yamledit.NewLines([]byte(odd), 10)
	for want, path := range map[int][]string{
		11: {"kind"}, 14: {"spec"}, 18: {"spec", "encryptedData", "password"}, 27: {"spec", "template", "metadata", "labels"}, 31: {"spec", "list", "1"},
	} {
		if got := lines.Of(path...); got != want {
			t.Errorf("%v: line %d, want %d", path, got, want)
		}
	}
	if got := yamledit.NewLines([]byte("["), 10).Of("a"); got != 10 {
		t.Errorf("a text that cannot be read: line %d", got)
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
