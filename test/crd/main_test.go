// Package crd_test holds the definitions in config/crd against a real API server: that they install the way people
// install them, keep every manifest as it was applied, refuse what cannot work, and let nothing in that our own types
// cannot read.
package crd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/externalsecrets/v1beta1"
	sealbridge "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	sealed "github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }

// newClient returns a client that knows our types.
func newClient(t *testing.T, cp *controlplane.ControlPlane) client.Client {
	t.Helper()
	c, err := client.New(cp.Config(), client.Options{Scheme: newScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{esv1.AddToScheme, v1beta1.AddToScheme, sealed.AddToScheme, sealbridge.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// parse reads one manifest.
func parse(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(manifest))
	if err != nil {
		t.Fatalf("parse manifest: %v\n%s", err, manifest)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(raw); err != nil {
		t.Fatalf("parse manifest: %v\n%s", err, manifest)
	}
	return obj
}

// place gives obj the namespace, unless its kind has none.
func place(t *testing.T, c client.Client, obj client.Object, namespace string) {
	t.Helper()
	gvk := obj.GetObjectKind().GroupVersionKind()
	mapping, err := c.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		t.Fatal(err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		obj.SetNamespace(namespace)
	}
}

// typed returns a new object of our type for obj's kind.
func typed(t *testing.T, c client.Client, obj client.Object) client.Object {
	t.Helper()
	out, err := c.Scheme().New(obj.GetObjectKind().GroupVersionKind())
	if err != nil {
		t.Fatal(err)
	}
	return out.(client.Object)
}

// files returns the YAML files of a folder of config by name.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", "..", "config", folder, "*.yaml"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no manifests in config/%s (%v)", folder, err)
	}
	out := make(map[string]string, len(names))
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(name), ".yaml")] = string(raw)
	}
	return out
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
