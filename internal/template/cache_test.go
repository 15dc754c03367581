package template_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sealbridge/sealbridge/internal/template"
)

const dsn = "postgres://{{ .user }}:{{ .password | urlquery }}@db"

func TestATemplateIsParsedOnceForAllWhoRenderIt(t *testing.T) {
	t.Parallel()
	cache := template.NewCache()
	for object := range 20 {
		r := template.New(template.Options{Cache: cache})
		user := fmt.Sprintf("user-%d", object)
		for range 3 {
			got, err := r.Render(t.Context(), "key", dsn, map[string]string{"user": user, "password": "a b"})
			if err != nil || string(got) != "postgres://"+user+":a+b@db" {
				t.Fatalf("%s, %v", got, err)
			}
		}
	}
	if got := cache.Parses(); got != 1 {
		t.Errorf("%d times parsed", got)
	}
	r := template.New(template.Options{Cache: cache, MissingKey: template.MissingKeyNoValue})
	if got, err := r.Render(t.Context(), "key", dsn, nil); err != nil || string(got) != "postgres://<no value>:%3Cno+value%3E@db" {
		t.Errorf("the other dialect: %s, %v", got, err)
	}
	if _, err := template.New(template.Options{Cache: cache}).Render(t.Context(), "key", dsn, nil); err == nil {
		t.Error("the one dialect became the other")
	}
	if got := cache.Parses(); got != 2 {
		t.Errorf("%d times parsed, want one for each dialect", got)
	}
}

func TestManyRenderOneTemplateAtOnceAndNobodyGetsAnothersValues(t *testing.T) {
	t.Parallel()
	const text = `{{ define "line" }}{{ .name }}={{ .value | b64enc | b64dec }};{{ end }}{{ range $k, $v := . }}{{ template "line" (dict "name" $k "value" $v) }}{{ end }}`
	cache := template.NewCache()
	var wg sync.WaitGroup
	for object := range 16 {
		wg.Go(func() {
			value := strings.Repeat(fmt.Sprint(object), 100)
			for range 50 {
				r := template.New(template.Options{Cache: cache})
				got, err := r.Render(t.Context(), "key", text, map[string]string{"a": value, "b": value})
				if want := "a=" + value + ";b=" + value + ";"; err != nil || string(got) != want {
					t.Errorf("object %d: %s, %v", object, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestAFaultOrALimitOfOneRenderingIsNoneOfTheNext(t *testing.T) {
	t.Parallel()
	cache := template.NewCache()
	render := func(text string, opts template.Options, n string) error {
		opts.Cache = cache
		_, err := template.New(opts).Render(t.Context(), "key", text, map[string]string{"n": n, "password": canary})
		return err
	}
	const loop = `{{ range until (atoi .n) }}{{ end }}{{ repeat (atoi .n) "x" | trim }}{{ .password | trim }}`
	for range 3 {
		if err := render(loop, template.Options{}, "99999"); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("a rendering without end: %v", err)
		}
		if err := render(loop, template.Options{MaxTime: 1}, "100"); err == nil {
			t.Error("a rendering without time")
		}
		if err := render(loop, template.Options{MaxOutput: 1}, "1"); err == nil {
			t.Error("a rendering without room")
		}
		if err := render(loop, template.Options{}, "10"); err != nil {
			t.Errorf("a rendering that does nothing wrong: %v", err)
		}
		if err := render("{{", template.Options{}, ""); err == nil {
			t.Error("no template was rendered")
		}
	}
	if err := render(loop, template.Options{MaxSource: 10}, "1"); err == nil {
		t.Error("a text that is too large was rendered because somebody else may")
	}
}

func TestATextThatIsSecretItselfIsNotKept(t *testing.T) {
	t.Parallel()
	cache := template.NewCache()
	for turn := range 3 {
		r := template.New(template.Options{Cache: cache})
		got, err := r.RenderSecret(t.Context(), "key", "salt-{{ .user }}", map[string]string{"user": "app"})
		if err != nil || string(got) != "salt-app" || cache.Parses() != turn+1 {
			t.Errorf("%s, %v, parsed %d times in %d turns", got, err, cache.Parses(), turn+1)
		}
	}
}

func BenchmarkRefresh(b *testing.B) {
	refresh := func(b *testing.B, cache *template.Cache) {
		b.ReportAllocs()
		for b.Loop() {
			r := template.New(template.Options{Cache: cache})
			for _, text := range []string{dsn, "{{ .password | b64enc }}", "{{ if .user }}user = {{ .user | quote }}{{ end }}"} {
				if _, err := r.Render(b.Context(), "key", text, secrets()); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("parsed each time", func(b *testing.B) { refresh(b, nil) })
	b.Run("parsed once", func(b *testing.B) { refresh(b, template.NewCache()) })
}
