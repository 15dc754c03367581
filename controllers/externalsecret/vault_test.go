package externalsecret_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers/builtin"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// TestVaultIsReadAsTheServiceAccountOfTheNamespace walks the whole way on real parts: a ClusterSecretStore whose users log in
// to Vault as their own ServiceAccount, for which the controller may mint tokens in one namespace only.
func TestVaultIsReadAsTheServiceAccountOfTheNamespace(t *testing.T) {
	t.Parallel()
	server, cp, ctx := vault.New(t), controlplane.New(t), t.Context()
	w := prepare(t)
	w.providers = builtin.All()
	kv := server.KV(t, 2)
	reviewer, err := cp.TokenReviewer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mount := "kubernetes-" + w.ns
	for _, err := range []error{
		server.EnableKubernetes(ctx, mount, vault.Cluster{Host: cp.URL(), CA: cp.CA(), ReviewerToken: reviewer}),
		server.Policy(ctx, w.ns, vault.ReadPolicy(kv, "apps/*")),
		server.KubernetesRole(ctx, mount, "reader", vault.KubernetesRole{
			ServiceAccounts: []string{"reader"}, Namespaces: []string{w.ns}, Policies: []string{w.ns}, TTL: time.Hour}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := server.Put(ctx, kv, "apps/db", map[string]any{"password": "one-" + canary, "host": "db.local"}); err != nil {
		t.Fatal(err)
	}
	css := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns}, Spec: esv1.SecretStoreSpec{
		Controller: w.class,
		Provider: stores.Provider{Vault: &stores.Vault{Server: server.Address(), Path: kv, CABundle: server.CA(),
			Auth: &stores.VaultAuth{Kubernetes: &stores.VaultKubernetesAuth{Path: mount, Role: "reader",
				ServiceAccountRef: &stores.ServiceAccountSelector{Name: "reader"}}}}},
	}}
	w.create(css, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "reader"}})
	t.Cleanup(func() { _ = w.c.Delete(t.Context(), css) })
	w.start()
	w.create(w.externalSecret("db", every(2*time.Second), func(es *esv1.ExternalSecret) {
		es.Spec.SecretStoreRef = esv1.StoreRef{Name: w.ns, Kind: esv1.KindClusterSecretStore}
		es.Spec.Data[0].RemoteRef.Key = "apps/db"
		es.Spec.DataFrom = []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "apps/db"}}}
	}))
	w.notReady("db", "the controller may not mint a token of ServiceAccount "+w.ns+"/reader")
	err = cp.Allow(ctx, controlplane.User("controller-of-"+w.ns), w.ns, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"reader"}, Verbs: []string{"create"}})
	if err != nil {
		t.Fatal(err)
	}
	w.ready("db")
	w.holds("db", map[string]string{"password": "one-" + canary, "host": "db.local"})
	if _, err := server.Rotate(ctx, kv, "apps/db", map[string]any{"password": "two-" + canary, "host": "db.local"}); err != nil {
		t.Fatal(err)
	}
	w.holds("db", map[string]string{"password": "two-" + canary, "host": "db.local"})
}

// What Vault refuses is said by the store and by what uses it, and a Secret that is there stays.
func TestAWrongVaultTokenIsSaidAndChangesNothing(t *testing.T) {
	t.Parallel()
	server, ctx := vault.New(t), t.Context()
	w := prepare(t)
	w.providers = builtin.All()
	kv := server.KV(t, 2)
	if err := server.Policy(ctx, w.ns, vault.ReadPolicy(kv, "apps/*")); err != nil {
		t.Fatal(err)
	}
	token, err := server.NewToken(ctx, time.Hour, w.ns)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Put(ctx, kv, "apps/db", map[string]any{"password": canary}); err != nil {
		t.Fatal(err)
	}
	credential := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "vault"},
		Data: map[string][]byte{"token": []byte(token), "wrong": []byte("wrong-" + canary)}}
	store := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}, Spec: esv1.SecretStoreSpec{
		Controller: w.class,
		Provider: stores.Provider{Vault: &stores.Vault{Server: server.Address(), Path: kv, CABundle: server.CA(),
			Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "vault", Key: "token"}}}},
	}}
	w.create(credential, store)
	w.start()
	w.create(w.externalSecret("db", every(2*time.Second), func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.Key = "apps/db" }))
	w.ready("db")
	before := w.holds("db", map[string]string{"password": canary})

	use := func(key string) {
		change(w, store, func(s *esv1.SecretStore) { s.Spec.Provider.Vault.Auth.TokenSecretRef.Key = key })
	}
	use("wrong")
	failed := w.notReady("db", "vault refuses the token")
	if failed.Status.RefreshTime.IsZero() || failed.Status.Target.UID != before.UID {
		t.Errorf("the status forgot the target: %+v", failed.Status)
	}
	if after := w.secret("db"); after.ResourceVersion != before.ResourceVersion {
		t.Error("the target was changed")
	}
	use("token")
	w.ready("db")
}
