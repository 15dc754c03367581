package rewrite_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/rewrite"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/providers"
)

const canary = "canary-9c31"

type names = map[string]string

func re(source, target string) esv1.Rewrite {
	return esv1.Rewrite{Regexp: &esv1.RewriteRegexp{Source: source, Target: target}}
}

func tpl(text string) esv1.Rewrite {
	return esv1.Rewrite{Transform: &esv1.RewriteTransform{Template: text}}
}

func merge(change func(*esv1.RewriteMerge)) esv1.Rewrite {
	m := &esv1.RewriteMerge{}
	if change != nil {
		change(m)
	}
	return esv1.Rewrite{Merge: m}
}

func ignore(m *esv1.RewriteMerge) { m.ConflictPolicy = esv1.MergeConflictIgnore }

func apply(ctx context.Context, rules []esv1.Rewrite, in names) (names, error) {
	compiled, err := rewrite.Compile(rules)
	if err != nil {
		return nil, err
	}
	values := map[string][]byte{}
	for k, v := range in {
		values[k] = []byte(v)
	}
	out, err := compiled.Apply(ctx, template.New(template.Options{MissingKey: template.MissingKeyNoValue}), values)
	for k, v := range values {
		if in[k] != string(v) || len(values) != len(in) {
			return nil, fmt.Errorf("the values that were passed in were changed")
		}
	}
	if err != nil {
		return nil, err
	}
	got := names{}
	for k, v := range out {
		got[k] = string(v)
	}
	return got, nil
}

func TestNamesAreRewrittenByTheRulesInOrder(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rules    []esv1.Rewrite
		in, want names
	}{
		"no rules":                             {in: names{"a/b": "1"}, want: names{"a/b": "1"}},
		"a path is cut off":                    {[]esv1.Rewrite{re("path/to/my/secrets/(.*)", "$1")}, names{"path/to/my/secrets/username": "u", "path/to/my/secrets/password": "p"}, names{"username": "u", "password": "p"}},
		"a prefix is added":                    {[]esv1.Rewrite{re("(.*)", "dev_$1")}, names{"password": "1"}, names{"dev_password": "1"}},
		"what cannot be in a key is replaced":  {[]esv1.Rewrite{re("[^a-zA-Z0-9 -]", "_")}, names{"foo/bar": "1", "foo$baz": "2"}, names{"foo_bar": "1", "foo_baz": "2"}},
		"a name that does not match stays":     {[]esv1.Rewrite{re("^x$", "y")}, names{"a": "1", "x": "2"}, names{"a": "1", "y": "2"}},
		"each match is replaced":               {[]esv1.Rewrite{re("a", "b")}, names{"banana": "1"}, names{"bbnbnb": "1"}},
		"groups have names":                    {[]esv1.Rewrite{re(`(?P<first>\w+)/(?P<last>\w+)`, "${last}_$first")}, names{"a/b": "1"}, names{"b_a": "1"}},
		"a group is followed by a letter":      {[]esv1.Rewrite{re(`(\w+)/(\w+)`, "${2}x${1}")}, names{"a/b": "1"}, names{"bxa": "1"}},
		"letters of any case":                  {[]esv1.Rewrite{re("(?i)PASS", "word")}, names{"pass": "1"}, names{"word": "1"}},
		"a name that becomes empty is dropped": {[]esv1.Rewrite{re("^internal.*", "")}, names{"internal-a": "1", "internal-b": "2", "c": "3"}, names{"c": "3"}},
		"a name that was empty has another":    {[]esv1.Rewrite{re("^app-?", ""), re("^$", "main")}, names{"app": "1", "app-x": "2"}, names{"main": "1", "x": "2"}},
		"of two that are empty neither has":    {[]esv1.Rewrite{re("^app.*", ""), re("^$", "main")}, names{"app": "1", "app-x": "2", "b": "3"}, names{"b": "3"}},
		"a template may ask for other keys":    {[]esv1.Rewrite{tpl(`{{ .prefix | default "p_" }}{{ .value }}{{ if .suffix }}_s{{ end }}`)}, names{"a": "1"}, names{"p_a": "1"}},
		"the next rule sees the result":        {[]esv1.Rewrite{re("^a", "b"), re("^b", "c"), tpl("{{ .value | upper }}")}, names{"a1": "1"}, names{"C1": "1"}},
		"a template sees the name":             {[]esv1.Rewrite{tpl(`secret_{{ .value | replace "/" "." | lower }}`)}, names{"A/B": "1"}, names{"secret_a.b": "1"}},
		"a template drops by an empty result":  {[]esv1.Rewrite{tpl(`{{ if hasPrefix "x" .value }}{{ .value }}{{ end }}`)}, names{"a": "1", "b": "2", "x": "3"}, names{"x": "3"}},
		"names may swap":                       {[]esv1.Rewrite{tpl(`{{ ternary "b" "a" (eq .value "a") }}`)}, names{"a": "1", "b": "2"}, names{"b": "1", "a": "2"}},
		"values are not looked at":             {[]esv1.Rewrite{re("x", "y")}, names{"a": "x\x00\xff"}, names{"a": "x\x00\xff"}},
		"an empty name is left out":            {nil, names{"": "1", "a": "2"}, names{"a": "2"}},
		"nothing":                              {[]esv1.Rewrite{re("x", "y"), tpl("{{ .value }}"), merge(nil)}, names{}, names{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := apply(t.Context(), tc.rules, tc.in)
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestValuesAreMergedByPriority(t *testing.T) {
	t.Parallel()
	two := names{"a": `{"host":"h","port":1}`, "b": `{"host":"other","user":"u"}`}
	for name, tc := range map[string]struct {
		rule     func(*esv1.RewriteMerge)
		in, want names
	}{
		"fields become keys and what they came from goes": {nil, names{"a": `{"x":"1"}`, "b": `{"y":"2"}`}, names{"x": "1", "y": "2"}},
		"the later name wins":                             {ignore, two, names{"host": "other", "port": "1", "user": "u"}},
		"priority comes last and wins": {func(m *esv1.RewriteMerge) {
			ignore(m)
			m.Priority = []string{"a"}
		}, two, names{"host": "h", "port": "1", "user": "u"}},
		"priority has an order": {func(m *esv1.RewriteMerge) {
			ignore(m)
			m.Priority = []string{"b", "a"}
		}, two, names{"host": "h", "port": "1", "user": "u"}},
		"a name of priority that is missing may be ignored": {func(m *esv1.RewriteMerge) {
			m.Priority, m.PriorityPolicy = []string{"nowhere", "a"}, esv1.MergePriorityIgnoreNotFound
		}, names{"a": `{"x":"1"}`}, names{"x": "1"}},
		"values are spelled as in extract": {nil, names{"a": `{"s":"<x>","n":1.50,"e":1e3,"big":9007199254740993,"t":true,"z":null,"o":{"b":1,"a":"<"},"l":[1, "a"],"":"dropped"}`},
			names{"s": "<x>", "n": "1.5", "e": "1000", "big": "9007199254740993", "t": "true", "z": "", "o": `{"a":"\u003c","b":1}`, "l": `[1,"a"]`}},
		"JSON makes one key beside the others": {func(m *esv1.RewriteMerge) {
			ignore(m)
			m.Strategy, m.Into = esv1.MergeJSON, "all"
		}, two, names{"a": two["a"], "b": two["b"], "all": `{"host":"other","port":1,"user":"u"}`}},
		"JSON replaces the key that it names": {func(m *esv1.RewriteMerge) { m.Strategy, m.Into = esv1.MergeJSON, "a" },
			names{"a": `{ "z":"<&>", "b":9007199254740993 }`}, names{"a": `{"b":9007199254740993,"z":"<&>"}`}},
		"null has no fields":                 {nil, names{"a": `{"x":"1"}`, "b": " null\n"}, names{"x": "1"}},
		"JSON of nothing is an empty object": {func(m *esv1.RewriteMerge) { m.Strategy, m.Into = esv1.MergeJSON, "a" }, names{}, names{"a": `{}`}},
		"into has no meaning for Extract":    {func(m *esv1.RewriteMerge) { m.Into = "x" }, names{"a": `{"b":"1"}`}, names{"b": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 20 { // the order of maps must not matter
				got, err := apply(t.Context(), []esv1.Rewrite{merge(tc.rule)}, tc.in)
				if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
					t.Fatalf("%v\n%s", err, diff)
				}
			}
		})
	}
}

func TestARuleThatCannotBeAppliedIsNamedAndNoValueIs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rules []esv1.Rewrite
		in    names
		says  string
	}{
		"two names become one by regexp":     {[]esv1.Rewrite{re("x", "y"), re("[ab]", "c")}, names{"a": canary, "b": canary, "d": "1"}, `rewrite[1]: regexp: fields "a" and "b" both become key "c"`},
		"two names become one by a template": {[]esv1.Rewrite{tpl("same")}, names{"b": canary, "a": canary}, `rewrite[0]: transform: fields "a" and "b" both become key "same"`},
		"a renamed name meets one that stayed": {[]esv1.Rewrite{re("^a$", "b")}, names{"a": canary, "b": canary},
			`fields "a" and "b" both become key "b"`},
		"no expression":                    {[]esv1.Rewrite{re("(", "")}, names{}, "rewrite[0]: regexp: source is not a regular expression (RE2 syntax)"},
		"a lookahead":                      {[]esv1.Rewrite{re("a(?=b)", "")}, names{}, "RE2"},
		"repeated too often":               {[]esv1.Rewrite{re("((a{100}){100}){100}", "")}, names{}, "RE2"},
		"an expression too long":           {[]esv1.Rewrite{re(strings.Repeat("a", 1025), "")}, names{}, "1024 bytes"},
		"a target too long":                {[]esv1.Rewrite{re("a", strings.Repeat("a", 1025))}, names{}, "1024 bytes"},
		"an expression too complex":        {[]esv1.Rewrite{re(strings.Repeat(`(\pL{1000})`, 5), "")}, names{}, "its repetitions make 10006 instructions, 10000 are allowed"},
		"a word repeated":                  {[]esv1.Rewrite{re("("+strings.Repeat("a", 100)+"){100}", "")}, names{}, "10300 instructions, 10000 are allowed"},
		"too much for so many bytes":       {[]esv1.Rewrite{re(strings.Repeat(`\pL{999}?`, 4), "")}, names{"a": "1", strings.Repeat("b", 100_000): "1"}, "too complex for 100003 bytes of names"},
		"rules that are too much together": {[]esv1.Rewrite{re(`\pL{999}?`, "x"), re(`\pL{999}?`, "x"), re(`\pL{999}?`, "x"), re(`\pL{999}?`, "x")}, many(), "rewrite[3]: regexp: source is too complex"},
		"a name that grows":                {[]esv1.Rewrite{re("", strings.Repeat("x", 1000)), re("", strings.Repeat("x", 1000))}, names{"a": "1"}, "rewrite[1]: regexp: name "},
		"a name too long":                  {[]esv1.Rewrite{tpl("{{ .value }}")}, names{strings.Repeat("a", 4097): canary}, `transform: name "` + strings.Repeat("a", 80) + `"... has 4097 bytes, 4096 are allowed`},
		"a name that a template grows":     {[]esv1.Rewrite{tpl("{{ repeat 4097 .value }}")}, names{"a": canary}, "has 4097 bytes, 4096 are allowed"},
		"too many rules":                   {make([]esv1.Rewrite, 101), names{}, "rewrite has 101 rules, 100 are allowed"},
		"an empty rule":                    {[]esv1.Rewrite{re("a", "b"), {}}, names{}, "rewrite[1]: is empty"},
		"a template that is none":          {[]esv1.Rewrite{tpl("{{ .value ")}, names{"a": canary}, `rewrite[0]: transform: field "a": template "transform.template"`},
		"a template that fails":            {[]esv1.Rewrite{tpl("{{ fail .value }}")}, names{"a": canary}, "called fail"},
		"a template that runs on":          {[]esv1.Rewrite{tpl("{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}")}, names{"a": canary}, `field "a": template "transform.template"`},
		"a template that reaches out": {[]esv1.Rewrite{tpl(`{{ env "HOME" }}`)}, names{"a": canary},
			`function "env" does not exist or is not allowed`},
		"a value that is no object": {[]esv1.Rewrite{merge(nil)}, names{"a": `{"x":1}`, "b": canary}, `rewrite[0]: merge: the value of field "b" is not a JSON object`},
		"a value that is a list":    {[]esv1.Rewrite{merge(nil)}, names{"b": `["` + canary + `"]`}, `field "b" is not a JSON object`},
		"a value that is cut off":   {[]esv1.Rewrite{merge(nil)}, names{"b": `{"a":"` + canary}, `field "b" is not a JSON object`},
		"two values with one field": {[]esv1.Rewrite{merge(nil)}, names{"a": `{"x":"` + canary + `"}`, "b": `{"x":"` + canary + `"}`}, `merge: more than one value has "x": set conflictPolicy Ignore`},
		"many fields in two values": {[]esv1.Rewrite{merge(nil)}, names{"a": `{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1}`, "b": `{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1}`}, `"1", "2", "3", "4", "5" and 2 more fields`},
		"priority that decides does not allow a conflict": {[]esv1.Rewrite{merge(func(m *esv1.RewriteMerge) { m.Priority = []string{"a", "b"} })},
			names{"a": `{"x":1}`, "b": `{"x":2}`}, `more than one value has "x"`},
		"a name of priority that is missing": {[]esv1.Rewrite{merge(func(m *esv1.RewriteMerge) { m.Priority = []string{"nowhere"} })},
			names{"a": `{"x":1}`}, `there is no field "nowhere", which priority names`},
		"JSON into nowhere":     {[]esv1.Rewrite{merge(func(m *esv1.RewriteMerge) { m.Strategy = esv1.MergeJSON })}, names{}, "rewrite[0]: merge: strategy JSON needs into"},
		"no such strategy":      {[]esv1.Rewrite{merge(func(m *esv1.RewriteMerge) { m.Strategy = "x" })}, names{}, `there is no strategy "x"`},
		"more than can be kept": {[]esv1.Rewrite{re("x", "y")}, names{"a": strings.Repeat(canary, 2<<20)}, "the result is larger than 16777216 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var first string
			for range 3 { // the order of maps must not matter
				_, err := apply(t.Context(), tc.rules, tc.in)
				if err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), canary) {
					t.Fatalf("error %v, want one with %q and without a value", err, tc.says)
				}
				if first == "" {
					first = err.Error()
				}
				if text := err.Error(); text != first || len(text) > 2000 {
					t.Fatalf("the error is not stable or has no bound: %q, %q", first, text)
				}
				if fault := new(template.Error); !errors.Is(err, providers.ErrInvalid) && !errors.As(err, &fault) {
					t.Errorf("error %v has no class", err)
				}
			}
		})
	}
}

func TestWhatTheLimitsAllowIsRewritten(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", 1024)
	for name, tc := range map[string]struct {
		rules    []esv1.Rewrite
		in, want names
	}{
		"100 rules":                  {slices.Repeat([]esv1.Rewrite{re("^", "b")}, 100), names{"a": "1"}, names{strings.Repeat("b", 100) + "a": "1"}},
		"1024 bytes each":            {[]esv1.Rewrite{re(longest, strings.Repeat("b", 1024))}, names{longest: "1"}, names{strings.Repeat("b", 1024): "1"}},
		"names of 4096 bytes":        {[]esv1.Rewrite{re("x", "y"), tpl("{{ .value }}")}, names{strings.Repeat("a", 4096): "1"}, names{strings.Repeat("a", 4096): "1"}},
		"16 MiB of names and values": {[]esv1.Rewrite{re("a", "b")}, names{"a": strings.Repeat("v", 16<<20-1)}, names{"b": strings.Repeat("v", 16<<20-1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := apply(t.Context(), tc.rules, tc.in); err != nil || !maps.Equal(got, tc.want) {
				t.Errorf("%d names, %v", len(got), err)
			}
		})
	}
	for name, in := range map[string]names{"a longer value": {"a": strings.Repeat(canary, 2<<20)[:16<<20]}, "a longer name": {strings.Repeat("a", 4097): ""}} {
		if _, err := apply(t.Context(), []esv1.Rewrite{re("x", "y")}, in); !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("%s is taken: %v", name, err)
		}
	}
}

// many are names of 40 000 bytes together.
func many() names {
	out := names{}
	for i := range 100 {
		out[fmt.Sprintf("%0400d", i)] = ""
	}
	return out
}

func TestNobodyWaitsForNamesAfterTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, rule := range []esv1.Rewrite{re("a", "b"), tpl("{{ .value }}"), merge(nil)} {
		if _, err := apply(ctx, []esv1.Rewrite{rule}, names{"a": `{"b":1}`}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v after the context has ended", err)
		}
	}
}

func FuzzRules(f *testing.F) {
	for _, seed := range [][6]string{
		{"a", "b", "{{ .value }}", "into", "a/b", `{"x":1}`}, {"(.*)/(.*)", "$2", "x-{{ .value | upper }}", "", "p/q", `{"x":{"y":[1,2]}}`},
		{"", "", "", "a", "", ""}, {"(", "$", "{{", "\x00", "\xff", `{"a":1e999}`}, {"(?P<n>.)", "${n}${m}$$", "{{ range until 9 }}{{ . }}{{ end }}", "n", "ü", `{"":""}`},
		{`(\pL{9}){9}`, "$0$0$0", `{{ repeat 99 .value }}`, "a", "aaaaaaaaa", `[{}]`}, {"^$", "x", "{{ fail .value }}", "b", "", `{"a":null}`}, {"a|", "", "same", "x", "aba", `{"<":"&"}`},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4], seed[5])
	}
	f.Fuzz(func(t *testing.T, source, target, text, into, name, value string) {
		in := names{name: value, name + "/2": `{"k":"` + canary + `"}`, "third": value}
		mergeInto := merge(func(m *esv1.RewriteMerge) {
			ignore(m)
			m.Strategy, m.Into, m.Priority, m.PriorityPolicy = esv1.MergeJSON, into, []string{name}, esv1.MergePriorityIgnoreNotFound
		})
		for _, rules := range [][]esv1.Rewrite{{re(source, target)}, {tpl(text)}, {merge(ignore)}, {mergeInto}, {re(source, target), mergeInto, tpl(text), merge(ignore)}} {
			got, err := apply(t.Context(), rules, in)
			if err != nil {
				if strings.Contains(err.Error(), canary) && !strings.Contains(source+target+text+into+name, canary) {
					t.Errorf("the error shows a value: %v", err)
				}
				continue
			}
			if _, ok := got[""]; ok {
				t.Error("an empty name is left")
			}
			if len(rules) == 1 && rules[0].Merge == nil && len(got) > len(in) {
				t.Errorf("%d names became %d", len(in), len(got))
			}
			if strings.Contains(text, "{{") && rules[len(rules)-1].Regexp == nil {
				continue // a template may be random
			}
			if again, err := apply(t.Context(), rules, in); err != nil || !cmp.Equal(got, again) {
				t.Errorf("the same rules give another result: %v", err)
			}
		}
	})
}
