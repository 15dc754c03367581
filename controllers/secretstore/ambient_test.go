package secretstore_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/sessions"
)

// TestAStoreThatLeavesItsIdentityToTheControllerIsRefusedWhereItMayNot follows one store of each kind, which say what they may do
// from the start of a controller that was told something else than the one before.
func TestAStoreThatLeavesItsIdentityToTheControllerIsRefusedWhereItMayNot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "right"}, StringData: map[string]string{"token": "right"}})
	spec := vaultSpec(w.class, "right", w.ns)
	spec.Provider.Vault.Auth.IAM = &stores.VaultIAMAuth{}
	tenant := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "own"}, Spec: spec}
	platform := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns + "-own"}, Spec: spec}
	named := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "named"}, Spec: vaultSpec(w.class, "right", "")}
	stores := []client.Object{tenant, platform, named}
	for _, store := range stores {
		w.create(store)
	}
	const refused = "spec.provider.vault.auth.iam leaves the identity to the controller, and no "
	for _, told := range []struct {
		noAmbient sessions.NoAmbient
		says      map[client.Object]string
	}{
		{sessions.NoAmbient{}, nil},
		{sessions.NoAmbient{SecretStores: true}, map[client.Object]string{tenant: "SecretStore " + w.ns + "/own: " + refused +
			"SecretStore may use the controller's own (--secret-store-ambient-credentials=false): set auth.tokenSecretRef, or have an administrator make a ClusterSecretStore"}},
		{sessions.NoAmbient{ClusterSecretStores: true}, map[client.Object]string{platform: "ClusterSecretStore " + w.ns + "-own: " + refused +
			"ClusterSecretStore may use the controller's own (--cluster-secret-store-ambient-credentials=false): set auth.tokenSecretRef"}},
		{sessions.NoAmbient{}, nil},
	} {
		w.stop()
		w.noAmbient = told.noAmbient
		w.restart()
		for _, store := range stores {
			if says := told.says[store]; says == "" {
				w.reports(store, "True", "Valid", "")
			} else if got := w.reports(store, "False", "AmbientCredentialsRefused", says); got.Capabilities != "ReadOnly" || got.Unavailable {
				t.Errorf("the status is %+v", got)
			}
		}
	}
}
