package sealedsecret_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

func TestTemplatesAreRenderedOverTheOpenedValues(t *testing.T) {
	t.Parallel()
	w := started(t)
	obj := w.object("app", map[string]string{"user": "u", "password": canary, "hidden": "h", "both": "sealed"})
	obj.Spec.Template.Data = map[string]*string{
		"url":    text("db://{{ .user }}:{{ .password | b64enc }}@{{ .host }}"),
		"host":   text("example"),
		"hidden": nil,
		"absent": nil,
		"both":   text("rendered"),
		"none":   text("{{ .nope }}"),
		"uses":   text("{{ .hidden }} {{ .both }}"),
	}
	w.create(obj)
	w.synced("app")
	want := map[string]string{
		"user": "u", "password": canary, "both": "sealed", "host": "example", "none": "<no value>", "uses": "h sealed",
		"url": "db://u:Y2FuYXJ5LTVlMWY3N2My@example",
	}
	if diff := cmp.Diff(want, w.data("app")); diff != "" {
		t.Error(diff)
	}

	only := w.object("only", nil)
	only.Spec.Template.Data = map[string]*string{"a": text("{{ 1 }}")}
	w.create(only)
	w.synced("only")
	if w.data("only")["a"] != "1" {
		t.Errorf("a template without sealed values: %v", w.data("only"))
	}
	empty := w.object("empty", nil)
	w.create(empty)
	w.synced("empty")
	if w.secret("empty").Type != corev1.SecretTypeOpaque {
		t.Errorf("type %q", w.secret("empty").Type)
	}
}

func TestATemplateThatFailsShowsNoValueAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := started(t)
	obj := w.object("app", map[string]string{"password": canary})
	w.create(obj)
	w.synced("app")
	before := w.secret("app")
	check := func(template, want string) string {
		t.Helper()
		update(w, obj, func(s *v1alpha1.SealedSecret) { s.Spec.Template.Data = map[string]*string{"t": text(template)} })
		got := w.failed("app", want).Status.Conditions[0]
		if got.Reason != v1alpha1.ReasonTemplateFailed || !strings.HasSuffix(got.Message, "; correct spec.template.data") {
			t.Errorf("%+v", got)
		}
		return got.Message
	}
	for template, want := range map[string]string{
		`{{ fail .password }}`:           `template "t" at line 1, column 3: the template called fail`,
		`{{ .password | mustFromJson }}`: `function "mustFromJson" does not accept these arguments`,
		`{{ getHostByName .password }}`:  `function "getHostByName" does not exist or is not allowed`,
		`{{ if }}`:                       `template "t" at line 1: the syntax is wrong`,
	} {
		check(template, want)
	}
	// The steps are limited and the time is: where so much else runs that the time is over first, it is tried again.
	const endless = `{{ range 9223372036854775807 }}{{ end }}`
	message, began := check(endless, "it takes too "), time.Now()
	for i := 1; strings.Contains(message, "it takes too long") && time.Since(began) < deadline; i++ {
		message = check(endless+strings.Repeat(" ", i), "it takes too ")
	}
	if !strings.Contains(message, "it takes too many steps") {
		t.Errorf("a loop without end: %s", message)
	}
	if diff := cmp.Diff(before, w.secret("app")); diff != "" {
		t.Error(diff)
	}
	w.checkCanary()
}
