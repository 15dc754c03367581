package template_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/internal/template"
)

func TestATemplateIsVolatileWhenItNamesAFunctionThatIs(t *testing.T) {
	t.Parallel()
	cache := template.NewCache()
	for text, want := range map[string]bool{
		"{{ randAlphaNum 20 }}": true, "{{uuidv4}}": true, "{{- now | unixEpoch -}}": true, "{{ .x | default (randAlpha 3) }}": true,
		"{{ if .a }}{{ genCA `a` 1 }}{{ end }}": true, "{{ $x := (genPrivateKey `rsa`) }}{{ $x }}": true, "{{ htpasswd .u .p }}": true,
		"{{ .x | bcrypt }}": true, "{{ ago .x }}": true, "{{ durationRound .x }}": true, "{{ dateInZone `2006` .x `UTC` }}": true, "{{ date_in_zone `2006` .x `UTC` }}": true,
		"{{ htmlDate .x }}": true, "{{ htmlDateInZone .x `UTC` }}": true, "{{ date `2006` .x }}": true, "{{ shuffle .x }}": true, "{{ encryptAES .k .x }}": true, "{{\nnow\n}}": true,
		"{{ template `t` (randInt 1 9) }}": true, `{{ printf "}}%s" now }}`: true, `{{ "{{" }}{{ uuidv4 }}`: true, "{{ define `x` }}{{ now }}{{ end }}": true,
		"{{ .x | default `now` }}": false, "{{/* now */}}{{ .x }}": false,
		"": false, "now": false, "{{ .now }}": false, "{{ $now }}": false, "{{ .a.randAlphaNum }}": false, "{{ snow .x }}": false,
		"{{ .password }} now and {{ .general }}": false, "{{ derivePassword 1 `long` .p .u .h }}": false, "{{ .x | b64enc | sha256sum }}": false,
	} {
		if got := template.Volatile(text, template.Delims{}); got != want {
			t.Errorf("%s: %t", text, got)
		}
		if got := cache.Volatile(text, template.Delims{}); got != want && !strings.Contains(text, "template `t`") { // which is not defined
			t.Errorf("%s: %t says the cache", text, got)
		}
	}
}

func TestEveryFunctionThatIsNotVolatilePrintsTheSameAgain(t *testing.T) {
	t.Parallel()
	dict := `(dict "a" 1 "b" 2 "c" 3 "d" 4 "e" 5 "f" 6 "g" 7 "h" 8)`
	for text, want := range map[string]string{
		"{{ keys " + dict + " }}": "[a b c d e f g h]", "{{ values " + dict + " }}": "[1 2 3 4 5 6 7 8]",
		"{{ keys (dict `b` 1 `a` 2) (dict `c` 3) }}": "[a b c]", "{{ toJson (omit " + dict + " `a`) }}": `{"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8}`,
		"{{ merge " + dict + " (dict `z` 9) }}": "map[a:1 b:2 c:3 d:4 e:5 f:6 g:7 h:8 z:9]",
	} {
		for range 5 {
			if got, err := render(t, template.Options{}, text); err != nil || got != want {
				t.Fatalf("%s: %s, %v", text, got, err)
			}
		}
	}
}

// TestTheFunctionsOfTheOperatorExistOneByOne has the list of External Secrets Operator 2.9, sprig's names and its own.
func TestTheFunctionsOfTheOperatorExistOneByOne(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("testdata/functions-operator.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(golden))
	if len(names) < 220 {
		t.Fatalf("the list has %d names only", len(names))
	}
	for _, name := range names {
		// What is called never runs: the parser alone knows whether it exists.
		_, err := render(t, template.Options{}, "{{ if false }}{{ "+name+" }}{{ end }}")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := render(t, template.Options{}, "{{ if false }}{{ env }}{{ end }}"); err == nil {
		t.Error("a function that does not exist is not noticed")
	}
}

func TestNoAddressIsPrinted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{{ printf "%p" . }}`, `{{ printf "%-[1]20p" (dict) }}`, `{{ printf (print "%" "p") (list 1) }}`,
		// Other verbs print the address of what is inside of a list or a structure.
		`{{ printf "%d" (list (semver "1.2.3")) }}`, `{{ printf "%#v" (dict "a" (list (semver "1.2.3"))) }}`, `{{ printf "%[2]*[1]z" (list (semver "1.2.3")) 9 }}`,
		`{{ printf "%x %a" 1 (toDate "2006" "2026") }}`, `{{ printf "%d" (toDate "2006" "2026").Location }}`,
	} {
		if got, err := render(t, template.Options{}, text); err == nil || !strings.Contains(err.Error(), `function "printf" does not accept these arguments`) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		`{{ printf "%d%% p" 5 }}`: "5% p",
		`{{ $v := semver "1.2.3" }}{{ printf "%s %5v %q %x %T %#d" $v (list $v) $v (list $v) $v 7 }}`: `1.2.3 [1.2.3] "1.2.3" [312e322e33] *semver.Version 7`,
		`{{ printf "%v %#v" (list (semver "1.2.3")) (list 1 "a") }}`:                                  `[1.2.3] []interface {}{1, "a"}`,
	} {
		if got, err := render(t, template.Options{}, text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
}

func TestHexadecimalDigitsAreDecoded(t *testing.T) {
	t.Parallel()
	if got, err := render(t, template.Options{}, `{{ hexdec "7365616C" }}`); err != nil || got != "seal" {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := render(t, template.Options{}, `{{ hexdec .password }}`); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("error %v", err)
	}
}
