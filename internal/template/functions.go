package template

import (
	"crypto/sha1" //nolint:gosec // of htpasswd, where the template asks for it
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
)

// forbidden are the functions of sprig that reach out of the template: the environment of the controller and the
// network (CVE-2026-34984 of External Secrets Operator leaked values through name lookups).
func forbidden() []string { return []string{"env", "expandenv", "getHostByName"} }

// allowed returns every function that a template may call, as it is.
func allowed() template.FuncMap {
	all := sprig.GenericFuncMap()
	for _, name := range forbidden() {
		delete(all, name)
	}
	all["fail"] = fail
	if bcrypted, ok := all["htpasswd"].(func(user, password string) string); ok {
		all["htpasswd"] = htpasswd(bcrypted)
	}
	// In sprig these two return another order each time, and with it the Secret would change at each refresh.
	all["keys"], all["values"] = keys, values
	for _, name := range []string{"merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite"} {
		all[name] = merging(all[name])
	}
	maps.Copy(all, operators())
	// The built-in ones whose results can be larger than their arguments, or that print their arguments.
	all["print"] = fmt.Sprint
	all["println"] = fmt.Sprintln
	all["printf"] = fmt.Sprintf
	all["html"] = template.HTMLEscaper
	all["js"] = template.JSEscaper
	all["urlquery"] = template.URLQueryEscaper
	return all
}

// keys returns the keys of the dictionaries, each one's sorted.
func keys(dicts ...map[string]any) []string {
	out := []string{}
	for _, dict := range dicts {
		out = append(out, slices.Sorted(maps.Keys(dict))...)
	}
	return out
}

// values returns the values of a dictionary in the order of their keys.
func values(dict map[string]any) []any {
	out := []any{}
	for _, key := range slices.Sorted(maps.Keys(dict)) {
		out = append(out, dict[key])
	}
	return out
}

// merging returns a function of sprig that merges, and which is given copies. When a source shares dictionaries with the destination
// or with itself, to merge can put one into itself while it is walked: that used up the stack, which ends the process.
func merging(merge any) any {
	switch merge := merge.(type) {
	case func(map[string]any, ...map[string]any) any:
		return func(into map[string]any, from ...map[string]any) any { return merge(into, copies(from)...) }
	case func(map[string]any, ...map[string]any) (any, error):
		return func(into map[string]any, from ...map[string]any) (any, error) { return merge(into, copies(from)...) }
	default:
		return nil
	}
}

func copies(dicts []map[string]any) []map[string]any {
	out := make([]map[string]any, len(dicts))
	for i, dict := range dicts {
		out[i] = copied(dict)
	}
	return out
}

// copied returns a dictionary in which every dictionary below it is a copy of its own. What else there is, is not changed by who merges.
func copied(dict map[string]any) map[string]any {
	out := maps.Clone(dict)
	for key, value := range dict {
		if inner, ok := value.(map[string]any); ok {
			out[key] = copied(inner)
		}
	}
	return out
}

// operators returns the functions that External Secrets Operator adds to those of sprig.
func operators() template.FuncMap {
	return template.FuncMap{
		"toYaml":                    toYAML,
		"fromYaml":                  fromYAML,
		"filterPEM":                 filterPEM,
		"filterCertChain":           filterCertChain,
		"certSANs":                  certSANs,
		"jwkPublicKeyPem":           jwkPublicKeyPem,
		"jwkPrivateKeyPem":          jwkPrivateKeyPem,
		"rsaDecrypt":                rsaDecrypt,
		"hexdec":                    hexdec,
		"pkcs12key":                 pkcs12key,
		"pkcs12keyPass":             pkcs12keyPass,
		"pkcs12cert":                pkcs12cert,
		"pkcs12certPass":            pkcs12certPass,
		"pemToPkcs12":               pemToPkcs12,
		"pemToPkcs12Pass":           pemToPkcs12Pass,
		"fullPemToPkcs12":           fullPemToPkcs12,
		"fullPemToPkcs12Pass":       fullPemToPkcs12Pass,
		"pemTruststoreToPKCS12":     pemTruststoreToPKCS12,
		"pemTruststoreToPKCS12Pass": pemTruststoreToPKCS12Pass,
	}
}

// words are what could be the name of a function. Only those that occur in a text are wrapped: a handful of two hundred.
var words = regexp.MustCompile(`[A-Za-z0-9_]+`)

// fail ends the template. Its message is dropped on purpose: `fail .password` must not show the password.
func fail(string) (string, error) { return "", errFail }

// htpasswd returns a line of an htpasswd file. As External Secrets Operator has it the last argument names the algorithm: "sha", or
// anything else for bcrypt, which is also what there is without it, as in sprig.
func htpasswd(bcrypted func(user, password string) string) any {
	return func(user, password string, algorithm ...string) (string, error) {
		switch {
		case len(algorithm) > 1:
			return "", errArguments
		case slices.Equal(algorithm, []string{"sha"}) && !strings.Contains(user, ":"):
			sum := sha1.Sum([]byte(password)) //nolint:gosec // what the template asks for
			return user + ":{SHA}" + base64.StdEncoding.EncodeToString(sum[:]), nil
		default:
			return bcrypted(user, password), nil
		}
	}
}

var errArguments = errors.New("there are too many arguments")

// hexdec returns the bytes that hexadecimal digits stand for.
func hexdec(text string) (string, error) {
	out, err := hex.DecodeString(text)
	return string(out), err
}

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
