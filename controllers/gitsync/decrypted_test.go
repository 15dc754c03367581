package gitsync_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/gitsync/source"
	"github.com/sealbridge/sealbridge/crypto/sopsfile"
	"github.com/sealbridge/sealbridge/crypto/sopsfile/sopstest"
	"github.com/sealbridge/sealbridge/test/harness/gitserver"
)

// whole encrypts a file as one value: keys and all, which SOPS leaves readable in YAML.
func (o *origin) whole(plain string) string {
	o.Helper()
	return string(sopstest.Encrypt(o.T, sopstest.File{Format: sopsfile.Binary, Plain: plain, Recipients: []string{o.to}}))
}

// Each folder of one repository has an encrypted file whose value ends where something goes wrong with it: in the build, at the API
// server, or not at all. That no status and no event shows it is looked at when the test ends, and the log when the package does.
func TestADecryptedValueIsNowhereWhateverGoesWrongWithIt(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, source.Limits{})
	config := func(rest string) string { return "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n" + rest }
	pod := func(rest string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec:\n  containers:\n  - name: c\n    image: i\n" + rest
	}
	// patched is an object in the clear, and a patch of it that is encrypted as a whole.
	patched := func(object, patch string) map[string]string {
		return map[string]string{
			"kustomization.yaml": "resources: [x.yaml]\npatches:\n- {path: p.txt, target: {name: x}}\n", "x.yaml": object, "p.txt": o.whole(patch),
		}
	}
	replaced := func(target string) map[string]string {
		return map[string]string{
			"kustomization.yaml": "resources: [s.yaml, x.yaml]\nreplacements:\n- source: {kind: Secret, name: db, fieldPath: stringData.password}\n  targets: [" + target + "]\n",
			"s.yaml":             o.sops(plainSecret), "x.yaml": config(""),
		}
	}
	for folder, tc := range map[string]struct {
		files        map[string]string
		reason, says string
	}{
		"applied":        {map[string]string{"s.yaml": o.sops(plainSecret)}, v1alpha1.ReasonSucceeded, "applied revision"},
		"not-base64":     {map[string]string{"s.yaml": o.sops(strings.Replace(plainSecret, "stringData", "data", 1))}, v1alpha1.ReasonBuildFailed, "data.password is not base64"},
		"no-string":      {map[string]string{"s.yaml": o.sops(strings.Replace(plainSecret, canary, "["+canary+"]", 1))}, v1alpha1.ReasonBuildFailed, "stringData.password of Secret db is no text"},
		"secret-type":    {map[string]string{"s.yaml": o.sops("apiVersion: v1\nkind: Secret\nmetadata: {name: t}\ntype: kubernetes.io/tls\nstringData: {tls.crt: " + canary + "}\n")}, v1alpha1.ReasonApplyFailed, "Invalid for data[tls.key]"},
		"label":          {map[string]string{"x.yaml": o.sops(config("  labels: {a: '" + canary + "!'}\n"))}, v1alpha1.ReasonApplyFailed, "Invalid for metadata.labels"},
		"wrong-type":     {map[string]string{"x.yaml": o.sops("apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: " + canary + "}]}\n")}, v1alpha1.ReasonApplyFailed, "a value of another type"},
		"wrong-data":     {map[string]string{"x.yaml": o.sops(config("data: " + canary + "\n"))}, v1alpha1.ReasonApplyFailed, "a value of another type"},
		"twice":          {map[string]string{"x.yaml": o.sops(pod("    env: [{name: " + canary + "}, {name: " + canary + "}]\n"))}, v1alpha1.ReasonApplyFailed, "a value of another type"},
		"finalizer":      {map[string]string{"x.yaml": o.sops(config("  finalizers: [" + canary + "]\n"))}, v1alpha1.ReasonApplyFailed, "Invalid for metadata.finalizers"},
		"owner":          {map[string]string{"x.yaml": o.sops(config("  ownerReferences: [{apiVersion: v1, kind: Pod, name: " + canary + "}]\n"))}, v1alpha1.ReasonApplyFailed, "Invalid for metadata.ownerReferences"},
		"choice":         {map[string]string{"x.yaml": o.sops("apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: x}\nspec: {refreshPolicy: " + canary + "}\n")}, v1alpha1.ReasonApplyFailed, "Invalid for spec.refreshPolicy"},
		"annotation":     {patched(config(""), "- {op: add, path: /metadata/annotations, value: {"+canary+"/a/b: x}}\n"), v1alpha1.ReasonApplyFailed, "Invalid for metadata.annotations"},
		"key-twice":      {patched(config(""), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {"+canary+": x}\nbinaryData: {"+canary+": eHg=}\n"), v1alpha1.ReasonApplyFailed, "Invalid for data"},
		"schema":         {patched("apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: x}\nspec: {data: []}\n", "- {op: add, path: /spec/target, value: {template: {data: {"+canary+": null, b: x}, templateFrom: [{literal: x, target: "+canary+"/"+canary+"}]}}}\n"), v1alpha1.ReasonApplyFailed, "Invalid for spec.target"},
		"resource":       {patched(pod(""), "- {op: add, path: /spec/containers/0/resources, value: {limits: {"+canary+": 1}}}\n"), v1alpha1.ReasonApplyFailed, "Invalid for spec.containers[0].resources.limits"},
		"unknown-field":  {patched(config(""), "- {op: add, path: /"+canary+", value: x}\n"), v1alpha1.ReasonApplyFailed, "a field is not one of its kind"},
		"patch":          {patched(config(""), "- {op: replace, path: /data/"+canary+", value: x}\n"), v1alpha1.ReasonBuildFailed, "cannot be built"},
		"not-a-patch":    {patched(config(""), canary+"\n"), v1alpha1.ReasonBuildFailed, "patches[0].path is not valid YAML"},
		"patch-twice":    {patched(config(""), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {"+canary+": x, "+canary+": y}\n"), v1alpha1.ReasonBuildFailed, "patches[0].path is not valid YAML"},
		"no-target":      {replaced("{select: {kind: ConfigMap}, fieldPaths: [data.nothing]}"), v1alpha1.ReasonBuildFailed, "cannot be built"},
		"into-a-label":   {replaced("{select: {kind: ConfigMap}, fieldPaths: [metadata.labels.a], options: {create: true, delimiter: '-', index: -1}}"), v1alpha1.ReasonApplyFailed, "Invalid for metadata.labels"},
		"into-a-kind":    {replaced("{select: {kind: ConfigMap}, fieldPaths: [data], options: {create: true}}"), v1alpha1.ReasonApplyFailed, "a value of another type"},
		"not-an-object":  {map[string]string{"x.yaml": o.sops("a: " + canary + "\n")}, v1alpha1.ReasonBuildFailed, "not a Kubernetes object"},
		"list-of-values": {map[string]string{"x.yaml": o.sops("apiVersion: v1\nkind: List\nitems: [" + canary + "]\n")}, v1alpha1.ReasonBuildFailed, "x.yaml"},
		"kustomization":  {map[string]string{"kustomization.yaml": o.sops("resources: [" + canary + "]\n")}, v1alpha1.ReasonBuildFailed, "a kustomization is never decrypted"},
	} {
		t.Run(folder, func(t *testing.T) {
			files := map[string]string{}
			for name, text := range tc.files {
				files[folder+"/"+name] = text
			}
			o.commit(gitserver.Change{Files: files})
			o.gitSync(folder, func(s *v1alpha1.GitSyncSpec) {
				s.URL, s.SecretRef, s.Path = o.repo.HTTPS(), &v1alpha1.LocalRef{Name: "https"}, folder
				s.Decryption = &v1alpha1.Decryption{SecretRef: &v1alpha1.LocalRef{Name: "age"}}
			})
			var ready metav1.Condition
			o.eventually("GitSync "+folder+" has ended", func() bool {
				ready = condition(o.get(folder), v1alpha1.ConditionReady)
				return ready.Status == metav1.ConditionTrue || ready.Status == metav1.ConditionFalse
			})
			t.Log(ready.Reason, ready.Message)
			if ready.Reason != tc.reason || !strings.Contains(ready.Message, tc.says) {
				t.Errorf("%s: %q, want %s: %q", ready.Reason, ready.Message, tc.reason, tc.says)
			}
			o.checkCanary()
			o.delete("sealbridge.dev/v1alpha1", "GitSync", folder)
			o.eventually("the GitSync is gone", func() bool { return !o.exists("sealbridge.dev/v1alpha1", "GitSync", folder) })
		})
	}
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(families)
	if err != nil || !strings.Contains(string(text), "gitsync") {
		t.Fatalf("the metrics know no GitSync: %v", err)
	}
	if strings.Contains(fmt.Sprint(string(text)), canary) {
		t.Error("a metric shows the value")
	}
}
