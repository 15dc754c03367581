package crd_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	sealbridge "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	sealed "github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestDefinitionsInstallWithPlainKubectlApply(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	folder, err := filepath.Abs(filepath.Join("..", "..", "config", "crd"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cp.Kubectl(t.Context(), "", "apply", "--server-side=false", "-f", folder); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := cp.Kubectl(t.Context(), "", "get", "customresourcedefinitions", "-o", "name")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{
		"externalsecrets.external-secrets.io", "secretstores.external-secrets.io", "clustersecretstores.external-secrets.io", "clusterexternalsecrets.external-secrets.io",
		"sealedsecrets.bitnami.com", "gitsyncs.sealbridge.dev",
	} {
		if !strings.Contains(out, "/"+name+"\n") {
			t.Errorf("%s is not installed:\n%s", name, out)
		}
	}
}

// What docs/operations.md says about leaving v1beta1 out, word by word.
func TestTheOldVersionCanBeTakenAwayAndBroughtBackAndObjectsStay(t *testing.T) {
	t.Parallel()
	cp := controlplane.Own(t)
	manual, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	kubectl := func(stdin string, args ...string) (string, error) {
		t.Helper()
		return cp.Kubectl(t.Context(), stdin, args...)
	}
	works := func(stdin string, args ...string) string {
		t.Helper()
		out, err := kubectl(stdin, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	// The API server takes a while to serve what a definition says.
	eventually := func(right func(error) bool, stdin string, args ...string) {
		t.Helper()
		var err error
		for range 300 {
			if _, err = kubectl(stdin, args...); right(err) {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	object := func(version, name string) string {
		return "apiVersion: external-secrets.io/" + version + "\nkind: ExternalSecret\nmetadata: {name: " + name + ", namespace: default}\n" +
			"spec: {secretStoreRef: {name: s}, data: [{secretKey: a, remoteRef: {key: k}}]}\n"
	}
	patches := regexp.MustCompile(`kubectl (patch crd [^ ]+) ([^']*) -p '([^']*)'`).FindAllStringSubmatch(string(manual), -1)
	if len(patches) != 2 {
		t.Fatalf("%d commands that patch a definition in docs/operations.md, want 2", len(patches))
	}
	patch := func(i int) []string {
		return append(strings.Fields(patches[i][1]+" "+patches[i][2]), "-p", patches[i][3])
	}
	folder := filepath.Join("..", "..", "config", "crd")

	works(object("v1beta1", "old"), "apply", "-f", "-")
	works("", append(patch(0), "--warnings-as-errors")...)
	eventually(func(err error) bool { return err != nil }, object("v1beta1", "refused"), "apply", "-f", "-")
	if got := works("", "get", "externalsecret", "old", "-n", "default", "-o", "jsonpath={.apiVersion} {.spec.data[0].remoteRef.key}"); got != "external-secrets.io/v1 k" {
		t.Errorf("the object of before is %q", got)
	}
	works(object("v1", "new"), "apply", "-f", "-")
	if _, err := kubectl("", patch(0)...); err == nil {
		t.Error("what is second when v1beta1 is gone was taken away")
	}
	works("", "apply", "--server-side=false", "-f", folder)
	eventually(func(err error) bool { return err == nil }, object("v1beta1", "again"), "apply", "-f", "-")

	// Objects that were stored as v1beta1, as an operator of before 0.17 left them.
	works("", "patch", "crd", "externalsecrets.external-secrets.io", "--subresource=status", "--type=merge", "-p", `{"status": {"storedVersions": ["v1beta1", "v1"]}}`)
	if _, err := kubectl("", patch(0)...); err == nil || !strings.Contains(err.Error(), "status.storedVersions") {
		t.Errorf("taken away where it was stored: %v", err)
	}
	works(works("", "get", "externalsecrets", "-A", "-o", "json"), "replace", "-f", "-")
	works("", patch(1)...)
	works("", patch(0)...)
}

func TestKubectlGetShowsTheColumnsThatPeopleKnow(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	c := newClient(t, cp)
	namespace := cp.Namespace(t)
	for _, obj := range reported(namespace) {
		status := obj.DeepCopyObject().(client.Object)
		if err := c.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), obj) })
		status.SetResourceVersion(obj.GetResourceVersion())
		if err := c.Status().Update(t.Context(), status); err != nil {
			t.Fatal(err)
		}
	}
	tables := map[string][]string{
		"es": {"NAME STORETYPE STORE REFRESH INTERVAL STATUS READY LAST SYNC", "a ClusterSecretStore vault 1h0m0s SecretSynced True AGE"},
		"externalsecrets.v1beta1.external-secrets.io": {"NAME STORETYPE STORE REFRESH INTERVAL STATUS READY LAST SYNC", "a ClusterSecretStore vault 1h0m0s SecretSynced True AGE"},
		"ces a":         {"NAME STORE REFRESH INTERVAL READY", "a vault 5m0s True"},
		"ss":            {"NAME AGE STATUS CAPABILITIES READY", "a AGE Valid ReadOnly True"},
		"sealedsecrets": {"NAME STATUS SYNCED AGE", "a no key could decrypt secret (a) False AGE"},
		"gsync":         {"NAME READY REVISION STATUS AGE", "a True main@sha1:5394cb7 applied AGE"},
		"externalsecrets --field-selector=spec.secretStoreRef.name=vault,spec.target.name=t": {"NAME STORETYPE STORE REFRESH INTERVAL STATUS READY LAST SYNC", "a ClusterSecretStore vault 1h0m0s SecretSynced True AGE"},
		"externalsecrets --field-selector=spec.secretStoreRef.kind=SecretStore":              nil,
	}
	for args, want := range tables {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			out, err := cp.Kubectl(t.Context(), "", append([]string{"get", "--namespace=" + namespace}, strings.Fields(args)...)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if diff := cmp.Diff(want, rows(out)); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAllKindsOfStoresAndExternalSecretsAreListedByTheirCategory(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	for category, want := range map[string]string{
		"external-secrets": "clusterexternalsecrets.external-secrets.io clustersecretstores.external-secrets.io externalsecrets.external-secrets.io secretstores.external-secrets.io",
		"sealbridge":       "gitsyncs.sealbridge.dev",
	} {
		out, err := cp.Kubectl(t.Context(), "", "api-resources", "--categories="+category, "-o", "name", "--sort-by=name")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if diff := cmp.Diff(strings.Fields(want), strings.Fields(out)); diff != "" {
			t.Errorf("category %s (-want +got):\n%s", category, diff)
		}
	}
}

func TestKubectlExplainHasWords(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	for field, want := range map[string]string{
		"externalsecret.spec.refreshInterval":                              "1h when empty",
		"secretstore.spec.provider.vault.auth.kubernetes.mountPath":        `"kubernetes" when empty`,
		"clusterexternalsecret.spec.refreshTime":                           "1h when empty",
		"gitsync.spec.plaintextSecrets":                                    "Deny when empty",
		"sealedsecret.spec.encryptedData":                                  "sealed values",
		"clustersecretstore.spec.conditions.namespaceRegexes":              "RE2",
		"externalsecret.spec.target.template.templateFrom.configMap.items": "keys that hold templates",
	} {
		out, err := cp.Kubectl(t.Context(), "", "explain", field)
		// The API server publishes the words of a new kind some moments after it serves the kind.
		for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			out, err = cp.Kubectl(t.Context(), "", "explain", field)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", field, err, out)
			continue
		}
		if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("%s does not say %q:\n%s", field, want, out)
		}
	}
}

// reported returns an object of most kinds as its controller leaves it.
func reported(namespace string) []client.Object {
	meta := metav1.ObjectMeta{Name: "a", Namespace: namespace}
	now := metav1.Now()
	ready := []esv1.Condition{{Type: esv1.ConditionReady, Status: metav1.ConditionTrue, Reason: esv1.ReasonSecretSynced, LastTransitionTime: now}}
	valid := []esv1.Condition{{Type: esv1.ConditionReady, Status: metav1.ConditionTrue, Reason: esv1.ReasonStoreValid, LastTransitionTime: now}}
	store := esv1.SecretStore{ObjectMeta: meta, Status: esv1.SecretStoreStatus{Conditions: valid, Capabilities: esv1.StoreReadOnly}}
	store.Spec.Provider.Other = map[string]json.RawMessage{"akeyless": json.RawMessage("{}")}
	return []client.Object{
		&esv1.ExternalSecret{
			ObjectMeta: meta,
			Spec: esv1.ExternalSecretSpec{
				SecretStoreRef:  esv1.StoreRef{Name: "vault", Kind: esv1.KindClusterSecretStore},
				RefreshInterval: &metav1.Duration{Duration: time.Hour},
				Target:          esv1.Target{Name: "t"},
				Data:            []esv1.Data{{SecretKey: "a", RemoteRef: esv1.RemoteRef{Key: "a"}}},
			},
			Status: esv1.ExternalSecretStatus{
				RefreshTime: now, SyncedResourceVersion: "1-abc", Conditions: ready,
				Binding: esv1.Binding{Name: "t"}, Target: esv1.TargetStatus{UID: "u", ResourceVersion: "1"},
			},
		},
		&esv1.ClusterExternalSecret{
			ObjectMeta: metav1.ObjectMeta{Name: "a"},
			Spec: esv1.ClusterExternalSecretSpec{
				RefreshInterval: &metav1.Duration{Duration: 5 * time.Minute},
				ExternalSecretSpec: esv1.ExternalSecretSpec{
					SecretStoreRef: esv1.StoreRef{Name: "vault"}, Data: []esv1.Data{{SecretKey: "a", RemoteRef: esv1.RemoteRef{Key: "a"}}},
				},
			},
			Status: esv1.ClusterExternalSecretStatus{
				ObservedGeneration: 1, SyncedResourceVersion: "1-abc", ExternalSecretName: "a", Conditions: ready, ProvisionedNamespaces: []string{"a"},
				FailedNamespaces: []esv1.NamespaceFailure{{Namespace: "b", Reason: "c"}},
			},
		},
		&store,
		&sealed.SealedSecret{
			ObjectMeta: meta,
			Spec:       sealed.SealedSecretSpec{EncryptedData: map[string]string{"a": "AgA="}},
			Status: sealed.SealedSecretStatus{Conditions: []sealed.Condition{
				{Type: sealed.ConditionSynced, Status: metav1.ConditionFalse, Message: "no key could decrypt secret (a)", LastUpdateTime: now, LastTransitionTime: now},
				{Type: sealed.ConditionReady, Status: metav1.ConditionFalse, Reason: sealed.ReasonUnsealFailed, LastUpdateTime: now, LastTransitionTime: now},
			}},
		},
		&sealbridge.GitSync{
			ObjectMeta: meta,
			Spec:       sealbridge.GitSyncSpec{URL: "https://git.example.com/a", Interval: metav1.Duration{Duration: time.Minute}},
			Status: sealbridge.GitSyncStatus{
				ObservedGeneration: 1, Revision: "main@sha1:5394cb7",
				Conditions: []metav1.Condition{{Type: sealbridge.ConditionReady, Status: metav1.ConditionTrue, Reason: sealbridge.ReasonSucceeded, Message: "applied", LastTransitionTime: now}},
				Inventory:  &sealbridge.Inventory{Entries: []sealbridge.InventoryEntry{{ID: "a_b__ConfigMap", Version: "v1"}}},
				History:    []sealbridge.Snapshot{{Digest: "sha256:a", Revision: "main@sha1:5394cb7", Status: sealbridge.ReasonSucceeded, At: now, Duration: metav1.Duration{Duration: time.Second}}},
			},
		},
	}
}

// rows returns the lines of a table with single spaces, and AGE for an age of seconds or minutes: a test may wait so long for its turn.
// An age ends with no zero, as a duration does that somebody has written.
func rows(table string) []string {
	age := regexp.MustCompile(`^([0-9]+s|[0-9]+m([1-9][0-9]*s)?)$`)
	var out []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		for i, field := range fields {
			if age.MatchString(field) {
				fields[i] = "AGE"
			}
		}
		if line := strings.Join(fields, " "); !strings.HasPrefix(line, "No resources found") {
			out = append(out, line)
		}
	}
	return out
}
