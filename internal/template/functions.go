package template

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
)

// forbidden are the functions of sprig that reach out of the template: the environment of the controller and the
// network (CVE-2026-34984 of External Secrets Operator leaked values through name lookups).
func forbidden() []string { return []string{"env", "expandenv", "getHostByName"} }

// functions returns everything that a template may call, each wrapped so that m counts and bounds it.
func (m *meter) functions() template.FuncMap {
	all := sprig.GenericFuncMap()
	for _, name := range forbidden() {
		delete(all, name)
	}
	all["fail"] = fail
	all["toYaml"] = toYAML
	all["fromYaml"] = fromYAML
	// The built-in ones whose results can be larger than their arguments, or that print their arguments.
	all["print"] = fmt.Sprint
	all["println"] = fmt.Sprintln
	all["printf"] = fmt.Sprintf
	all["html"] = template.HTMLEscaper
	all["js"] = template.JSEscaper
	all["urlquery"] = template.URLQueryEscaper

	guards := guards()
	wrapped := make(template.FuncMap, len(all))
	for name, fn := range all {
		wrapped[name] = m.wrap(name, fn, guards[name])
	}
	return wrapped
}

// fail ends the template. Its message is dropped on purpose: `fail .password` must not show the password.
func fail(string) (string, error) { return "", errFail }

// toYAML returns v as YAML without the last newline, as External Secrets Operator does.
func toYAML(v any) (string, error) {
	out, err := yaml.Marshal(v)
	return strings.TrimSuffix(string(out), "\n"), err
}

// fromYAML reads a YAML mapping.
func fromYAML(text string) (map[string]any, error) {
	out := map[string]any{}
	return out, yaml.Unmarshal([]byte(text), &out)
}
