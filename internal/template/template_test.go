package template_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	gotemplate "text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/test/harness/effort"
)

const canary = "canary-7f3e9a51"

func secrets() map[string]string {
	return map[string]string{"user": "app", "password": canary, "n": "3", "json": `{"a":{"b":[1,2]}}`, "long.name": "x"}
}

// render renders a text, which has the time of a machine that is far too busy where nothing is said of time.
func render(t *testing.T, opts template.Options, text string) (string, error) {
	t.Helper()
	if opts.MaxTime == 0 {
		opts.MaxTime = 10 * time.Minute
	}
	out, err := template.New(opts).Render(t.Context(), "key", text, secrets())
	if err != nil && strings.Contains(err.Error(), canary) {
		t.Errorf("the error quotes a value: %v", err)
	}
	return string(out), err
}

func TestTemplatesPrintWhatTextTemplateAndSprigPrint(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"plain text":               "a\nb",
		"nothing":                  "",
		"a value":                  "postgres://{{ .user }}:{{ .password }}@host",
		"a value with a dash":      `{{ index . "long.name" }}`,
		"pipelines":                "{{ .password | upper | quote | b64enc }}",
		"conditions":               "{{ if eq .user `app` }}yes{{ else if .n }}n{{ else }}no{{ end }}",
		"and, or, not":             "{{ and .user .n }}{{ or `` .n }}{{ not .user }}",
		"loops":                    "{{ range $i, $e := list 1 2 3 }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ $e }},{{ end }}",
		"loops with break":         "{{ range until 5 }}{{ if gt . 2 }}{{ break }}{{ end }}{{ . }}{{ end }}",
		"loops over a map":         "{{ range $k, $v := . }}{{ $k }}={{ len $v }};{{ else }}none{{ end }}",
		"loops over a number":      "{{ range 3 }}{{ . }}{{ end }}",
		"an empty loop":            "{{ range list }}x{{ else }}none{{ end }}",
		"with":                     "{{ with .user }}{{ . }}{{ else }}none{{ end }}",
		"variables":                "{{ $x := 1 }}{{ range until 3 }}{{ $x = add $x . }}{{ end }}{{ $x }}",
		"definitions":              `{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" .user }}{{ block "b" 1 }}{{ . }}{{ end }}`,
		"recursion":                `{{ define "t" }}{{ if . }}{{ . }}{{ template "t" (sub . 1) }}{{ end }}{{ end }}{{ template "t" 9 }}`,
		"parentheses":              `{{ ((printf "%s-%d" (.user | upper) (atoi .n)) | quote) }}`,
		"documents":                `{{ (fromJson .json).a.b | toJson }}{{ .json | fromJson | toPrettyJson }}`,
		"fields of results":        `{{ (dict "a" (dict "b" 1)).a.b }}`,
		"methods of times":         `{{ (toDate "2006-01-02" "2026-01-02").Year }}`,
		"containers":               `{{ list 1 "a" nil true 1.5 }}{{ dict "a" 1 }}`,
		"nothing from a function":  `{{ get (dict) "a" }}|{{ first (list) }}`,
		"regular expressions":      `{{ regexReplaceAll "a(p+)" .user "[$1]" }}{{ regexFindAll "p" .user -1 }}{{ regexMatch "^a" .user }}`,
		"splits":                   `{{ (split "." "a.b")._1 }}{{ splitList "," "a,b" | join "+" }}{{ (splitn "." 2 "a.b.c")._1 }}`,
		"numbers":                  `{{ untilStep 0 10 3 }}{{ seq 1 2 7 }}{{ seq 5 }}{{ until -3 }}{{ round 3.14159 2 }}{{ addf 1.5 2 }}`,
		"indentation":              "{{ `a\nb` | indent 2 }}{{ `a\nb` | nindent 4 }}{{ repeat 3 `ab` }}{{ wrapWith 2 `|` `abcdef` }}",
		"formats":                  `{{ printf "%05d|%-10s|%x" 42 .user .user }}{{ print 1 2 "a" }}{{ println "x" }}{{ html "<a>" }}{{ js "'" }}{{ urlquery "a b" }}`,
		"trimmed white space":      "a  {{- .user -}}  b",
		"comments":                 "{{/* no */}}a",
		"digests":                  `{{ sha256sum .password }}{{ adler32sum "a" }}`,
		"lists":                    `{{ uniq (list 1 1 2) }}{{ without (list 1 2) 1 }}{{ reverse (list 1 2) }}{{ concat (list 1) (list 2) }}{{ slice (list 1 2 3) 1 }}`,
		"dictionaries":             `{{ $d := dict "a" 1 }}{{ $_ := set $d "b" 2 }}{{ $d }}{{ keys $d | sortAlpha }}{{ merge $d (dict "c" 3) }}`,
		"a number that is missing": `{{ default "d" "" }}{{ coalesce "" "c" }}{{ ternary "a" "b" true }}`,
		"versions":                 `{{ semverCompare ">=1.0.0" "1.2.3" }}{{ (semver "1.2.3").Major }}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain, err := gotemplate.New("key").Funcs(sprig.TxtFuncMap()).Option("missingkey=error").Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			var want bytes.Buffer
			if err := plain.Execute(&want, secrets()); err != nil {
				t.Fatal(err)
			}
			got, err := render(t, template.Options{}, text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.String(), got); diff != "" {
				t.Errorf("-text/template +ours:\n%s", diff)
			}
		})
	}
}

func TestAKeyThatIsMissingIsAnErrorOrNoValue(t *testing.T) {
	t.Parallel()
	_, err := render(t, template.Options{}, "a\n{{ .host }}")
	var fault *template.Error
	if !errors.As(err, &fault) || fault.Kind != template.KindMissingKey || fault.Name != "host" || fault.Line != 2 {
		t.Errorf("got %#v", err)
	}
	if want := `template "key" at line 2, column 3: there is no key "host"`; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	out, err := render(t, template.Options{MissingKey: template.MissingKeyNoValue}, "{{ .host }}|{{ .host | quote }}")
	if err != nil || out != "<no value>|" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestYAMLFunctionsReadAndWrite(t *testing.T) {
	t.Parallel()
	out, err := render(t, template.Options{}, `{{ (fromYaml "a: {b: [1, x]}").a | toYaml }}!`)
	if want := "b:\n- 1\n- x!"; err != nil || out != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

func TestFunctionsThatReachOutDoNotExist(t *testing.T) {
	t.Parallel()
	for _, call := range []string{
		`env "HOME"`, `expandenv "$HOME"`, `getHostByName "x.example.com"`, // CVE-2026-34984
		`getSecretKey "ns" "name" "key"`,        // CVE-2026-22822
		`_step`, `_enter`, `_leave`, `_print 1`, // our own probes
	} {
		_, err := render(t, template.Options{}, "{{ "+call+" }}")
		var fault *template.Error
		name, _, _ := strings.Cut(call, " ")
		if !errors.As(err, &fault) || fault.Kind != template.KindUnknownFunction || fault.Name != name {
			t.Errorf("%s: got %v", call, err)
		}
	}
}

func TestTheFunctionsOfSprigAreKnownOneByOne(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("testdata/functions.txt")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range sprig.GenericFuncMap() {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff(strings.Fields(string(golden)), names); diff != "" {
		t.Errorf("sprig has changed; look at each new function for what it reaches and how large its result can "+
			"be before it is added to testdata/functions.txt:\n%s", diff)
	}
}

func TestAFaultOfSyntaxOrEvaluationSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	const syntax, evaluation = "the syntax is wrong: ", "an expression cannot be evaluated: "
	for text, want := range map[string]string{
		`{{ .password`:       `line 1: ` + syntax + `an action is not closed`,
		"\n{{ (.password }}": `line 2: ` + syntax + `a parenthesis is not closed`,
		`{{ .password) }}`:   `line 1: ` + syntax + `a parenthesis is closed that was not opened`,
		`{{/* .password }}`:  `line 1: ` + syntax + `a comment is not closed`,
		`{{/* a */ .host}}`:  `line 1: ` + syntax + `a comment is not closed`,
		`{{ "canary }}`:      `line 1: ` + syntax + `a quoted text is not closed`,
		"{{ `canary }}":      `line 1: ` + syntax + `a quoted text is not closed`,
		`{{ 'canary }}`:      `line 1: ` + syntax + `a quoted text is not closed`,
		`{{ if .password }}`: `line 1: ` + syntax + `an "if", "range", "with", "block" or "define" has no "end"`,
		`{{ end }}`:          `line 1: ` + syntax + `an "end" ends nothing`,
		`{{ else }}`:         `line 1: ` + syntax + `an "else" belongs to nothing`,
		`{{ if .password }}{{ else }}{{ else }}{{ end }}`: `line 1: ` + syntax + `an "else" belongs to nothing`,
		`{{ if }}{{ end }}`:     `line 1: ` + syntax + `an action or a parenthesis has no value`,
		`{{ $canary }}`:         `line 1: ` + syntax + `a variable is used that was not defined before`,
		`{{ .password | "a" }}`: `line 1: ` + syntax + `a "|" is followed by something else than a function`,
		`{{ .tls-crt }}`:        `line 1: ` + syntax + `a name is followed by a character that it cannot have; read a key such as a-b by index . "a-b"`,
		`{{ .1canary }}`:        `line 1: ` + syntax + `a number or name cannot be written so; read a key such as 1a by index . "1a"`,
		"{{ \x01 }}":            `line 1: ` + syntax + `an action has a character that means nothing there`,
		`{{ .a || .b }}`:        `line 1: ` + syntax + `an action has something that means nothing there`,
		`{{ break }}`:           `line 1: ` + syntax + `a "break" stands outside of "range"`,
		`{{ continue }}`:        `line 1: ` + syntax + `a "continue" stands outside of "range"`,

		`{{ .password.canary }}`:                   `line 1, column 12: ` + evaluation + `a field is read of a value that has none`,
		`{{ (fromJson "{\"a\":null}").a.canary }}`: `line 1, column 13: ` + evaluation + `a field is read of a value that is not there`,
		`{{ range .password }}{{ end }}`:           `line 1, column 9: ` + evaluation + `"range" is given a value that is no list, map or number`,
		`{{ template "canary" }}`:                  `line 1, column 12: ` + evaluation + `"template" calls one that is not defined`,
		`{{ repeat .password "a" }}`:               `line 1, column 10: ` + evaluation + `a function is given a value of another type than it takes`,
		`{{ repeat "canary" "a" }}`:                `line 1, column 10: ` + evaluation + `a function is given a value of another type than it takes`,
		`{{ lower 1 }}`:                            `line 1, column 9: ` + evaluation + `a function is given a value of another type than it takes`,
		`{{ ternary "a" "b" "canary" }}`:           `line 1, column 19: ` + evaluation + `a function is given a value of another type than it takes`,
		`{{ b64dec }}`:                             `line 1, column 3: ` + evaluation + `arguments of function "b64dec": 1 wanted, 0 given`,
		`{{ printf }}`:                             `line 1, column 3: ` + evaluation + `arguments of function "printf": at least 1 wanted, 0 given`,
		`{{ .password 1 }}`:                        `line 1, column 3: ` + evaluation + `a value is used as if it were a function`,
		`{{ "canary" 1 }}`:                         `line 1, column 3: ` + evaluation + `a value is used as if it were a function`,
		`{{ nil }}`:                                `line 1, column 3: ` + evaluation + `nil alone cannot be printed`,
		`{{ define "a" }}{{ .x.y }}{{ end }}{{ template "a" (dict "x" .password) }}`: `line 1, column 21: ` + evaluation + `a field is read of a value that has none`,
	} {
		if _, err := render(t, template.Options{}, text); err == nil || err.Error() != `template "key" at `+want {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestFailuresNeverShowAValue(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		kind template.Kind
		who  string
	}{
		"fail":                                     {`{{ fail .password }}`, template.KindFail, ""},
		"fail with a built text":                   {`{{ fail (printf "x%s" .password) }}`, template.KindFail, ""},
		"a parser's error":                         {`{{ mustFromJson .password }}`, template.KindFunction, "mustFromJson"},
		"a YAML parser's error":                    {`{{ fromYaml .password }}`, template.KindFunction, "fromYaml"},
		"a panic":                                  {`{{ urlParse (printf "%s://%%zz" .password) }}`, template.KindFunction, "urlParse"},
		"an expression's error":                    {`{{ mustRegexMatch (print "(" .password) "a" }}`, template.KindFunction, "mustRegexMatch"},
		"a panicking expression":                   {`{{ regexFind (print "(" .password) "a" }}`, template.KindFunction, "regexFind"},
		"an argument's type":                       {`{{ repeat .password "a" }}`, template.KindEvaluation, ""},
		"a field of a string":                      {`{{ .password.x }}`, template.KindEvaluation, ""},
		"an index out of range":                    {`{{ index .password 100 }}`, template.KindFunction, "index"},
		"a call of a string":                       {`{{ call .password }}`, template.KindFunction, "call"},
		"a template that is none":                  {`{{ template "nope" .password }}`, template.KindEvaluation, ""},
		"division by zero":                         {`{{ div 1 0 }}`, template.KindFunction, "div"},
		"wrong syntax":                             {`{{ if }}`, template.KindSyntax, ""},
		"not closed":                               {`{{ .password`, template.KindSyntax, ""},
		"in a definition":                          {`{{ define "a:1:1" }}{{ fail .password }}{{ end }}{{ template "a:1:1" . }}`, template.KindFail, ""},
		"a value that says it is a missing key":    {`{{ range (printf "x: map has no entry for key %q" .password) }}{{ end }}`, template.KindEvaluation, ""},
		"the same behind an expression's end":      {`{{ range (printf ">: map has no entry for key %q" .password) }}{{ end }}`, template.KindEvaluation, ""},
		"a value that says it is a function":       {`{{ range (printf ">: wrong number of args for %s: want 1 got 2" (trimPrefix "canary-" .password)) }}{{ end }}`, template.KindEvaluation, ""},
		"the same behind a name":                   {`{{ define ">: wrong number of args for " }}{{ range . }}{{ end }}{{ end }}{{ template ">: wrong number of args for " (printf "%s: want 1 got 2" (trimPrefix "canary-" .password)) }}`, template.KindEvaluation, ""},
		"a value that says that a function failed": {`{{ range (printf ">: error calling %s: " (trimPrefix "canary-" .password)) }}{{ end }}`, template.KindEvaluation, ""},
		"a key taken from a value":                 {`{{ (dict .password 1).nope.x }}`, template.KindMissingKey, "nope"},
		"a key that is missing after a function":   {`{{ $x := trim .password }}{{ $_ := set (dict) .password 1 }}{{ .host }}`, template.KindMissingKey, "host"},
		"an entry of no dictionary":                {`{{ set nil .password 1 }}`, template.KindFunction, "set"},
		"a long key":                               {`{{ .` + strings.Repeat("k", 253) + ` }}`, template.KindMissingKey, strings.Repeat("k", 253)},
		"a longer key":                             {`{{ .` + strings.Repeat("k", 254) + ` }}`, template.KindEvaluation, ""},
		"a long function":                          {`{{ ` + strings.Repeat("f", 64) + ` }}`, template.KindUnknownFunction, strings.Repeat("f", 64)},
		"a longer function":                        {`{{ ` + strings.Repeat("f", 65) + ` }}`, template.KindSyntax, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := render(t, template.Options{}, test.text)
			var fault *template.Error
			if !errors.As(err, &fault) {
				t.Fatalf("got %v", err)
			}
			if fault.Kind != test.kind || fault.Name != test.who || fault.Template != "key" {
				t.Errorf("got %+v", fault)
			}
			if strings.Contains(strings.Join([]string{fault.Name, fault.Detail, fault.Error()}, " "), strings.TrimPrefix(canary, "canary-")) {
				t.Errorf("the error quotes a value: %+v", fault)
			}
		})
	}
}

func TestAnErrorSaysWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{{ define `d` }}a\n {{ .nope }}{{ end }}{{ template `d` . }}": `template "key" at line 2, column 4: there is no key "nope"`,
		"{{ fail .user }}":       `template "key" at line 1, column 3: the template called fail (its message is withheld, it may hold a value)`,
		"{{ div 1 0 }}":          `template "key" at line 1, column 3: function "div" does not accept these arguments`,
		"{{ len 1 }}":            `template "key" at line 1, column 3: function "len" does not accept these arguments`,
		"{{ eq . . }}":           `template "key" at line 1, column 3: function "eq" does not accept these arguments`,
		"{{ ne . . }}":           `template "key" at line 1, column 3: function "ne" does not accept these arguments`,
		"{{ lt .user 1 }}":       `template "key" at line 1, column 3: function "lt" does not accept these arguments`,
		"{{ le .user 1 }}":       `template "key" at line 1, column 3: function "le" does not accept these arguments`,
		"{{ gt .user 1 }}":       `template "key" at line 1, column 3: function "gt" does not accept these arguments`,
		"{{ ge .user 1 }}":       `template "key" at line 1, column 3: function "ge" does not accept these arguments`,
		strings.Repeat("a", 101): `template "key": the template is too large; make several smaller ones of it`,
	} {
		if _, err := render(t, template.Options{MaxSource: 100}, text); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	if _, err := render(t, template.Options{MaxTime: time.Nanosecond}, "{{ trim .user }}"); err == nil || err.Error() != `template "key": it takes too long; loop over less, or make fewer keys and certificates in one object` {
		t.Errorf("got %v", err)
	}
}

func TestTemplatesThatGrowOrRunWithoutEndAreStopped(t *testing.T) {
	t.Parallel()
	deep := func(open, shut string) string { return strings.Repeat(open, 300) + "1" + strings.Repeat(shut, 300) }
	for name, text := range map[string]string{
		"a loop over a huge number":        `{{ range 9223372036854775807 }}{{ end }}`,
		"loops in loops without calls":     `{{ $l := until 60000 }}{{ range $l }}{{ range $l }}{{ range $l }}{{ end }}{{ end }}{{ end }}`,
		"a loop that assigns":              `{{ $x := 0 }}{{ range 9223372036854775807 }}{{ $x = . }}{{ end }}`,
		"a loop in an else":                `{{ range list }}{{ else }}{{ range 9223372036854775807 }}{{ end }}{{ end }}`,
		"a loop in a with":                 `{{ with 1 }}{{ if . }}{{ range 9223372036854775807 }}{{ end }}{{ end }}{{ end }}`,
		"a loop in a definition":           `{{ define "t" }}{{ range 9223372036854775807 }}{{ end }}{{ end }}{{ template "t" }}`,
		"a huge list":                      `{{ until 2147483647 }}`,
		"a huge list downwards":            `{{ until -2147483647 }}`,
		"a list whose counter overflows":   `{{ untilStep 0 9223372036854775807 4611686018427387904 }}`,
		"a huge sequence":                  `{{ seq 1 2147483647 }}`,
		"a sequence that overflows":        `{{ seq 0 4611686018427387904 9223372036854775807 }}`,
		"repeat":                           `{{ repeat 2147483647 "abc" }}`,
		"repeat of repeat":                 `{{ repeat 2000000 "a" | repeat 2000000 }}`,
		"a string that doubles":            `{{ $s := "x" }}{{ range until 64 }}{{ $s = print $s $s }}{{ end }}`,
		"a string that doubles by quoting": `{{ $s := "\\" }}{{ range until 64 }}{{ $s = quote $s }}{{ end }}`,
		"a list that doubles":              `{{ $s := list 1 }}{{ range until 64 }}{{ $s = concat $s $s }}{{ end }}`,
		"a list of itself":                 `{{ $s := list 1 }}{{ range until 64 }}{{ $s = list $s $s }}{{ end }}{{ toJson $s }}`,
		"a dictionary that grows":          `{{ $d := dict }}{{ range $i := until 60000 }}{{ range $j := until 60000 }}{{ $_ := set $d (print $i "-" $j) $d }}{{ end }}{{ end }}`,
		"a dictionary that grew":           `{{ $d := dict }}{{ range $i := until 60000 }}{{ $_ := set $d (print (repeat 50 "x") $i) $i }}{{ end }}{{ toJson $d }}`,
		"a dictionary inside itself":       `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}`,
		"a dictionary in its own child":    `{{ $a := dict }}{{ $b := dict "a" $a }}{{ $_ := set $a "b" $b }}{{ print $a }}`,
		"a container that grows inside":    `{{ $i := dict }}{{ $l := list }}{{ range until 1000 }}{{ $l = append $l $i }}{{ end }}{{ $_ := set $i "x" (repeat 1000000 "a") }}{{ $l }}`,
		"many large strings":               `{{ range until 1000 }}{{ $x := repeat 1000000 "a" }}{{ end }}`,
		"replacements that grow":           `{{ $a := repeat 10000 "a" }}{{ replace "a" $a $a }}`,
		"replacements of nothing":          `{{ $a := repeat 100000 "a" }}{{ replace "" $a $a }}`,
		"joins that grow":                  `{{ join (repeat 100000 "a") (until 10000) }}`,
		"wraps that grow":                  `{{ wrapWith 1 (repeat 10000 "x") (repeat 10000 "a") }}`,
		"indents that grow":                `{{ repeat 10000 "\n" | indent 10000 }}`,
		"new lines that grow":              `{{ repeat 10000 "\n" | nindent 10000 }}`,
		"formats that are wide":            `{{ printf "%999999d%999999d%999999d%999999d%999999d" 1 2 3 4 5 }}`,
		"formats that are as wide as said": `{{ printf "%*d%*d%*d%*d%*d%*d" 999999 1 999999 1 999999 1 999999 1 999999 1 999999 1 }}`,
		"formats that repeat":              `{{ printf (repeat 10000 "%[1]s") (repeat 10000 "a") }}`,
		"expressions that repeat":          `{{ regexReplaceAll "a" (repeat 10000 "a") (repeat 10000 "b") }}`,
		"expressions that refer":           `{{ regexReplaceAll ".*" (repeat 10000 "a") (repeat 10000 "$0") }}`,
		"expressions that are large":       `{{ regexMatch (repeat 500 "a{900}") (repeat 1000000 "a") }}`,
		"expressions that are long":        `{{ regexMatch (repeat 5000 "a") "a" }}`,
		"expressions that search again":    `{{ regexFindAll "(?s)a*b|a" (repeat 1000000 "a") -1 }}`,
		"splits into nothing":              `{{ split "" (repeat 1000000 "a") }}`,
		"lists of characters":              `{{ splitList "" (repeat 1000000 "a") }}`,
		"random strings":                   `{{ randAlphaNum 100000000 }}`,
		"random bytes":                     `{{ randBytes 100000000 }}`,
		"comparisons of each with each":    `{{ uniq (until 60000) }}`,
		"decimals":                         `{{ mulf ` + strings.Repeat("1e308 ", 1000) + `}}`,
		"versions":                         `{{ semver (repeat 1000000 "1") }}`,
		"documents that nest":              `{{ fromJson (print (repeat 5000 "[") (repeat 5000 "]")) }}`,
		"output that grows":                `{{ range until 1000 }}{{ repeat 10000 "a" }}{{ end }}`,
		"text that grows":                  `{{ range until 60000 }}` + strings.Repeat("a", 100) + `{{ end }}`,
		"recursion without end":            `{{ define "t" }}{{ template "t" }}{{ end }}{{ template "t" }}`,
		"recursion in two":                 `{{ define "t" }}{{ if . }}{{ template "t" (sub . 1) }}{{ template "t" (sub . 1) }}{{ end }}{{ end }}{{ template "t" 49 }}`,
		"recursion of the root":            `{{ template "\x00" }}`,
		"nested conditions":                deep("{{ if 1 }}", "{{ end }}"),
		"nested parentheses":               "{{ " + deep("(", ")") + " }}",
		"nested loops":                     deep("{{ range 1 }}", "{{ end }}"),
		"parentheses with fields":          "{{ " + deep("(", ").x") + " }}",
		"more actions than anybody needs":  strings.Repeat("{{ if 1 }}", 100_000),
		"more text than anybody needs":     strings.Repeat("a", template.DefaultMaxSource+1),
		"keys that cost time":              `{{ range until 10000 }}{{ $x := derivePassword 1 "long" "a" "b" "c" }}{{ end }}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var err error
			took := effort.Of(func() { _, err = render(t, template.Options{MaxTime: 3 * time.Second}, text) })
			var fault *template.Error
			if !errors.As(err, &fault) || fault.Kind != template.KindTimeout && (fault.Kind != template.KindLimit || fault.Detail == "") {
				t.Errorf("got %v", err)
			}
			if took > 60*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// What a loop grows is copied each time, so that the bound on memory is one on its rounds.
func TestALoopGrowsAsMuchAsIsPromised(t *testing.T) {
	t.Parallel()
	loop := func(begin string, rounds int, round string) string {
		return fmt.Sprintf("{{ $x := %s }}{{ range until %d }}%s{{ end }}{{ len $x }}", begin, rounds, round)
	}
	const object = `{{ $x = append $x (dict "name" "n" "value" "0123456789") }}`
	for name, tc := range map[string]struct {
		text, want string
	}{
		"a list of dictionaries":            {loop("list", 900, object), "900"},
		"a dictionary by merge":             {loop("dict", 1500, `{{ $x = merge $x (dict (toString .) .) }}`), "1500"},
		"a dictionary by set":               {loop("dict", 50_000, `{{ $_ := set $x (toString .) . }}`), "50000"},
		"a longer list than can be made so": {loop("list", 3000, object), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := render(t, template.Options{MaxTime: 10 * time.Minute}, tc.text)
			if tc.want != "" && (err != nil || got != tc.want) {
				t.Errorf("got %q, %v", got, err)
			}
			if tc.want == "" && (err == nil || !strings.HasSuffix(err.Error(), "it needs too much memory; in a loop, print what is made, or fill a dictionary with set, instead of growing something by append, merge or print")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLimitsHoldForAllTemplatesOfARenderer(t *testing.T) {
	t.Parallel()
	r := template.New(template.Options{MaxOutput: 100})
	if _, err := r.Render(t.Context(), "a", strings.Repeat("a", 60), nil); err != nil {
		t.Fatal(err)
	}
	_, err := r.Render(t.Context(), "b", strings.Repeat("b", 60), nil)
	if want := `template "b": it prints too much; leave out what is not needed, or make several objects of it`; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := r.Render(t.Context(), "c", strings.Repeat("c", 40), nil); err != nil {
		t.Errorf("a failed template used up the room: %v", err)
	}

	used := template.New(template.Options{MaxTime: 20 * time.Millisecond})
	for _, text := range []string{`{{ bcrypt "a" }}{{ bcrypt "a" }}`, `{{ 1 }}`} {
		var fault *template.Error
		if _, err := used.Render(t.Context(), "late", text, nil); !errors.As(err, &fault) || fault.Kind != template.KindTimeout {
			t.Errorf("%s: %v", text, err)
		}
	}

	slow := template.New(template.Options{MaxTime: time.Nanosecond})
	_, err = slow.Render(t.Context(), "a", `{{ range until 10 }}{{ end }}`, nil)
	var fault *template.Error
	if !errors.As(err, &fault) || fault.Kind != template.KindTimeout {
		t.Errorf("got %v", err)
	}
}

func TestACancelledContextEndsTheRendering(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := template.New(template.Options{}).Render(ctx, "key", `{{ range until 10000 }}{{ $x := bcrypt "a" }}{{ end }}`, nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsAreTheSameForTheSameCause(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{{ range 9999999999 }}{{ end }}`, `{{ mustFromJson .password }}`, `{{ .nope }}`} {
		_, first := render(t, template.Options{MaxTime: 10 * time.Minute}, text)
		_, second := render(t, template.Options{MaxTime: 10 * time.Minute}, text)
		if first == nil || first.Error() != second.Error() {
			t.Errorf("%v is not %v", first, second)
		}
	}
}

func TestARendererThatRendersNothingCostsNothing(t *testing.T) {
	// Not in parallel: allocations of all goroutines count.
	var r *template.Renderer
	allocs := testing.AllocsPerRun(10, func() { r = template.New(template.Options{}) })
	if r == nil || allocs > 1 {
		t.Errorf("%v allocations, want the renderer alone: most objects have no template", allocs)
	}
}

func BenchmarkRender(b *testing.B) {
	for b.Loop() {
		r := template.New(template.Options{})
		for range 3 {
			if _, err := r.Render(b.Context(), "key", "postgres://{{ .user }}:{{ .password | urlquery }}@db", secrets()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func TestDelimitersAreOfTheDialect(t *testing.T) {
	t.Parallel()
	cache := template.NewCache()
	data := map[string]string{"a": "1"}
	for _, tt := range []struct {
		left, right, text, want string
		volatile                bool
	}{
		{"[[", "]]", "[[ .a ]]{{ .a }}[[- /* c */ -]] x", "1{{ .a }}x", false},
		{"", "", "[[ .a ]]{{ .a }}", "[[ .a ]]1", false},
		{"{{", "}}", "[[ .a ]]{{ .a }}", "[[ .a ]]1", false},
		{"<<", "", "<< .a }}", "1", false},
		{"[[", "]]", "{{ now }}", "{{ now }}", false},
		{"[[", "]]", `[[ if false ]][[ now ]][[ end ]]`, "", true},
		{"", "", "[[ now ]]", "[[ now ]]", false},
	} {
		d := template.NewDelims(tt.left, tt.right)
		got, err := template.New(template.Options{Delims: d, Cache: cache}).Render(t.Context(), "key", tt.text, data)
		if err != nil || string(got) != tt.want {
			t.Errorf("%q between %q and %q: %q, %v", tt.text, tt.left, tt.right, got, err)
		}
		if got, want := d.Has(tt.text), tt.text != tt.want; got != want {
			t.Errorf("%q between %q and %q: it has actions: %t", tt.text, tt.left, tt.right, got)
		}
		if template.Volatile(tt.text, d) != tt.volatile || cache.Volatile(tt.text, d) != tt.volatile {
			t.Errorf("%q between %q and %q: volatile is not %t", tt.text, tt.left, tt.right, tt.volatile)
		}
	}
	if template.NewDelims("{{", "}}") != (template.Delims{}) {
		t.Error("the usual delimiters are another dialect when they are said")
	}
	tooMany := template.New(template.Options{MaxTime: 10 * time.Minute, Delims: template.NewDelims("[[", "]]")})
	if _, err := tooMany.Render(t.Context(), "key", strings.Repeat("[[ if true ]]", 20_000), data); err == nil || !strings.Contains(err.Error(), "too many actions") {
		t.Errorf("20 000 actions between other delimiters: %v", err)
	}
}
