package externalsecret

import (
	"testing"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/internal/template"
)

// What is kept carries an annotation about its inputs, and is read once after each start: no other target is.
func TestOnlyWhatIsRandomOrLooksAtTheClockIsKeptAsItWasMade(t *testing.T) {
	t.Parallel()
	renamed := func(text string) esv1.ExternalSecretSpec {
		return esv1.ExternalSecretSpec{DataFrom: []esv1.DataFrom{{Rewrite: []esv1.Rewrite{{Regexp: &esv1.RewriteRegexp{Source: "a"}}, {Transform: &esv1.RewriteTransform{Template: text}}}}}}
	}
	made := func(tpl esv1.Template) esv1.ExternalSecretSpec {
		return esv1.ExternalSecretSpec{Target: esv1.Target{Template: &tpl}}
	}
	for name, tt := range map[string]struct {
		spec esv1.ExternalSecretSpec
		want bool
	}{
		"nothing":                 {esv1.ExternalSecretSpec{}, false},
		"names that are changed":  {renamed("{{ .value | upper }}"), false},
		"names that are random":   {renamed("{{ .value }}-{{ uuidv4 }}"), true},
		"a template":              {made(esv1.Template{Data: map[string]string{"a": "{{ .a | upper }}"}}), false},
		"a template that is not":  {made(esv1.Template{Data: map[string]string{"a": "{{ now }}"}}), true},
		"a label of another time": {made(esv1.Template{Metadata: esv1.TemplateMetadata{Labels: map[string]string{"a": `{{ now | date "2006" }}`}}}), true},
	} {
		if got := volatile(template.Options{Cache: template.NewCache()}, &tt.spec, nil); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
