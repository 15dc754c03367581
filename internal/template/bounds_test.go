package template

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/Masterminds/sprig/v3"
)

// kept renders texts and returns the cache that they went through.
func kept(t *testing.T, texts func(i int) string, n int) *Cache {
	t.Helper()
	c := NewCache()
	for i := range n {
		if _, err := New(Options{Cache: c, MaxTime: 10 * time.Minute}).Render(t.Context(), "key", texts(i), nil); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		if c.recent.Len() != len(c.entries) || c.recent.Len() > maxKept || c.weight > maxKeptWeight {
			t.Fatalf("%d templates of %d bytes are kept", c.recent.Len(), c.weight)
		}
		c.mu.Unlock()
	}
	return c
}

func TestACacheIsBoundedInNumberAndBytes(t *testing.T) {
	t.Parallel()
	few := kept(t, func(i int) string { return fmt.Sprintf("%d", i) }, maxKept+100)
	if few.recent.Len() != maxKept {
		t.Errorf("%d small templates are kept", few.recent.Len())
	}
	large := kept(t, func(i int) string { return fmt.Sprint(i) + strings.Repeat("{{1}}", 1000) }, 30)
	if n := large.recent.Len(); n < 10 || n == 30 {
		t.Errorf("%d large templates are kept", n)
	}
	huge := kept(t, func(int) string { return "{{/*" + strings.Repeat("x", maxKeptWeight/codeWeight) + "*/}}" }, 2)
	if huge.recent.Len() != 0 || huge.Parses() != 2 {
		t.Errorf("a template that fills the cache is kept (%d)", huge.recent.Len())
	}
}

func TestWhatWasNotUsedForLongestGoesFirst(t *testing.T) {
	t.Parallel()
	c := NewCache()
	render := func(text string) int {
		t.Helper()
		before := c.Parses()
		if _, err := New(Options{Cache: c}).Render(t.Context(), "key", text, nil); err != nil {
			t.Fatal(err)
		}
		return c.Parses() - before
	}
	for i := range maxKept {
		render(fmt.Sprint(i))
	}
	if render("0") != 0 {
		t.Error("the first is parsed again while there is room")
	}
	render("one more")
	if render("0") != 0 || render("1") != 1 {
		t.Error("it is not the one that was not used for longest that has gone")
	}
}

func TestAKeyShowsNothingOfATemplateAndAnInstanceNothingOfARendering(t *testing.T) {
	t.Parallel()
	const canary = "canary-1c9e"
	c := NewCache()
	text := "{{ .x | b64enc }} " + canary
	if _, err := New(Options{Cache: c}).Render(t.Context(), "key", text, map[string]string{"x": canary}); err != nil {
		t.Fatal(err)
	}
	for key, element := range c.entries {
		if bytes.Contains(key[:], []byte("canary")) {
			t.Error("a key shows the template")
		}
		use, err := element.Value.(*parsed).take()
		if err != nil || use.meter != (meter{}) {
			t.Errorf("an instance still knows its last rendering: %+v, %v", use.meter, err)
		}
	}
}

func TestARendererWithoutACacheParsesATextOnce(t *testing.T) {
	t.Parallel()
	r := New(Options{})
	for range 3 {
		if _, err := r.Render(t.Context(), "key", "{{ 1 }}", nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.opts.Cache.Parses(); got != 1 {
		t.Errorf("%d times parsed", got)
	}
}

// TestABoundIsWhereItIsSaidToBe has a text at each bound, and one beyond it that is refused for that reason and before the
// function has run.
func TestABoundIsWhereItIsSaidToBe(t *testing.T) {
	t.Parallel()
	asks := func(function string) string {
		return fmt.Sprintf("an argument of function %q asks for too much; give it a shorter text or list, or a smaller number", function)
	}
	const (
		steps, depth, memory, large, nested = "it takes too many steps", "templates call each other too deeply", "it needs too much memory", "a value is too large", "a value nests too deeply"
		call                                = `{{ define "t" }}{{ if . }}{{ template "t" (sub . 1) }}{{ end }}{{ end }}`
		elements                            = `{{ $l := splitList "" (repeat %d "a") }}`
		letters                             = `{{ $x := repeat %d "a" }}`
		small                               = `{{ $t := print "[" (repeat 4999 "{\"a\":0},") "{\"a\":0}]" }}{{ $l := fromJson $t }}`
		lists                               = `{{ $p := list (repeat 3000 "a") }}{{ $d := dict }}`
	)
	for _, tc := range []struct {
		name, text string
		at, beyond int
		says, each string // each is what is repeated; without one, the text names the number
	}{
		{"rounds of a loop", `{{ range %d }}{{ end }}`, 99, 100, steps, ""},
		{"calls of functions", `{{ range %d }}{{ $x := len (trim "a") }}{{ end }}`, 49, 50, steps, ""},
		{"calls that look at one entry", `{{ $d := dict }}{{ range %d }}{{ $x := hasKey $d "a" }}{{ end }}`, 49, 50, steps, ""},
		{"calls of templates", `{{ define "t" }}{{ end }}{{ range %d }}{{ template "t" }}{{ end }}`, 49, 50, steps, ""},
		{"templates in templates", call + `{{ template "t" %d }}`, 48, 49, depth, ""},
		{"what functions return together", `{{ range %d }}{{ $x := repeat 4194288 "a" }}{{ end }}`, 16, 17, memory, ""},
		{"what a function returns", letters, 4_194_288, 4_194_289, large, ""},
		{"what a method is given", `{{ $x := (now).Format (repeat %d "a") }}`, 1008, 1009, largeArgument, ""},
		{"what a method is given as it is", "{{ $x := (now).Format `%s` }}", 1024, 1025, largeArgument, "a"},
		{"what a method is given by a pipe", `{{ $t := now }}{{ $x := repeat %d "a" | $t.Format }}`, 1008, 1009, largeArgument, ""},
		{"what methods make of each other's", `{{ $b := (now).MarshalText }}{{ range %d }}{{ $b = (now).AppendFormat $b "` + strings.Repeat("a", 100) + `" }}{{ end }}`, 10, 11, largeArgument, ""},
		{"what has grown inside of what a function takes", `{{ $d := dict }}{{ $l := list $d $d }}{{ $_ := set $d "x" (repeat %d "a") }}{{ $x := kindOf $l }}`, 2_097_040, 2_097_080, large, ""},
		{"lists in lists", `{{ $l := list }}{{ range %d }}{{ $l = list $l }}{{ end }}{{ $l }}`, 32, 33, nested, ""},
		{"actions", "%s", 10_000, 10_001, "the template has too many actions", "{{ 1 }}"},
		{"text", "%s", 1 << 20, 1<<20 + 1, "the template is too large", "a"},
		{"random letters", `{{ $x := randAlphaNum %d }}`, 65_536, 65_537, asks("randAlphaNum"), ""},
		{"output", `{{ repeat %d "a" }}`, 1 << 20, 1<<20 + 1, "it prints too much", ""},
		{"repeat", letters, 4_194_288, 4_194_305, asks("repeat"), ""},
		{"until", `{{ $l := until %d }}`, 65_536, 65_537, asks("until"), ""},
		{"until downwards", `{{ $l := until -%d }}`, 65_536, 65_537, asks("until"), ""},
		{"untilStep", `{{ $l := untilStep 1 %d 2 }}`, 131_074, 131_075, asks("untilStep"), ""},
		{"untilStep from far", `{{ $l := untilStep %[1]d %[1]d 1 }}`, 1 << 40, 1<<40 + 1, asks("untilStep"), ""},
		{"untilStep in large steps", `{{ $l := untilStep 0 1 -%d }}`, 1 << 40, 1<<40 + 1, asks("untilStep"), ""},
		{"seq", `{{ $l := seq %d }}`, 65_536, 65_537, asks("seq"), ""},
		{"seq of two", `{{ $l := seq 10 %d }}`, 65_546, 65_547, asks("seq"), ""},
		{"seq of three", `{{ $l := seq 10 3 %d }}`, 196_620, 196_621, asks("seq"), ""},
		{"replace", `{{ $x := replace "a" (repeat %d "b") (repeat 4096 "a") }}`, 1023, 1024, asks("replace"), ""},
		{"join", `{{ $x := join (repeat %d "a") (splitList "," (repeat 65535 ",")) }}`, 64, 65, asks("join"), ""},
		{"wrapWith", `{{ $x := wrapWith 1 (repeat %d "x") (repeat 4096 "a") }}`, 1023, 1024, asks("wrapWith"), ""},
		{"indent", `{{ $x := repeat 1023 "\n" | indent %d }}`, 4094, 4097, asks("indent"), ""},
		{"nindent", `{{ $x := repeat 1023 "\n" | nindent %d }}`, 4094, 4097, asks("nindent"), ""},
		{"printf of a value that comes often", `{{ $x := printf (repeat 64 "%%[1]s") (repeat %d "a") }}`, 65_434, 65_436, asks("printf"), ""},
		{"printf of width", `{{ $x := printf "%%1000000d%%1000000d%%1000000d%%1000000d%%%dd" 1 2 3 4 5 }}`, 193_600, 193_900, asks("printf"), ""},
		{"printf of width for each element", `{{ $x := printf "%%1000d" (until %d) }}`, 3850, 3900, asks("printf"), ""},
		{"printf of width in a dictionary", `{{ $d := dict }}{{ range until %d }}{{ $_ := set $d (print .) (list .) }}{{ end }}{{ $x := printf "%%1000v" $d }}`, 1800, 1900, asks("printf"), ""},
		{"printf of many numbers", `{{ $x := printf "%%d%%d" (until %d) }}`, 26_000, 26_500, asks("printf"), ""},
		{"printf of width that is an argument", `{{ $x := printf (repeat %d "%%[1]*d") 1 }}`, 4, 5, asks("printf"), ""},
		{"html", `{{ $x := html (repeat %d "<") }}`, 1_048_572, 1_048_573, large, ""},
		{"js", `{{ $x := js (repeat %d "<") }}`, 699_048, 699_049, large, ""},
		{"urlquery", `{{ $x := urlquery (repeat %d "<") }}`, 1_398_096, 1_398_097, large, ""},
		{"println", `{{ $x := println (repeat %d "a") }}`, 4_194_256, 4_194_257, large, ""},
		{"without", elements + `{{ $x := without $l ` + strings.Repeat(` "a"`, 129) + ` }}`, 65_027, 65_028, asks("without"), ""},
		{"mustWithout", elements + `{{ $x := mustWithout $l ` + strings.Repeat(` "a"`, 129) + ` }}`, 65_027, 65_028, asks("mustWithout"), ""},
		{"split", `{{ $x := split "," (repeat %d ",") }}`, 65_536, 65_537, asks("split"), ""},
		{"splitList", `{{ $x := splitList "," (repeat %d ",") }}`, 65_536, 65_537, asks("splitList"), ""},
		{"splitn", `{{ $x := splitn "," 3 (repeat %d ",") }}`, 65_536, 65_537, asks("splitn"), ""},
		{"uniq", elements + `{{ $x := uniq $l }}`, 4096, 4097, asks("uniq"), ""},
		{"mustUniq", elements + `{{ $x := mustUniq $l }}`, 4096, 4097, asks("mustUniq"), ""},
		{"decimals", "{{ addf %s }}", 100, 101, asks("addf"), " 1"},
		{"versions", `{{ $x := semver (repeat %d "1") }}`, 1024, 1025, asks("semver"), ""},
		{"constraints", `{{ $x := semverCompare (repeat %d "1") "1.0.0" }}`, 1024, 1025, asks("semverCompare"), ""},
		{"uniq of lists", lists + `{{ range $i := until %d }}{{ $_ := set $d (print $i) (list $p $i) }}{{ end }}{{ $x := uniq (values $d) }}`, 1100, 1250, asks("uniq"), ""},
		{"without of lists", lists + `{{ range $i := until 1250 }}{{ $_ := set $d (print $i) (list $p $i) }}{{ end }}{{ $x := without (values $d) %s }}`, 1000, 1200, asks("without"), " $p"},
		{"what is ordered", `{{ if false }}{{ $x := and %s }}{{ end }}`, 5000, 5001, "the template gives too many values to comparisons and methods", " (le . .)"},
		{"trimAll", `{{ $x := trimAll (repeat %d "é") (repeat 65536 "a") }}`, 2048, 2049, asks("trimAll"), ""},
		{"trimall", `{{ $x := trimall (repeat %d "é") (repeat 65536 "a") }}`, 2048, 2049, asks("trimall"), ""},
		{"values of YAML", `{{ $x := fromYaml (print "a: [" (repeat %d "0,") "]") }}`, 131_069, 131_070, asks("fromYaml"), ""},
		{"values that become YAML", `{{ $x := toYaml (until %d) }}`, 65_535, 65_536, asks("toYaml"), ""},
		{"keys and values that become YAML", `{{ $d := dict }}{{ range until %d }}{{ $_ := set $d (print .) "" }}{{ end }}{{ $x := toYaml $d }}`, 32_767, 32_768, asks("toYaml"), ""},
		{"text that becomes YAML by way of JSON", `{{ $x := toYaml (repeat %d "<") }}`, 699_050, 699_051, asks("toYaml"), ""},
		{"JSON of control characters", `{{ $x := toJson (repeat %d "\x01") }}`, 699_047, 699_051, asks("toJson"), ""},
		{"JSON of quotes", `{{ $x := toJson (repeat %d "\"") }}`, 2_097_143, 2_097_153, asks("toJson"), ""},
		{"JSON of line separators", `{{ $x := toRawJson (repeat %d "\u2028") }}`, 699_047, 699_051, asks("toRawJson"), ""},
		{"JSON of keys", `{{ $x := toPrettyJson (dict (repeat %d "<") 1) }}`, 699_044, 699_051, asks("toPrettyJson"), ""},
		{"JSON of what nothing is written for", `{{ $x := toRawJson (repeat %d "<") }}`, 4_194_272, 4_194_273, large, ""},
		{"dictionaries in a copy", small + `{{ range %d }}{{ $x := deepCopy $l }}{{ end }}`, 35, 36, memory, ""},
		{"dictionaries in a merger", `{{ $s := dict }}{{ range until 5000 }}{{ $_ := set $s (print .) (dict "a" 1) }}{{ end }}{{ range %d }}{{ $x := merge (dict) $s }}{{ end }}`, 30, 31, memory, ""},
		{"dictionaries of JSON", small + `{{ range %d }}{{ $x := fromJson $t }}{{ end }}`, 35, 36, memory, ""},
		{"dictionaries of YAML", small + `{{ range %d }}{{ $x := fromYaml (print "a: " $t) }}{{ end }}`, 34, 35, memory, ""},
		{"dictionaries of parts", `{{ $t := repeat 20000 "," }}{{ range %d }}{{ $x := split "," $t }}{{ end }}`, 35, 36, memory, ""},
		{"what is compared", `{{ $x := eq nil%s }}`, 10_000, 10_001, "the template gives too many values to comparisons and methods", " ."},
		{"what is given to methods", `{{ if false }}{{ $x := .a%s }}{{ end }}`, 10_000, 10_001, "the template gives too many values to comparisons and methods", " ."},
		{"documents", `{{ $x := fromYaml (repeat %d " ") }}`, 1 << 20, 1<<20 + 1, asks("fromYaml"), ""},
		{"aliases", `{{ $x := fromYaml (print "a: &a " (repeat 1048000 "x") "\nb: [" (repeat %d "*a,") "]") }}`, 2, 50, asks("fromYaml"), ""},
		{"keys", `{{ $x := jwkPublicKeyPem (repeat %d " ") }}`, 16_384, 16_385, asks("jwkPublicKeyPem"), ""},
		{"expressions", `{{ $x := regexMatch (repeat %d "a") "a" }}`, 4096, 4097, asks("regexMatch"), ""},
		{"expressions times text", `{{ $x := regexMatch (repeat 4096 "a") (repeat %d "b") }}`, 16_368, 16_384, asks("regexMatch"), ""},
		{"instructions", `{{ $x := regexMatch (print "(?:" (repeat %d "a") "){1000}") "" }}`, 48, 50, asks("regexMatch"), ""},
		{"matches", `{{ $x := regexFindAll "a" (repeat %d "a") -1 }}`, 1000, 65_537, asks("regexFindAll"), ""},
		{"replacements", `{{ $x := regexReplaceAll "a" (repeat 4096 "a") (repeat %d "b") }}`, 1023, 1024, asks("regexReplaceAll"), ""},
		{"references of replacements", `{{ $x := regexReplaceAll ".+" (repeat 100000 "a") (repeat %d "$0") }}`, 40, 41, asks("regexReplaceAll"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			limit := func(n int) string {
				var what any = n
				if tc.each != "" {
					what = strings.Repeat(tc.each, n)
				}
				r := New(Options{MaxTime: 10 * time.Minute}) // where others have the processors, too
				if tc.says == steps {
					r.meter.steps = 199_900 // so many are not worth waiting for
				}
				_, err := r.Render(t.Context(), "key", fmt.Sprintf(tc.text, what), nil)
				var fault *Error
				if errors.As(err, &fault) && fault.Kind == KindLimit {
					return fault.Detail
				}
				return ""
			}
			if got := limit(tc.at); got != "" {
				t.Errorf("%d: %s", tc.at, got)
			}
			if got := limit(tc.beyond); !strings.HasPrefix(got, tc.says) || !strings.Contains(got, "; ") {
				t.Errorf("%d: %q, want %q and what to do", tc.beyond, got, tc.says)
			}
		})
	}
}

// TestWhatTakesMoreThanItsWeightIsCounted: of small things the memory is more than what is in them.
func TestWhatTakesMoreThanItsWeightIsCounted(t *testing.T) {
	t.Parallel()
	counted := func(text string) int {
		r := New(Options{})
		if _, err := r.Render(t.Context(), "key", text, nil); err != nil {
			t.Fatal(err)
		}
		return r.meter.allocated
	}
	const (
		made  = `{{ $l := until 9 }}{{ $s := splitList "," "a,b,c" }}{{ $d := dict }}{{ range until 9 }}{{ $_ := set $d (print .) 1 }}{{ end }}`
		nine  = 288 + 40 // a dictionary with nine entries
		few   = 288
		texts = 16
	)
	before := counted(made)
	for call, want := range map[string]int{
		`toStrings $l`:          16 + 9*(16+1) + 9*texts,
		`sortAlpha $l`:          16 + 9*(16+1) + 9*texts,
		`toStrings 1`:           16 + 16 + 1 + texts,
		`sortAlpha $s`:          16 + 3*(16+1) + 3*texts,
		`split "," "a,b,c"`:     16 + 3*(16+2+16+1) + few + 3*texts,
		`splitn "," 2 "a,b,c"`:  16 + (16 + 2 + 16 + 1) + (16 + 2 + 16 + 3) + few + 2*texts,
		`splitn "," -1 "a,b,c"`: 16 + 3*(16+2+16+1) + few + 3*texts,
		`splitn "," 9 "a,b,c"`:  16 + 3*(16+2+16+1) + few + 3*texts,
		`splitList "," "a,b,c"`: 16 + 3*(16+1),
		`fromJson "[{},[]]"`:    16 + 16 + 2*(16+16) + 2*16 + 32,
		`fromYaml "{}"`:         16 + 32,
		`dict`:                  16 + 32,
		`dict "a" (dict)`:       16 + 32 + 16 + (16 + 1 + 16 + 16) + few,
		`omit $d ""`:            16 + 9*(16+1+16+16) + nine,
		`pick $d "1"`:           16 + (16 + 1 + 16 + 16) + few,
		`list (list) $d`:        16 + 16 + (16 + 16) + (16 + 16 + 9*(16+1+16+16)), // which are no new ones, but for the outer
		`deepCopy (list $d $d)`: 2*(16+2*(16+16+9*(16+1+16+16))) + 16 + 16 + 2*nine,
		`merge $d (dict)`:       16 + 32 + 16 + 32 + (16 + 16 + 9*(16+1+16+16)), // a new one, a copy of it, and what is merged
	} {
		if got := counted(made+"{{ $x := "+call+" }}") - before; got != want {
			t.Errorf("%s: %d bytes are counted, want %d", call, got, want)
		}
	}
}

// What cannot be compared is printed by text/template into an error: a value that holds itself used up the stack, which no recover
// stops, and one that holds another twice, and so on, the memory.
func TestWhatIsComparedIsLookedAtFirst(t *testing.T) {
	t.Parallel()
	const (
		itself = `{{ $v := dict }}{{ $_ := set $v "a" $v }}{{ $w := dict }}{{ $_ := set $w "a" $w }}`
		twice  = `{{ $v := dict }}{{ range until 28 }}{{ $next := dict }}{{ $_ := set $next "a" $v }}{{ $_ := set $next "b" $v }}{{ $v = $next }}{{ end }}{{ $w := $v }}`
	)
	for _, text := range []string{
		`{{ eq $v $w }}`, `{{ ne $v $w }}`, `{{ eq 1 2 $v }}`, `{{ $v | eq $w }}`, `{{ $v | ne 1 | eq true }}`, `{{ eq (list $v) (list $w) }}`,
		`{{ if eq $v $w }}{{ end }}`, `{{ with and true (eq $v $w) }}{{ end }}`, `{{ range (eq $v $w | toString) }}{{ end }}`, `{{ $x := ne $v $w }}`,
		`{{ (eq $v $w).x }}`, `{{ define "d" }}{{ eq . . }}{{ end }}{{ template "d" $v }}`, `{{ define "d" }}{{ end }}{{ template "d" (eq $v $w) }}`,
	} {
		for made, want := range map[string]string{itself: "a value nests too deeply", twice: "a value is too large"} {
			if _, err := New(Options{}).Render(t.Context(), "key", made+text, nil); err == nil || !strings.Contains(err.Error(), ": "+want+"; ") {
				t.Errorf("%s: %v, want %q", text, err, want)
			}
		}
	}
}

func TestComparisonsEndWhenTheTimeRunsOut(t *testing.T) {
	t.Parallel()
	text := `{{ $l := until 65536 }}{{ $x := eq nil` + strings.Repeat(" $l", 9990) + ` }}`
	var fault *Error
	if _, err := New(Options{MaxTime: 200 * time.Millisecond}).Render(t.Context(), "key", text, nil); !errors.As(err, &fault) || fault.Kind != KindTimeout {
		t.Errorf("got %v", err)
	}
}

// overdue is a context whose time has run out, which nobody has noticed yet.
type overdue struct{ context.Context }

func (overdue) Deadline() (time.Time, bool) { return time.Unix(0, 0), true }

func TestWhatSearchesAgainNeedsAsMuchTimeOnceMore(t *testing.T) {
	t.Parallel()
	args := []reflect.Value{reflect.ValueOf("a"), reflect.ValueOf("aaa"), reflect.ValueOf("b")}
	for ctx, want := range map[context.Context]bool{overdue{t.Context()}: true, t.Context(): false} {
		m := &meter{ctx: ctx}
		if err := guardSearches(m, args); (err != nil) != want || m.late != want {
			t.Errorf("got %v, late %t", err, m.late)
		}
	}
}

func TestNothingIsParsedWhenNoTimeIsLeft(t *testing.T) {
	t.Parallel()
	r := New(Options{Cache: NewCache()})
	r.left = 0
	var fault *Error
	if _, err := r.Render(t.Context(), "key", "{{ 1 }}", nil); !errors.As(err, &fault) || fault.Kind != KindTimeout || fault.Template != "key" {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(r.opts).Render(ended, "key", "{{ 1 }}", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := r.opts.Cache.Parses(); n != 0 {
		t.Errorf("%d texts were parsed", n)
	}
}

// Each of these puts a dictionary into itself while sprig walks it, in some orders of the keys.
func TestToMergeWhatIsSharedEnds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite"} {
		text := `{{ range 40 }}{{ $y := dict }}{{ $z := dict }}{{ $d := dict "a" $y "b" $z "c" $y }}{{ $s := dict "a" (dict "k" $y) "b" (dict "k" $z) "c" $z }}{{ $_ := ` + name + ` $d $s }}{{ end }}` +
			`{{ $x := dict "in" (dict "a" "1") }}{{ $m := ` + name + ` (dict) $x }}{{ toJson (` + name + ` $m $x (dict "in" (dict "b" "2"))) }}`
		got, err := New(Options{}).Render(t.Context(), "key", text, nil)
		if want := `{"in":{"a":"1","b":"2"}}`; err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
}

func TestComparisonsAndMethodsAnswerAsThoseOfTextTemplate(t *testing.T) {
	t.Parallel()
	data := map[string]string{"a": "v", "empty": ""}
	for _, text := range []string{
		`{{ eq .a "v" }}`, `{{ eq "x" .empty .a "v" }}`, `{{ "v" | eq .a }}`, `{{ .a | eq "x" "y" }}`, `{{ ne .a "x" }}`, `{{ .a | ne "v" }}`, `{{ not (eq .a "v") }}`,
		`{{ eq (len .a) 1 }}`, `{{ eq 1 1.0 }}`, `{{ eq 0x10 16 }}`, `{{ eq 'v' 118 }}`, `{{ eq true (eq .a "v") }}`, `{{ eq nil nil }}`, `{{ eq nil .a }}`, `{{ ne .a nil }}`,
		`{{ eq .nope "v" }}`, `{{ eq .a .nope }}`, `{{ eq $.a .a }}`, `{{ eq . . }}`, `{{ eq . nil }}`, `{{ eq $ . }}`, `{{ eq .a }}`, `{{ .a | eq }}`, `{{ eq }}`,
		`{{ lt .a "w" }}`, `{{ .a | le "a" }}`, `{{ gt .nope "v" }}`, `{{ ge .a .nope }}`, `{{ lt (len .a) 2 }}`, `{{ ge .a nil }}`, `{{ le .a }}`, `{{ gt . 1 }}`, `{{ lt (now) 1 }}`,
		`{{ .a 1 }}`, `{{ 1 | .a }}`, `{{ $t.Format "Jan 2" }}`, `{{ $t.AddDate 0 (len .a) 1 }}`, `{{ ($t.Add 5).Nanosecond }}`, `{{ "2006" | $t.Format | print }}`, `{{ $t.Year }}`,
		`{{ $t.Equal $t }}`, `{{ $t | $t.Sub | print }}`, `{{ $t.In nil }}`, `{{ $t.Format .a }}`, `{{ ($t.AddDate 0 1 0).Format .nope }}`, `{{ $t.Format 1 }}`, `{{ $t.Format }}`, `{{ $t.Nope 1 }}`,
		`{{ $x := 1 }}{{ eq $x 1 }}`, `{{ range $i, $c := slice .a 0 1 }}{{ end }}`, `{{ with eq .a "v" }}{{ . }}{{ end }}`, `{{ eq (index . "a") (print "v") }}`,
	} {
		for _, missing := range []MissingKey{MissingKeyError, MissingKeyNoValue} {
			option := map[MissingKey]string{MissingKeyError: "missingkey=error", MissingKeyNoValue: "missingkey=default"}[missing]
			var want strings.Builder
			text := `{{ $t := toDate "2006-01-02" "2026-01-31" }}` + text
			theirs := template.Must(template.New("").Option(option).Funcs(sprig.GenericFuncMap()).Parse(text)).Execute(&want, data)
			got, err := New(Options{MissingKey: missing}).Render(t.Context(), "key", text, data)
			if (err == nil) != (theirs == nil) || err == nil && string(got) != want.String() {
				t.Errorf("%s, %s: %q %v, want %q %v", text, option, got, err, want.String(), theirs)
			}
		}
	}
}

func TestAFunctionIsBoundedUnderEachOfItsNames(t *testing.T) {
	t.Parallel()
	for args, names := range map[string]string{
		`65537`:                                     "randAlphaNum randAlpha randAscii randNumeric randBytes",
		strings.Repeat(" 1", maxDecimals+2):         "addf subf mulf divf",
		`(repeat 4097 "a") "a"`:                     "regexMatch mustRegexMatch regexFind mustRegexFind",
		`(repeat 4097 "a") "a" -1`:                  "regexFindAll mustRegexFindAll regexSplit mustRegexSplit",
		`(repeat 4097 "a") "a" "b"`:                 "regexReplaceAll mustRegexReplaceAll regexReplaceAllLiteral mustRegexReplaceAllLiteral",
		`(until 4097)`:                              "uniq mustUniq",
		`(until 65536)` + strings.Repeat(" 1", 129): "without mustWithout",
		`(repeat 1048577 " ")`:                      "fromJson mustFromJson fromYaml",
	} {
		for name := range strings.FieldsSeq(names) {
			_, err := New(Options{}).Render(t.Context(), "key", "{{ $x := "+name+" "+args+" }}", nil)
			if want := fmt.Sprintf("an argument of function %q asks for too much; give it a shorter text or list, or a smaller number", name); err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestARendererHasTenSecondsUnlessItIsToldOtherwise(t *testing.T) {
	t.Parallel()
	for told, want := range map[time.Duration]time.Duration{0: 10 * time.Second, time.Minute: time.Minute} {
		if got := New(Options{MaxTime: told}).left; got != want {
			t.Errorf("told %s, it has %s", told, got)
		}
	}
}

func TestStepsAreCountedOverAllTemplatesOfARenderer(t *testing.T) {
	t.Parallel()
	r := New(Options{})
	r.meter.steps = 199_900
	for _, want := range []string{"<nil>", `template "loop" at line 1, column 9: it takes too many steps; loop over less, or call fewer functions in a loop`} {
		if _, err := r.Render(t.Context(), "loop", `{{ range 60 }}{{ end }}`, nil); fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestATemplateNestsAsDeeplyAsItMayAndNoDeeper(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		open, inner, shut string
		most              int
	}{
		{"{{ if true }}", "x", "{{ end }}", 200},
		{"{{ if false }}{{ else }}", "x", "{{ end }}", 200},
		{"{{ with 1 }}", "x", "{{ end }}", 200},
		{"{{ range 1 }}", "x", "{{ end }}", 200},
		{"{{ with 1 }}", `{{ template "key" (1) }}`, "{{ end }}", 198}, // the call and its argument nest within
		{"{{ with 1 }}", "{{ (1) }}", "{{ end }}", 198},
		{"(", "1", ")", 199},
	} {
		for _, n := range []int{tc.most, tc.most + 1} {
			text := strings.Repeat(tc.open, n) + tc.inner + strings.Repeat(tc.shut, n)
			if tc.open == "(" {
				text = "{{ if " + text + " }}{{ end }}"
			}
			text += `{{ define "key" }}{{ end }}`
			_, err := New(Options{}).Render(t.Context(), "key", text, nil)
			if want := n > tc.most; (err != nil) != want || want && !strings.HasSuffix(err.Error(), "the template nests too deeply; write inner parts as templates of their own, with define") {
				t.Errorf("%d times %s: %v", n, tc.open, err)
			}
		}
	}
}
