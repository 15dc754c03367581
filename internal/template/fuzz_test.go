package template_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/test/harness/effort"
)

// enough is the time after which a template is not rendered again, so that the tests do not wait for what grows without end.
const enough = 500 * time.Millisecond

// texts are the seeds of the templates' fuzz tests.
func texts() []string {
	return []string{
		"", "{{ .password }}", "{{ fail .password }}", "{{ range until 10 }}{{ . }}{{ end }}", "{{ .a.b }}", "{{ (dict .password 1).x }}",
		`{{ define "t" }}{{ template "t" }}{{ end }}{{ template "t" }}`, `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ $d }}`, `{{ $d := dict }}{{ $_ := set $d "d" $d }}{{ eq $d $d }}`,
		`{{ printf "%*d" 99999 1 }}`, `{{ regexReplaceAll "(" .password "$1" }}`, "{{ toYaml . }}", "{{ index . `x` }}", "{{", "}}", "{{ if",
		"{{ range 9999999999999 }}{{ end }}", "{{ (((((.)))) }}", "{{ block `a` . }}{{ end }}", "{{ break }}", "{{ .password | fromJson }}",
		"{{ with .user }}{{ . }}{{ $.password }}{{ end }}", "{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}", "{{ keys (dict 1 2 3 4) }}", "{{ $x := . }}{{ $x.user }}",
		"{{ randAlphaNum 3 }}", "{{ now }}", `{{ template "x" . }}{{ define "x" }}{{ .user }}{{ end }}`, "{{ eq .user `a` }}{{/* c */}}{{- 1 -}}", "{{ merge (dict `a` .user) (dict `b` 2) }}",
	}
}

// FuzzRender checks that no template ends the process, takes much longer than it may, or shows a value in an error, that one
// which is not volatile prints the same again, and that a parsed one which was kept prints what it would otherwise.
func FuzzRender(f *testing.F) {
	f.Add("{{ .user }}")
	for _, seed := range texts() {
		f.Add(seed)
	}
	cache := template.NewCache()
	f.Fuzz(func(t *testing.T, text string) {
		for _, missing := range []template.MissingKey{template.MissingKeyError, template.MissingKeyNoValue} {
			render := func(cache *template.Cache) (string, error) {
				r := template.New(template.Options{MissingKey: missing, MaxTime: 5 * time.Second, Cache: cache})
				out, err := r.Render(t.Context(), "key", text, secrets())
				return string(out), err
			}
			var out string
			var err error
			took := effort.Of(func() { out, err = render(nil) })
			if took > 30*time.Second {
				t.Errorf("it took %s", took)
			}
			var fault *template.Error
			if err != nil && !errors.As(err, &fault) {
				t.Errorf("not an *Error: %v", err)
			}
			if err != nil && strings.Contains(err.Error(), canary) && !strings.Contains(text, canary) {
				t.Errorf("the error quotes a value: %v", err)
			}
			if template.Volatile(text, template.Delims{}) || took > enough || fault != nil && fault.Kind == template.KindTimeout {
				continue
			}
			for range 2 {
				again, err := render(cache)
				var other *template.Error
				if errors.As(err, &other) && other.Kind == template.KindTimeout {
					continue // the machine is busy
				}
				if again != out || (other == nil) != (fault == nil) || fault != nil && *other != *fault {
					t.Errorf("it is %q, %v; and then %q, %v", out, fault, again, other)
				}
			}
		}
	})
}

// FuzzATemplateReadsNothingBesideItsReferences: what References does not name changes nothing.
func FuzzATemplateReadsNothingBesideItsReferences(f *testing.F) {
	f.Add("{{ .user }}")
	for _, seed := range texts() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		refs, err := template.New(template.Options{}).References("key", text)
		if err != nil || template.Volatile(text, template.Delims{}) {
			return
		}
		render := func(data map[string]string) (string, bool) {
			r := template.New(template.Options{MissingKey: template.MissingKeyNoValue, MaxTime: 5 * time.Second})
			out, err := r.Render(t.Context(), "key", text, data)
			var fault *template.Error
			return string(out), errors.As(err, &fault) && fault.Kind == template.KindTimeout
		}
		started := time.Now()
		want, late := render(secrets())
		if time.Since(started) > enough {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(secrets())) {
			if refs.Reads(name) {
				continue
			}
			data := secrets()
			data[name] = "another"
			if got, lateToo := render(data); got != want && !late && !lateToo {
				t.Errorf("%s is not among the references and changes %q to %q", name, want, got)
			}
		}
	})
}
