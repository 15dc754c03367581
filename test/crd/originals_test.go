package crd_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// differences are what our definitions say otherwise than those of the originals, by kind, field and keyword. Each takes all that the
// original takes, or is in docs/compatibility.md.
func differences() map[string]any {
	return map[string]any{
		// An API server bounds what rules cost by these.
		"ExternalSecret .spec.data maxItems":                                   1000.0,
		"ExternalSecret .spec.dataFrom maxItems":                               1000.0,
		"ExternalSecret .spec.target.template.templateFrom maxItems":           100.0,
		"ExternalSecret .spec.syncWindows.windows maxItems":                    100.0,
		"ExternalSecret .spec.refreshInterval maxLength":                       64.0,
		"ExternalSecret .spec.syncWindows.windows[].duration maxLength":        64.0,
		"ExternalSecret .spec.target.manifest.apiVersion maxLength":            317.0, // a group and a version, which Kubernetes bounds
		"ExternalSecret .spec.target.manifest.kind maxLength":                  63.0,  // as Kubernetes does
		"ExternalSecret .spec.target.template.templateFrom[].target maxLength": 1024.0,
		"ExternalSecret .spec.target.template.type maxLength":                  253.0,
		"ClusterExternalSecret .spec.refreshTime maxLength":                    64.0,
		"SecretStore .spec.provider.webhook.timeout maxLength":                 64.0,
		"SecretStore .spec.refreshInterval maxLength":                          64.0,
		// Null is what charts write for what is left out.
		"ExternalSecret .spec.target nullable":          true,
		"ExternalSecret .spec.target.template nullable": true,
		"SealedSecret .spec.template.data{} nullable":   true,
		// Providers that are not built in are kept.
		"SecretStore .spec.provider x-kubernetes-preserve-unknown-fields": true,
		// A rule says the same, with words.
		"SecretStore .spec.provider.kubernetes.auth minProperties": nil,
		"SecretStore .spec.provider.kubernetes.auth maxProperties": nil,
		// The number is one of three.
		"SecretStore .spec.provider.fake.validationResult format": "int32",
		// Older API servers take no notice of a format, and a number beyond it cannot be read.
		"SecretStore .spec.provider.fake.validationResult minimum": -2147483648.0,
		"SecretStore .spec.provider.fake.validationResult maximum": 2147483647.0,
		"SecretStore .spec.retrySettings.maxRetries minimum":       -2147483648.0,
		"SecretStore .spec.retrySettings.maxRetries maximum":       2147483647.0,
		// The store's condition names what is missing, and a path has a default.
		"SecretStore .spec.provider.kubernetes.auth.cert required":  nil,
		"SecretStore .spec.provider.kubernetes.auth.token required": nil,
		"SecretStore .spec.provider.vault.auth.appRole required":    []any{"secretRef"},
		"SecretStore .spec.provider.vault.auth.jwt required":        nil,
		"SecretStore .spec.provider.vault.auth.kubernetes required": []any{"role"},
		"SecretStore .spec.provider.vault.auth.ldap required":       []any{"username"},
		"SecretStore .spec.provider.vault.auth.userPass required":   []any{"username"},
	}
}

// A manifest that an original takes is not refused here, and what it refuses is refused as well: they are the same but for what is
// listed.
func TestOurDefinitionsSayWhatThoseOfTheOriginalsSay(t *testing.T) {
	t.Parallel()
	theirs, ours := originals(t), said(t)
	found := map[string]any{}
	for field, original := range theirs {
		our, ok := ours[field]
		if !ok {
			t.Errorf("%s is missing", field)
			continue
		}
		for keyword := range keywords(original, our) {
			if !reflect.DeepEqual(original[keyword], our[keyword]) {
				found[field+" "+keyword] = our[keyword]
			}
		}
	}
	for field := range ours {
		if _, ok := theirs[field]; !ok {
			t.Errorf("%s is a field of ours alone", field)
		}
	}
	if diff := cmp.Diff(differences(), found); diff != "" {
		t.Errorf("what our definitions say otherwise (-listed, +found):\n%s", diff)
	}
}

func TestOneSpecIsSaidOnce(t *testing.T) {
	t.Parallel()
	specs := map[string]map[string]any{}
	for _, v := range versions(t) {
		if v.stored {
			specs[v.kind] = property(v.schema, "spec")
		}
	}
	if diff := cmp.Diff(wordless(specs["SecretStore"]), wordless(specs["ClusterSecretStore"])); diff != "" {
		t.Errorf("the two kinds of stores differ:\n%s", diff)
	}
	held := property(specs["ClusterExternalSecret"], "externalSecretSpec")
	if diff := cmp.Diff(wordless(specs["ExternalSecret"]), wordless(held)); diff != "" {
		t.Errorf("what a ClusterExternalSecret holds is another ExternalSecret:\n%s", diff)
	}
}

// originals reads testdata/originals.txt: what is said about each field of each kind.
func originals(t *testing.T) map[string]map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "originals.txt"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.Index(line, " {")
		var says map[string]any
		if at < 0 || json.Unmarshal([]byte(line[at:]), &says) != nil {
			t.Fatalf("cannot be read: %s", line)
		}
		out[line[:at]] = says
	}
	return out
}

// said is what our definitions say about each field of the kinds of the originals.
func said(t *testing.T) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, v := range versions(t) {
		if !v.stored || v.kind == "GitSync" || v.kind == "ClusterSecretStore" {
			continue
		}
		walk(".spec", property(v.schema, "spec"), func(path string, node map[string]any) {
			if !strings.HasPrefix(path, ".spec.externalSecretSpec") {
				out[v.kind+" "+path] = node
			}
		})
	}
	return out
}

// keywords are those that constrain a value.
func keywords(nodes ...map[string]any) map[string]bool {
	out := map[string]bool{}
	for _, node := range nodes {
		for keyword, value := range node {
			switch keyword {
			case "description", "properties", "items", "additionalProperties", "x-kubernetes-validations", "default":
				continue
			case "enum", "required":
				if list, ok := value.([]any); ok {
					node[keyword] = slices.SortedFunc(slices.Values(list), func(a, b any) int { return strings.Compare(toText(a), toText(b)) })
				}
			}
			out[keyword] = true
		}
	}
	return out
}

func toText(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}

// wordless returns a schema without its descriptions.
func wordless(node map[string]any) map[string]any {
	out := maps.Clone(node)
	delete(out, "description")
	if properties, ok := node["properties"].(map[string]any); ok {
		clean := make(map[string]any, len(properties))
		for name := range properties {
			clean[name] = wordless(property(node, name))
		}
		out["properties"] = clean
	}
	for _, below := range []string{"items", "additionalProperties"} {
		if child, ok := node[below].(map[string]any); ok {
			out[below] = wordless(child)
		}
	}
	return out
}
