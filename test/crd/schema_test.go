package crd_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// maxAnnotation is what Kubernetes allows all annotations of an object together. Client-side kubectl apply puts the whole
// manifest into one.
const maxAnnotation = 256 * 1024

func TestEveryDefinitionFitsClientSideApply(t *testing.T) {
	t.Parallel()
	for name, manifest := range files(t, "crd") {
		raw, err := yaml.YAMLToJSON([]byte(manifest))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(raw) > maxAnnotation*3/4 {
			t.Errorf("%s has %d bytes as an annotation, more than three quarters of the %d that fit", name, len(raw), maxAnnotation)
		}
	}
}

func TestNoSpecHasADefaultSoThatWhatIsStoredIsWhatWasApplied(t *testing.T) {
	t.Parallel()
	allowed := map[string]string{"GitSync v1alpha1 .status": `{"observedGeneration":-1}`}
	for _, version := range versions(t) {
		walk("", version.schema, func(path string, node map[string]any) {
			value, ok := node["default"]
			if !ok {
				return
			}
			raw, _ := json.Marshal(value)
			where := version.kind + " " + version.name + " " + path
			if allowed[where] != string(raw) {
				t.Errorf("%s has the default %s", where, raw)
			}
		})
	}
}

func TestEveryFieldIsExplained(t *testing.T) {
	t.Parallel()
	for _, version := range versions(t) {
		walk("", version.schema, func(path string, node map[string]any) {
			if !strings.HasPrefix(path, ".spec") && !strings.HasPrefix(path, ".status") {
				return
			}
			if strings.HasSuffix(path, "[]") || strings.HasSuffix(path, "{}") || node["description"] != nil {
				return
			}
			t.Errorf("kubectl explain has no words for %s %s %s", version.kind, version.name, path)
		})
	}
}

func TestBothVersionsHaveOneSchemaSoThatNeitherLosesAField(t *testing.T) {
	t.Parallel()
	byKind := map[string][]definition{}
	for _, version := range versions(t) {
		byKind[version.kind] = append(byKind[version.kind], version)
	}
	for kind, versions := range byKind {
		for _, other := range versions[1:] {
			for _, part := range []string{"spec", "status"} {
				if diff := cmp.Diff(property(versions[0].schema, part), property(other.schema, part)); diff != "" {
					t.Errorf("%s of %s differs between %s and %s (-, +):\n%s", part, kind, versions[0].name, other.name, diff)
				}
			}
			if diff := cmp.Diff(versions[0].columns, other.columns); diff != "" {
				t.Errorf("columns of %s differ between %s and %s (-, +):\n%s", kind, versions[0].name, other.name, diff)
			}
		}
	}
}

func TestServedAndStoredVersionsAreThoseThatManifestsUse(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, v := range versions(t) {
		state := ""
		if v.served {
			state = "served"
		}
		if v.stored {
			state += " stored"
		}
		got[v.kind+" "+v.group+"/"+v.name] = state
	}
	want := map[string]string{
		"ExternalSecret external-secrets.io/v1":             "served stored",
		"ExternalSecret external-secrets.io/v1beta1":        "served",
		"SecretStore external-secrets.io/v1":                "served stored",
		"SecretStore external-secrets.io/v1beta1":           "served",
		"ClusterSecretStore external-secrets.io/v1":         "served stored",
		"ClusterSecretStore external-secrets.io/v1beta1":    "served",
		"ClusterExternalSecret external-secrets.io/v1":      "served stored",
		"ClusterExternalSecret external-secrets.io/v1beta1": "served",
		"SealedSecret bitnami.com/v1alpha1":                 "served stored",
		"GitSync sealbridge.dev/v1alpha1":                   "served stored",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
}

// definition is one version of one kind.
type definition struct {
	group, kind, name string
	served, stored    bool
	schema            map[string]any
	columns           []any
}

// versions returns all versions of all kinds in config/crd.
func versions(t *testing.T) []definition {
	t.Helper()
	var out []definition
	for name, manifest := range files(t, "crd") {
		var crd struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name                     string
					Served, Storage          bool
					AdditionalPrinterColumns []any
					Schema                   struct{ OpenAPIV3Schema map[string]any }
				}
			}
		}
		if err := yaml.Unmarshal([]byte(manifest), &crd); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, v := range crd.Spec.Versions {
			if property(v.Schema.OpenAPIV3Schema, "spec") == nil {
				t.Fatalf("%s: version %s has no schema", name, v.Name)
			}
			out = append(out, definition{
				group: crd.Spec.Group, kind: crd.Spec.Names.Kind, name: v.Name, served: v.Served, stored: v.Storage,
				schema: v.Schema.OpenAPIV3Schema, columns: v.AdditionalPrinterColumns,
			})
		}
	}
	return out
}

// property returns the schema of a field, nil when there is none.
func property(schema map[string]any, name string) map[string]any {
	properties, _ := schema["properties"].(map[string]any)
	node, _ := properties[name].(map[string]any)
	return node
}

// walk calls visit for each node of a schema with its path, such as ".spec.data[].secretKey".
func walk(path string, node map[string]any, visit func(path string, node map[string]any)) {
	visit(path, node)
	properties, _ := node["properties"].(map[string]any)
	for name := range maps.Keys(properties) {
		if child := property(node, name); child != nil {
			walk(path+"."+name, child, visit)
		}
	}
	if items, ok := node["items"].(map[string]any); ok {
		walk(path+"[]", items, visit)
	}
	if values, ok := node["additionalProperties"].(map[string]any); ok {
		walk(path+"{}", values, visit)
	}
}

// TestANumberHasTheBoundsOfItsType: an API server of 1.31 takes no notice of a format, and one object that cannot be decoded fails the
// list of all.
func TestANumberHasTheBoundsOfItsType(t *testing.T) {
	t.Parallel()
	for _, version := range versions(t) {
		walk("", version.schema, func(path string, node map[string]any) {
			if node["format"] == "int32" && (node["minimum"] == nil || node["maximum"] == nil) {
				t.Errorf("%s %s %s may be larger than an int32", version.kind, version.name, path)
			}
		})
	}
}
