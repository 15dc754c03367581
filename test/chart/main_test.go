// Package chart_test holds charts/sealbridge to what config/ installs, and to what people expect of a chart: with the real Helm, a
// real API server, and the controller's own program with the arguments and the ServiceAccount that the chart gave it.
package chart_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(controlplane.Run(m))
}

// The release and the namespace with which the names are those of config.
const (
	release = "sealbridge"
	system  = "sealbridge-system"
)

// root is the root of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// helm is the real Helm with a home of its own.
type helm struct {
	t     *testing.T
	path  string
	chart string
	env   []string
}

// newHelm returns Helm with the cluster of a kubeconfig; without one it reaches none.
func newHelm(t *testing.T, kubeconfig string) *helm {
	t.Helper()
	home := t.TempDir()
	return &helm{
		t: t, path: process.Require(t, "helm"), chart: filepath.Join(root(t), "charts", "sealbridge"),
		env: []string{"HOME=" + home, "KUBECONFIG=" + kubeconfig, "KUBECACHEDIR=" + filepath.Join(home, "cache"), "TMPDIR=" + home},
	}
}

// try runs Helm with the values, of which each is a file, and returns what it says.
func (h *helm) try(values []string, args ...string) (stdout string, err error) {
	h.t.Helper()
	for _, text := range values {
		file, err := os.CreateTemp(h.t.TempDir(), "values-*.yaml")
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := file.WriteString(text); err != nil {
			h.t.Fatal(err)
		}
		_ = file.Close()
		args = append(args, "--values", file.Name())
	}
	cmd := exec.CommandContext(h.t.Context(), h.path, args...)
	cmd.Env = h.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), errors.New("helm " + strings.Join(args, " ") + ": " + errs.String())
	}
	return out.String(), nil
}

// run does as try and fails the test when Helm fails.
func (h *helm) run(values []string, args ...string) string {
	h.t.Helper()
	out, err := h.try(values, args...)
	if err != nil {
		h.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// template renders the chart as the release, with the values.
func (h *helm) template(values ...string) string {
	h.t.Helper()
	return h.run(values, "template", release, h.chart, "--namespace", system)
}

// objects are those of manifests by "Kind namespace/name".
func objects(t *testing.T, manifests string) map[string]*unstructured.Unstructured {
	t.Helper()
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(manifests), 4096)
	out := map[string]*unstructured.Unstructured{}
	for {
		obj := &unstructured.Unstructured{}
		err := decoder.Decode(&obj.Object)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(obj.Object) == 0 {
			continue
		}
		key := obj.GetKind() + " " + obj.GetNamespace() + "/" + obj.GetName()
		if out[key] != nil {
			t.Errorf("%s is there twice", key)
		}
		out[key] = obj
	}
}

// names are those of the objects of a kind.
func names(objs map[string]*unstructured.Unstructured, kind string) []string {
	var out []string
	for key := range objs {
		if name, ok := strings.CutPrefix(key, kind+" "); ok {
			out = append(out, name)
		}
	}
	return slices.Sorted(slices.Values(out))
}

// keys are the sorted keys of a map.
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// write writes a file and the folders that it lies in.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
