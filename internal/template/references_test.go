package template

import "testing"

func TestWhatATemplateReadsIsSeen(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct{ key, property, other bool }{
		"plain":                               {},
		"{{ .ref.key }}":                      {key: true},
		"{{ .ref.key | upper | quote }}":      {key: true},
		"{{ $.ref.property }}":                {property: true},
		"{{ (.ref).key }}":                    {key: true, property: true},
		"{{ .ref }}":                          {key: true, property: true},
		"{{ index .ref \"key\" }}":            {key: true, property: true},
		"{{ index . \"ref\" \"key\" }}":       {key: true, property: true, other: true},
		"{{ . | toJson }}":                    {key: true, property: true, other: true},
		"{{ $ | toJson }}":                    {key: true, property: true, other: true},
		"{{ $x := . }}{{ $x.ref.key }}":       {key: true, property: true, other: true},
		"{{ with .ref.key }}{{ . }}{{ end }}": {key: true},
		"{{ with .ref }}{{ .key }}{{ end }}":  {key: true, property: true},
		"{{ with .other }}{{ $.ref.key }}{{ else }}{{ . }}{{ end }}":      {key: true, property: true, other: true},
		"{{ if .ref.key }}{{ .other.x }}{{ end }}":                        {key: true, other: true},
		"{{ range $k, $v := .ref }}{{ $v }}{{ end }}":                     {key: true, property: true},
		"{{ define \"x\" }}{{ .ref.key }}{{ end }}{{ template \"x\" . }}": {key: true, property: true, other: true},
		"{{ block \"x\" .ref }}{{ .key }}{{ end }}":                       {key: true, property: true},
		"{{ define \"x\" }}{{ . }}{{ end }}{{ template \"x\" .ref.key }}": {key: true},
		`{{ define "x" }}{{ if . }}{{ . }}{{ else }}{{ . }}{{ end }}{{ with . }}{{ else }}{{ . }}{{ end }}{{ range list . }}{{ else }}{{ .x }}{{ end }}{{ (dict "a" .).a }}{{ template "y" . }}{{ end }}{{ define "y" }}{{ end }}{{ template "x" .ref.key }}`: {key: true},
		"{{ printf \"%s\" (printf \"%s\" .ref.property) }}": {property: true},
	} {
		refs, err := New(Options{}).References("t", text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := struct{ key, property, other bool }{refs.Reads("ref", "key"), refs.Reads("ref", "property"), refs.Reads("other", "x")}
		if got != want {
			t.Errorf("%s: reads %+v, want %+v", text, got, want)
		}
	}
	if _, err := New(Options{}).References("t", "{{ nope }}"); err == nil || err.Error() != `template "t" at line 1: function "nope" does not exist or is not allowed` {
		t.Error(err)
	}
}

func TestDataInGroupsIsReadByItsNames(t *testing.T) {
	t.Parallel()
	data := map[string]map[string]string{"a": {"k": "v", "x.y": "z"}}
	got, err := New(Options{MissingKey: MissingKeyNoValue}).RenderGroups(t.Context(), "t", `{{ .a.k }}-{{ index .a "x.y" }}-{{ if .b.c }}no{{ else }}none{{ end }}-{{ .a.nope }}`, data)
	if err != nil || string(got) != "v-z-none-<no value>" {
		t.Errorf("%q, %v", got, err)
	}
}
