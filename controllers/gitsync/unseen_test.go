package gitsync_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
)

// Each world looks for the canary in all statuses and events when its test ends, and the package in the log.

// A replacement can put a decrypted value anywhere in any object, also where the API server quotes it.
func TestARefusedObjectWithADecryptedValueIsNamedWithoutIt(t *testing.T) {
	t.Parallel()
	meta := func(apiVersion, kind string) string {
		return "{apiVersion: " + apiVersion + ", kind: " + kind + ", metadata: {name: x"
	}
	for name, tc := range map[string]struct{ doc, says string }{
		"a label":              {meta("v1", "ConfigMap") + ", labels: {a: '" + canary + "!'}}}", "Invalid for metadata.labels"},
		"a field that is none": {meta("v1", "ConfigMap") + "}, " + canary + ": x}", "a field is not one of its kind"},
		"a wrong type":         {meta("v1", "Service") + "}, spec: {ports: [{port: " + canary + "}]}}", "a field is not one of its kind, or has a value of another type"},
		"an address":           {meta("v1", "Service") + "}, spec: {externalIPs: [" + canary + "], ports: [{port: 80}]}}", "Invalid for spec.externalIPs[0]"},
		"a choice":             {meta("v1", "Service") + "}, spec: {type: " + canary + ", ports: [{port: 80}]}}", "Invalid for spec.type"},
		"a selector":           {meta("apps/v1", "Deployment") + "}, spec: {selector: {matchLabels: {a: " + canary + "}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}", "Invalid for spec.template.metadata.labels"},
		"an image":             {meta("v1", "Pod") + "}, spec: {containers: [{name: '" + canary + "!', image: i}]}}", "Invalid for spec.containers[0].name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start()
			w.push("app", decrypted+tc.doc)
			w.gitSync("app", nil)
			if message := w.failing("app", v1alpha1.ReasonApplyFailed); !strings.Contains(message, w.ns+"/x: ") || !strings.Contains(message, tc.says) {
				t.Errorf("message %q, want it to say %q", message, tc.says)
			}
		})
	}
}

// The API server warns of fields that it takes, and quotes them.
func TestAWarningAboutADecryptedValueIsNotLogged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	if err := w.Patch(t.Context(), ns, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/warn":"restricted"}}}`))); err != nil {
		t.Fatal(err)
	}
	w.start()
	revision := w.push("app", decrypted+"{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: "+canary+", image: i}]}}")
	w.gitSync("app", nil)
	w.ready("app", revision) // the log is looked at when the package ends
}

// What is in the cluster under the name of an object in Git can hold a value that was decrypted for it, or by somebody else.
func TestAnObjectThatCannotBeChangedIsNotShownAsItWas(t *testing.T) {
	t.Parallel()
	claim := func(class string) string {
		return "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x}, spec: {storageClassName: " + class +
			", accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}"
	}
	w := newWorld(t)
	w.start()
	revision := w.push("app", decrypted+claim(canary))
	w.gitSync("app", nil)
	w.ready("app", revision)
	w.push("app", claim("other"))
	message := w.failing("app", v1alpha1.ReasonApplyFailed)
	if want := "PersistentVolumeClaim " + w.ns + "/x: the API server answered Invalid for spec; an immutable field changed: "; !strings.Contains(message, want) {
		t.Errorf("message %q, want it to say %q", message, want)
	}
}

// Whatever makes Secrets has the name of one in a field of its own.
func TestAWorkloadThatWaitsNamesWhatMakesItsSecretWhenTheNameMayBeDecrypted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.push("app", decrypted+strings.ReplaceAll(externalSecret, "name: db}", "name: "+canary+"}"), decrypted+deployment("api", canary))
	w.gitSync("app", nil)
	want := "Deployment.apps " + w.ns + "/api waits for the Secret of ExternalSecret.external-secrets.io " + w.ns + "/db-external"
	w.eventually("it says: "+want, func() bool { return strings.Contains(w.failing("app", v1alpha1.ReasonProgressing), want) })
	w.report("external-secrets.io/v1", "ExternalSecret", "db-external",
		`{"syncedResourceVersion": "1-x", "conditions": [{"type": "Ready", "status": "True", "reason": "SecretSynced", `+now+`}]}`)
	want = "/db-external the Secret of ExternalSecret.external-secrets.io " + w.ns + "/db-external is not there yet"
	w.eventually("it says: "+want, func() bool { return strings.Contains(w.failing("app", v1alpha1.ReasonProgressing), want) })
}

// A StatefulSet in Git gives its pods, whose names are known before, labels that a replacement made.
func TestALabelByWhichAnotherToolOwnsAnObjectIsNotQuoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.kubectl(fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {kustomize.toolkit.fluxcd.io/name: %s}}}", canary), "create", "-f", "-")
	w.start()
	w.push("app", configMap("x", "1"))
	w.gitSync("app", nil)
	if message := w.failing("app", v1alpha1.ReasonOwnedByOther); !strings.Contains(message, "is owned by Flux, in a Kustomization that its label") {
		t.Errorf("message %q", message)
	}
}
