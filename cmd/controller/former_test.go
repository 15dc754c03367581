package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// formerDefinition writes the definition of SealedSecrets as releases of Sealed Secrets had it that said nothing of the spec.
func formerDefinition(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../config/crd/bitnami.com_sealedsecrets.yaml")
	must(t, err)
	var definition unstructured.Unstructured
	must(t, yaml.Unmarshal(text, &definition.Object))
	versions, _, err := unstructured.NestedSlice(definition.Object, "spec", "versions")
	must(t, err)
	version, _ := versions[0].(map[string]any)
	anything := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	must(t, unstructured.SetNestedMap(version, anything, "schema", "openAPIV3Schema", "properties", "spec"))
	must(t, unstructured.SetNestedSlice(definition.Object, versions, "spec", "versions"))
	text, err = yaml.Marshal(definition.Object)
	must(t, err)
	path := filepath.Join(t.TempDir(), "definition.yaml")
	must(t, os.WriteFile(path, text, 0o600))
	return path
}

// What a former definition let in is still stored under the one of today, and fails the list of all objects where it cannot be decoded.
func TestASealedSecretOfAFormerDefinitionHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	bin := process.Require(t, "sealbridge")
	cp, err := controlplane.Start(t.Context(), controlplane.Options{CRDs: []string{formerDefinition(t)}})
	if err != nil {
		process.Missing(t, err)
	}
	t.Cleanup(func() { must(t, cp.Stop()) })
	w := worldOn(t, cp)
	for name, data := range map[string]string{"number": "{a: 1}", "object": "{a: {b: c}}", "list": "[" + canary + "]", "text": canary} {
		must(t, cp.Apply(t.Context(), "{apiVersion: bitnami.com/v1alpha1, kind: SealedSecret, metadata: {name: "+name+", namespace: "+w.ns+"}, spec: {encryptedData: "+data+"}}"))
	}
	must(t, cp.InstallCRDs(t.Context(), "../../config/crd"))
	r := w.start()
	w.create("fine", r.certificate(), nil)
	w.opened("fine")
	const short, none = "sealed value is too short; it was cut off (a): seal again", "spec.encryptedData is no map of keys to sealed values"
	for name, says := range map[string]string{"number": short, "object": short, "list": none, "text": none} {
		w.eventually(name+" is reported", func() bool {
			var obj v1alpha1.SealedSecret
			must(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &obj))
			return len(obj.Status.Conditions) > 0 && strings.HasPrefix(obj.Status.Conditions[0].Message, says)
		})
	}
	cmd := exec.CommandContext(t.Context(), bin, "keys", "list", "--controller-namespace", w.ns)
	cmd.Env = []string{"HOME=" + t.TempDir(), "KUBECONFIG=" + cp.Kubeconfig()}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "sealed-secrets-key-first") {
		t.Errorf("keys list: %v: %s", err, out)
	}
}
