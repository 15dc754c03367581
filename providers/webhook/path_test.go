package webhook

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/theory/jsonpath"

	"github.com/sealbridge/sealbridge/internal/property"
)

func decoded(t testing.TB, text string) any {
	t.Helper()
	var v any
	if !property.Decode([]byte(text), &v) {
		t.Fatalf("%.100q is no JSON", text)
	}
	return v
}

func TestAPathThatCostsTooMuchIsRefused(t *testing.T) {
	t.Parallel()
	wide := "[" + strings.Repeat("[0,0,0,0,0,0,0,0,0,0],", 20_000) + "0]"
	deep := strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000)
	for path, doc := range map[string]string{
		"$" + strings.Repeat("[*,*]", 9):            deep,
		"$..*..*..*":                                wide,
		"$[?$..x]":                                  wide,
		"$..[*,*,*]..[*,*,*]":                       deep,
		"$[?@[?@[?@[?@.a]]]]":                       wide,
		"$[*,*,*,*,*,*,*,*,*][?@.a]":                wide, // what a filter finds not is looked at, too
		"$['" + strings.Repeat("a", 5_000) + "']":   wide,
		"$..[?@..x]..y":                             wide,
		`$["\n"]..*..*..*`:                          deep, // what is escaped hides nothing behind it
		"$['" + strings.Repeat("a", 4_092) + "']":   wide,
		`$[?match(@.a, @.b)]`:                       `[{"a":"x"}]`, // an expression that is not there, or anything
		`$[?search(@["a"], value(@..b))]`:           `[{"a":"x","b":"x"}]`,
		`$[?search(value(@["a,\"", "b"]), @.c)]`:    `[{"a":"x"}]`,
		`$[?search(@, "(?:.?){999}(?:.?){999}€")]`:  `["` + strings.Repeat("a", 100_000) + `"]`,
		`$[?@[?search(@.a, "(?:.?){999}€")]]`:       `[[{"a":"` + strings.Repeat("a", 100_000) + `"}]]`,
		`$[?match(@, "x") || search(@, "y{1000}")]`: "[" + strings.Repeat(`"z",`, 10_000) + `"z"]`,
	} {
		if _, err := follow(path, decoded(t, doc)); !errors.Is(err, errComplex) {
			t.Errorf("%.40s: %v", path, err)
		}
	}
	// As much as is allowed.
	for _, path := range []string{"$['" + strings.Repeat("a", 4_091) + "']", "$..a..b", "$[0,1,2,3,4,5,6,7,8]", "$[?@[?@[?@.a]]]"} {
		if _, err := follow(path, decoded(t, "[0]")); errors.Is(err, errComplex) {
			t.Errorf("%.40s: %v", path, err)
		}
	}
	// A few expressions are found, in quotes of either kind, and what looks like a call in a name or an expression is none.
	for path, want := range map[string]any{
		`$[?match(@.name, 'a.*')].v`:               []any{json.Number("1"), json.Number("3")},
		`$[?search(@.name, "\"|b")].v`:             []any{json.Number("2"), json.Number("3")},
		`$[?search(value(@['name', 'n']), "b")].v`: []any{json.Number("2"), json.Number("3")},
		`$[?!match(@["name"], "[^,]*\\(, x")].v`:   []any{json.Number("1"), json.Number("2"), json.Number("3")},
		`$[?search(@.name, "(")].v`:                []any{},
		`$[?@.name == "match(@.a, @.b)"].v`:        []any{},
	} {
		got, err := follow(path, decoded(t, `[{"name":"a","v":1},{"name":"b","v":2},{"name":"abc","v":3}]`))
		if list, ok := got.([]any); err != nil || !ok || len(list) != len(want.([]any)) || len(list) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	// What a quoted name holds is not counted.
	got, err := follow(`$['a$,?..$,?..$,,,,,,,,,,']["\",,,,,,,,,,"]`, decoded(t, `{"a$,?..$,?..$,,,,,,,,,,":{"\",,,,,,,,,,":"v"}}`))
	if err != nil || got != "v" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAPathTakesTwoMillionStepsAndNoMore(t *testing.T) {
	t.Parallel()
	parsed, err := jsonpath.Parse("$[*]")
	if err != nil {
		t.Fatal(err)
	}
	for taken, want := range map[int]error{1_999_998: nil, 1_999_999: errComplex} { // one for the selector, and one for what it finds
		w := walk{steps: taken}
		if _, err := w.segment([]any{[]any{"v"}}, parsed.Query().Segments()[0]); !errors.Is(err, want) {
			t.Errorf("after %d steps: %v", taken, err)
		}
	}
}

func TestSeveralPartsHaveOneOrder(t *testing.T) {
	t.Parallel()
	doc := decoded(t, `{"z":{"v":1},"a":[{"v":2},{"v":3,"w":{"v":4}}],"m":{"v":5}}`)
	var first any
	for range 50 {
		got, err := follow("$..v", doc)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
		}
		if !reflect.DeepEqual(first, got) {
			t.Fatalf("%v, then %v", first, got)
		}
	}
	if want := []any{json.Number("2"), json.Number("3"), json.Number("4"), json.Number("5"), json.Number("1")}; !reflect.DeepEqual(first, want) {
		t.Errorf("got %v, want %v", first, want)
	}
}

// FuzzAPathFindsOrRefuses: whatever path and answer meet, the result comes from the answer or is one of three errors, twice the
// same, and a value of it is valid when it is JSON.
func FuzzAPathFindsOrRefuses(f *testing.F) {
	answers := []string{
		`{"a":{"b":[1,2.50,"x",null,true]},"n":9007199254740993,"s":"{\"k\":\"v\"}"}`, `[[["deep"]],{"name":"a","v":1e3}]`, `"text"`, `null`, `0`, `{}`, `[]`,
	}
	f.Add("$.p.{{p}}", `{"p":{"k":"v"}}`, "k")
	for _, path := range []string{
		"$", "$.a.b[0]", "$.a.b[-1]", "$.a.b[1:3]", "$..*", "$.a['b'][*]", `$[?(@.name=="a")].v`, "$[?@.v > 2 && @.name]", "$[?match(@.name,'a.*')]", "$[?search(@.name,@.v)]", `$[?!search(value(@..name),"(a|\"){9}")]`, "$[?length(@.a)==1]",
		"$[?count(@..*)>1]", "$.s", "$.n", "a", "", "$[", "$.a.b[99999999999999999999]", "$['\\u0061']", "$[?@.a=='$']", "$[::0]", "$[::-1]", "$\x00", "$.ä",
	} {
		for _, answer := range answers {
			f.Add(path, answer, "p")
		}
	}
	f.Fuzz(func(t *testing.T, path, answer, prop string) {
		if len(answer) > 1<<16 || strings.Count(answer, ",")+strings.Count(answer, "[")+strings.Count(answer, "{") > 5_000 {
			return
		}
		doc := document{name: "doc", body: []byte(answer), path: func(p string) (string, error) { return strings.ReplaceAll(path, "{{p}}", p), nil }}
		first, err := doc.Value(prop)
		second, again := doc.Value(prop)
		if (err == nil) != (again == nil) || string(first.Bytes()) != string(second.Bytes()) {
			t.Errorf("two results for %q in %q", path, answer)
		}
		if err != nil && first.Len() > 0 {
			t.Error("a value and an error")
		}
		fields, err := doc.Fields(prop)
		if err != nil && fields != nil {
			t.Error("fields and an error")
		}
		if root := any(nil); property.Decode([]byte(answer), &root) {
			if _, err := follow(path, root); err != nil && !errors.Is(err, errNothing) && !errors.Is(err, errPath) && !errors.Is(err, errComplex) {
				t.Errorf("an error of no kind: %v", err)
			}
		}
	})
}
