package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
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
		w.allowIn(w.ns, group, resources...)
	}
	w.allowBasics(w.ns)
	return kubeconfig, allow
}

// allowBasics gives "limited" in a namespace what all controllers need.
func (w *world) allowBasics(namespace string) {
	w.t.Helper()
	w.allowIn(namespace, "", "secrets", "configmaps", "events")
	w.allowIn(namespace, "events.k8s.io", "events")
	w.allowIn(namespace, "coordination.k8s.io", "leases")
}

// allowIn gives "limited" all rights to some kinds in a namespace.
func (w *world) allowIn(namespace, group string, resources ...string) {
	w.t.Helper()
	w.must(w.cp.Allow(w.t.Context(), controlplane.ServiceAccount(w.ns, "limited"), namespace,
		rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"*"}}))
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

// TestANamespaceThatMayNotBeReadHoldsUpNoOther: one that a tenant has deleted takes its roles along, and nobody else's Secrets.
func TestANamespaceThatMayNotBeReadHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	for name, without := range map[string]string{"nothing of it": "*", "its stores": "secretstores", "its Secrets": "secrets"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			kubeconfig, allow := w.limited()
			before := w.start("--watch-namespaces=" + w.ns) // makes the key, and ends before there is anything to do
			certificate := before.certificate()
			before.Kill()
			late := worldOn(t, w.cp)
			external, sealed := []string{"es-000"}, []string{"ss-000"}
			for _, in := range []*world{w, late} {
				in.store("1", external)
				in.classOf(w)
				in.externalSecret(external[0])
				w.must(w.client.Create(t.Context(), in.sealedSecret(sealed[0], certificate)))
			}
			for _, group := range []string{"external-secrets.io", "bitnami.com", "sealbridge.dev"} {
				allow(group, "*")
			}
			switch without {
			case "secretstores":
				w.allowBasics(late.ns)
				w.allowIn(late.ns, "external-secrets.io", "externalsecrets", "externalsecrets/status")
				w.allowIn(late.ns, "bitnami.com", "*")
			case "secrets":
				w.allowIn(late.ns, "external-secrets.io", "*")
				w.allowIn(late.ns, "bitnami.com", "*")
			}
			port, err := process.FreePorts(t.Context(), 1)
			w.must(err)
			p := w.probe(kubeconfig, "--watch-namespaces="+late.ns, fmt.Sprintf("--sealed-secrets-bind-address=127.0.0.1:%d", port))
			p.url = fmt.Sprintf("127.0.0.1:%d", port)
			ready := func() bool {
				code, _ := p.asks("/readyz")
				return code == http.StatusOK && p.certificate() != ""
			}
			w.complete("the other namespace is served", external, sealed, "1")
			w.eventually("the replica is ready", ready)
			said := p.logged("a namespace is not served; " + whatToGive)
			if said["namespace"] != late.ns || said["missing"] == "" {
				t.Errorf("the log says of the namespace: %v", said)
			}
			if got := late.secrets(); len(got[external[0]].Data) > 0 {
				t.Errorf("served without a right to all that it takes: %v", slices.Sorted(maps.Keys(got)))
			}

			w.allowBasics(late.ns)
			for _, group := range []string{"external-secrets.io", "bitnami.com", "sealbridge.dev"} {
				w.allowIn(late.ns, group, "*")
			}
			late.complete("the namespace may be read", external, sealed, "1")
			w.eventually("the replica is ready again", ready)
			w.survived(p.replica)
		})
	}
}

// whatToGive is the cure for a right that is missing in a namespace.
const whatToGive = "give its ServiceAccount the roles of config/rbac (kubectl apply -k config/default, or config/namespaced with --watch-namespaces)" +
	", or leave the namespace out of the flags. It is served some seconds after it may be read"

// classOf has the store be one of another world's controller, and of no other test's that serves the whole cluster.
func (w *world) classOf(other *world) {
	w.t.Helper()
	s := w.secretStore()
	patch := client.MergeFrom(s.DeepCopy())
	s.Spec.Controller = other.class()
	w.must(w.client.Patch(w.t.Context(), s, patch))
}
