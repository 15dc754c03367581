package gitsync_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/gitsync"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

const externalSecret = `
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: db-external}
spec:
  secretStoreRef: {name: vault}
  target: {name: db}
  data: [{secretKey: password, remoteRef: {key: db}}]
`

const sealedSecret = `
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: api}
spec: {encryptedData: {password: AAAA}}
`

// report plays the controller of an object: it writes its status.
func (w *world) report(apiVersion, kind, name, status string) {
	w.Helper()
	u := w.object(apiVersion, kind, name)
	if u == nil {
		w.Fatalf("there is no %s %s", kind, name)
	}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"status":%s}`, status))
	if err := w.Status().Patch(w.Context(), u, patch); err != nil {
		w.Fatal(err)
	}
}

// materialise makes the Secret that another controller would make.
func (w *world) materialise(name string) {
	w.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, StringData: map[string]string{"password": canary}}
	if err := w.Create(w.Context(), s); err != nil {
		w.Fatal(err)
	}
}

const now = `"lastTransitionTime": "2026-01-01T00:00:00Z"`

func TestAWorkloadIsAppliedWhenItsSecretIsThereAndOthersDoNotWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	revision := w.push("app", deployment("uses-external", "db"), deployment("uses-sealed", "api"), deployment("uses-none", "other"), externalSecret, sealedSecret)
	w.gitSync("app", nil)
	for _, want := range []string{"uses-external waits for Secret " + w.ns + "/db", "uses-sealed waits for Secret " + w.ns + "/api"} {
		w.eventually("it says: "+want, func() bool { return strings.Contains(w.failing("app", v1alpha1.ReasonProgressing), want) })
	}
	if !w.exists("apps/v1", "Deployment", "uses-none") {
		t.Error("a Deployment that uses neither waits too")
	}
	if w.exists("apps/v1", "Deployment", "uses-external") || w.exists("apps/v1", "Deployment", "uses-sealed") {
		t.Fatal("a Deployment did not wait")
	}
	w.materialise("db")
	w.report("external-secrets.io/v1", "ExternalSecret", "db-external",
		`{"syncedResourceVersion": "1-x", "conditions": [{"type": "Ready", "status": "True", "reason": "SecretSynced", `+now+`}]}`)
	began := time.Now()
	w.eventually("the first is applied", func() bool { return w.exists("apps/v1", "Deployment", "uses-external") })
	t.Logf("applied %s after its Secret was ready", time.Since(began).Round(time.Millisecond))
	if w.exists("apps/v1", "Deployment", "uses-sealed") {
		t.Error("the other did not wait")
	}
	w.materialise("api")
	w.report("bitnami.com/v1alpha1", "SealedSecret", "api",
		`{"observedGeneration": 1, "conditions": [{"type": "Synced", "status": "True", `+now+`, "lastUpdateTime": "2026-01-01T00:00:00Z"}]}`)
	w.ready("app", revision)
	if !w.exists("apps/v1", "Deployment", "uses-sealed") {
		t.Error("the other was not applied")
	}
}

func TestAStoreThatIsDownHoldsUpNothingThatWasThereBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.materialise("db")
	first := w.push("app", externalSecret, deployment("one", "db"))
	w.gitSync("app", nil)
	w.eventually("the ExternalSecret is applied", func() bool { return w.exists("external-secrets.io/v1", "ExternalSecret", "db-external") })
	synced := `"syncedResourceVersion": "1-x", "conditions": [{"type": "Ready", "status": "%s", "reason": "X", ` + now + `}]`
	w.report("external-secrets.io/v1", "ExternalSecret", "db-external", "{"+fmt.Sprintf(synced, "True")+"}")
	w.ready("app", first)
	w.halt()
	w.report("external-secrets.io/v1", "ExternalSecret", "db-external", "{"+fmt.Sprintf(synced, "False")+"}")
	revision := w.push("app", externalSecret, deployment("one", "db"), deployment("two", "db"))
	w.start()
	w.ready("app", revision)
	if !w.exists("apps/v1", "Deployment", "two") {
		t.Error("the new Deployment waits for a Secret that is there")
	}
}

func TestAWorkloadWaitsForAPlainSecretThatWasRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.applied("app", `{apiVersion: v1, kind: Secret, metadata: {name: db}, immutable: true, stringData: {password: old}}`)
	w.push("app", secretDoc("db", canary), deployment("api", "db"), configMap("a", "1"))
	message := w.failing("app", v1alpha1.ReasonApplyFailed)
	if !strings.Contains(message, "Secret "+w.ns+"/db") {
		t.Errorf("message %q", message)
	}
	if w.exists("apps/v1", "Deployment", "api") || !w.exists("v1", "ConfigMap", "a") {
		t.Error("the Deployment did not wait, or something else did")
	}
}

func TestAnIdentityMayDoWhatItsRightsSayAndNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	if _, err := w.cp.ServiceAccountToken(t.Context(), w.ns, "tenant"); err != nil {
		t.Fatal(err)
	}
	subject := controlplane.ServiceAccount(w.ns, "tenant")
	all := []string{"get", "create", "patch", "delete"}
	if err := w.cp.Allow(t.Context(), subject, w.ns, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: all}); err != nil {
		t.Fatal(err)
	}
	w.push("app", configMap("a", "1"), secretDoc("db", canary))
	w.gitSync("app", func(s *v1alpha1.GitSyncSpec) { s.ServiceAccountName = "tenant" })
	message := w.failing("app", v1alpha1.ReasonApplyFailed)
	if !strings.Contains(message, "Secret "+w.ns+"/db") || !strings.Contains(message, "grant") {
		t.Errorf("message %q", message)
	}
	if w.exists("v1", "Secret", "db") || !w.exists("v1", "ConfigMap", "a") {
		t.Error("it was applied as somebody else")
	}
	if err := w.cp.Allow(t.Context(), subject, w.ns, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: all}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the rights have come", func() bool { return w.exists("v1", "Secret", "db") })
}

// Pruning and deleting are checked like applying (CVE-2026-77459 of Argo CD: deletion hooks knew no limits).
func TestAnIdentityPrunesAndDeletesWithItsOwnRightsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	if _, err := w.cp.ServiceAccountToken(t.Context(), w.ns, "tenant"); err != nil {
		t.Fatal(err)
	}
	allow := func(verbs ...string) {
		t.Helper()
		rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: verbs}
		if err := w.cp.Allow(t.Context(), controlplane.ServiceAccount(w.ns, "tenant"), w.ns, rule); err != nil {
			t.Fatal(err)
		}
	}
	allow("get", "create", "patch")
	first := w.push("app", configMap("a", "1"), configMap("b", "1"))
	w.gitSync("app", func(s *v1alpha1.GitSyncSpec) { s.ServiceAccountName = "tenant" })
	w.ready("app", first)

	w.push("app", configMap("a", "1"))
	if message := w.failing("app", v1alpha1.ReasonPruneFailed); !strings.Contains(message, "ConfigMap "+w.ns+"/b") || !strings.Contains(message, "grant") {
		t.Errorf("message %q", message)
	}
	w.delete("sealbridge.dev/v1alpha1", "GitSync", "app")
	w.eventually("the deletion says what is in its way", func() bool {
		return w.exists("sealbridge.dev/v1alpha1", "GitSync", "app") && !w.get("app").DeletionTimestamp.IsZero()
	})
	if message := w.failing("app", v1alpha1.ReasonPruneFailed); !strings.Contains(message, "grant") {
		t.Errorf("message %q", message)
	}
	if !w.exists("v1", "ConfigMap", "a") || !w.exists("v1", "ConfigMap", "b") {
		t.Error("it was deleted as somebody else")
	}
	allow("delete")
	w.eventually("the rights have come", func() bool {
		return !w.exists("v1", "ConfigMap", "a") && !w.exists("v1", "ConfigMap", "b") && !w.exists("sealbridge.dev/v1alpha1", "GitSync", "app")
	})
}

func TestAnIdentityThatDoesNotExistIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.options = func(d *gitsync.Deps) { d.RequireServiceAccount = true }
	w.start()
	w.push("app", configMap("a", "1"))
	w.gitSync("app", nil)
	if message := w.failing("app", v1alpha1.ReasonInvalid); !strings.Contains(message, "spec.serviceAccountName") {
		t.Errorf("message %q", message)
	}
	w.push("other", configMap("b", "1"))
	w.gitSync("other", func(s *v1alpha1.GitSyncSpec) { s.ServiceAccountName = "nobody" })
	if message := w.failing("other", v1alpha1.ReasonApplyFailed); !strings.Contains(message, w.ns+"/nobody") {
		t.Errorf("message %q", message)
	}
	w.delete("sealbridge.dev/v1alpha1", "GitSync", "other")
	w.eventually("its deletion does not wait for the identity", func() bool {
		return !w.exists("sealbridge.dev/v1alpha1", "GitSync", "other")
	})
}

func TestANamespaceThatGoesAwayTakesItsGitSyncsAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	if _, err := w.cp.ServiceAccountToken(t.Context(), w.ns, "tenant"); err != nil {
		t.Fatal(err)
	}
	rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"*"}}
	if err := w.cp.Allow(t.Context(), controlplane.ServiceAccount(w.ns, "tenant"), w.ns, rule); err != nil {
		t.Fatal(err)
	}
	revision := w.push("app", configMap("a", "1"))
	w.gitSync("app", func(s *v1alpha1.GitSyncSpec) { s.ServiceAccountName = "tenant" })
	w.ready("app", revision)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}}
	if err := w.Delete(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	w.eventually("the GitSync is gone", func() bool { return !w.exists("sealbridge.dev/v1alpha1", "GitSync", "app") })
}

func TestWhatWasAboutToBeAppliedWhenTheProcessEndedIsKnownAfterwards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	created := make(chan struct{})
	w.traffic.gate = func(req *http.Request) {
		if req.Method == http.MethodPatch && strings.HasSuffix(req.URL.Path, "/configmaps/b") {
			select {
			case <-created:
			default:
				close(created)
			}
			<-req.Context().Done() // the process ends before its request is sent
		}
	}
	w.start()
	w.push("app", configMap("a", "1"), configMap("b", "1"))
	w.gitSync("app", nil)
	<-created
	w.eventually("the other object is there", func() bool { return w.exists("v1", "ConfigMap", "a") })
	w.halt()
	if n := len(w.get("app").Status.Inventory.Entries); n != 2 {
		t.Fatalf("the inventory has %d entries, want both", n)
	}
	w.traffic.gate = nil
	revision := w.push("app", configMap("c", "1"))
	w.start()
	w.ready("app", revision)
	if w.exists("v1", "ConfigMap", "a") || w.exists("v1", "ConfigMap", "b") {
		t.Error("what the ended process had created was not pruned")
	}
}

func TestManyFailingSyncsDoNotSlowAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	began := time.Now()
	w.applied("alone", configMap("b", "1"))
	alone := time.Since(began) // which is long on a busy machine
	bad := `{apiVersion: v1, kind: Service, metadata: {name: bad%d}, spec: {ports: [{port: 99999}]}}`
	for i := range 20 {
		name := fmt.Sprintf("bad%d", i)
		w.push(name, fmt.Sprintf(bad, i))
		w.gitSync(name, nil)
	}
	w.failing("bad19", v1alpha1.ReasonApplyFailed)
	began = time.Now()
	w.applied("good", configMap("a", "1"))
	if took := time.Since(began); took > 10*time.Second+10*alone {
		t.Errorf("it took %s, and %s before the others were there", took, alone)
	}
}

func TestHealthIsWaitedForWithoutHoldingAWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	// No node runs it, and no controller but this test writes its status.
	pod := `{apiVersion: v1, kind: Pod, metadata: {name: api}, spec: {containers: [{name: app, image: example/app}]}}`
	revision := w.push("app", pod, configMap("a", "1"))
	w.gitSync("app", func(s *v1alpha1.GitSyncSpec) { s.Wait = true })
	message := w.failing("app", v1alpha1.ReasonProgressing)
	if message != "Pod "+w.ns+"/api is InProgress" {
		t.Errorf("message %q", message)
	}
	w.report("v1", "Pod", "api", `{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}`)
	began := time.Now()
	w.ready("app", revision)
	t.Logf("ready %s after its object", time.Since(began).Round(time.Millisecond))
	if c := condition(w.get("app"), v1alpha1.ConditionHealthy); c.Status != metav1.ConditionTrue {
		t.Errorf("Healthy is %s", c.Status)
	}
	w.report("v1", "Pod", "api", `{"phase":"Running","conditions":[{"type":"Ready","status":"False"}]}`)
	w.failing("app", v1alpha1.ReasonProgressing)
	if c := condition(w.get("app"), v1alpha1.ConditionHealthy); c.Status != metav1.ConditionFalse {
		t.Errorf("Healthy is %s after it broke", c.Status)
	}
}
