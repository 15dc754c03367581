package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// limited returns a kubeconfig of a new ServiceAccount "limited", and what gives it more rights in the namespace than those that all
// controllers need.
func (w *world) limited() (kubeconfig string, allow func(group string, resources ...string)) {
	w.t.Helper()
	cfg, err := w.cp.ServiceAccountConfig(w.t.Context(), w.ns, "limited")
	w.must(err)
	kubeconfig = filepath.Join(w.t.TempDir(), "kubeconfig")
	w.must(controlplane.WriteKubeconfig(kubeconfig, cfg))
	allow = func(group string, resources ...string) {
		w.t.Helper()
		w.must(w.cp.Allow(w.t.Context(), controlplane.ServiceAccount(w.ns, "limited"), w.ns,
			rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"*"}}))
	}
	allow("", "secrets", "configmaps", "events")
	allow("events.k8s.io", "events")
	allow("coordination.k8s.io", "leases")
	return kubeconfig, allow
}

// TestAKindThatMayNotBeReadHoldsUpItsOwnControllerOnly: a cluster whose roles are older than the program loses what is new
// in it, not what it had.
func TestAKindThatMayNotBeReadHoldsUpItsOwnControllerOnly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ first, missing string }{
		"ExternalSecrets": {"bitnami.com", "externalsecrets.external-secrets.io"},
		"SealedSecrets":   {"external-secrets.io", "sealedsecrets.bitnami.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			kubeconfig, allow := w.limited()
			allow(tc.first, "*")
			before := w.start("--watch-namespaces=" + w.ns) // makes the key, and ends before there is anything to do
			sealed := w.sealedSecret("ss-000", before.certificate())
			before.Kill()
			w.store("1", named("es", 1))
			w.externalSecret("es-000")
			w.must(w.client.Create(t.Context(), sealed))
			p := w.probe(kubeconfig)

			external, sealedToo := []string{"es-000"}, []string{"ss-000"}
			if tc.first == "bitnami.com" {
				w.eventually("the SealedSecret is opened", func() bool { return w.unready(nil, sealedToo) == "" })
			} else {
				w.eventually("the ExternalSecret is ready", func() bool { return w.unready(external, nil) == "" })
			}
			if code, text := p.asks("/readyz?verbose"); code != http.StatusInternalServerError ||
				!strings.Contains(text, "[-]"+tc.missing+" failed") || !strings.Contains(text, "[-]caches failed") {
				t.Errorf("who waits for %s does not say so: %d %s", tc.missing, code, text)
			}
			allow("bitnami.com", "*")
			allow("external-secrets.io", "*")
			allow("sealbridge.dev", "*")
			w.complete("the other has been given its rights", external, sealedToo, "1")
			w.eventually("the replica is ready", func() bool {
				code, _ := p.asks("/readyz")
				return code == http.StatusOK
			})
		})
	}
}

// TestNamespacesThatMayNotBeReadHoldUpNoWorker: what needs them says so, and others have their turn.
func TestNamespacesThatMayNotBeReadHoldUpNoWorker(t *testing.T) {
	t.Parallel()
	w := newStoreWorld(t)
	w.without = "namespaces"
	fake := esv1.SecretStoreSpec{Controller: w.class(), Provider: stores.Provider{Fake: &stores.Fake{Data: []stores.FakeData{{Key: "key", Value: "a-value"}}}}}
	some := fake
	some.Conditions = []esv1.StoreCondition{{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": w.ns}}}}
	everywhere := esv1.StoreRef{Kind: esv1.KindClusterSecretStore, Name: w.ns}
	cluster := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns}, Spec: some}
	w.make(cluster, &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}, Spec: fake})
	t.Cleanup(func() { must(t, w.client.Delete(context.Background(), cluster)) })
	w.run("--concurrent=2")
	for _, name := range named("waits", 8) {
		w.make(w.externalSecret(w.ns, name, everywhere, esv1.RemoteRef{Key: "key"}))
	}
	w.says("waits-000", "look up namespace "+w.ns+": the controller has not read the namespaces: its log says why, and so does its readiness (/readyz/namespaces)")
	w.make(w.externalSecret(w.ns, "other", esv1.StoreRef{Kind: esv1.KindSecretStore, Name: "store"}, esv1.RemoteRef{Key: "key"}))
	w.holds(w.ns, "other", "a-value")

	must(t, w.cp.Allow(t.Context(), controlplane.User(w.user), "", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "list", "watch"}}))
	for _, name := range named("waits", 8) {
		w.holds(w.ns, name, "a-value")
	}
}
