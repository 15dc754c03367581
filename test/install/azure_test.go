package install_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// TestAServiceAccountReadsAzureKeyVault has the program itself, told nothing but where the proxy is, read for a ServiceAccount whose
// tokens the API server mints and Entra ID verifies: one login for all that read, none of another namespace, and what is refused is
// said and changes nothing.
func TestAServiceAccountReadsAzureKeyVault(t *testing.T) {
	w := install(t, "default")
	const many = 20
	ns, other := w.cp.Namespace(t), w.cp.Namespace(t)
	cloud, err := azurecloud.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Stop(); err != nil {
			t.Error(err)
		}
	})
	keys := w.keys()
	app := azurecloud.App{Client: "app", Federated: []azurecloud.Federated{{
		Issuer: controlplane.Issuer, Subject: "system:serviceaccount:" + ns + ":app", Audience: "api://AzureADTokenExchange",
		Keys: func(context.Context) (*jose.JSONWebKeySet, error) { return &keys, nil },
	}}}
	cloud.AddApp(app)
	vault := cloud.Vault("team-a")
	vault.Grant(app.Client, azurecloud.GetSecrets)
	for i := range many {
		vault.SetSecret(fmt.Sprint("db-", i), azurecloud.Object{Value: `{"password":"` + value + `"}`})
	}
	for _, namespace := range []string{ns, other} {
		if err := w.cp.Allow(t.Context(), controlplane.ServiceAccount(system, account), namespace, rbacv1.PolicyRule{
			APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"app"}, Verbs: []string{"create"},
		}); err != nil {
			t.Fatal(err)
		}
		// The other namespace claims the same identity, which the federated credential does not give it.
		serviceAccount := &corev1.ServiceAccount{ObjectMeta: named(namespace, "app")}
		serviceAccount.Annotations = map[string]string{"azure.workload.identity/client-id": app.Client, "azure.workload.identity/tenant-id": azurecloud.Tenant}
		w.create(serviceAccount, &esv1.SecretStore{ObjectMeta: named(namespace, "azure"), Spec: esv1.SecretStoreSpec{Provider: stores.Provider{AzureKV: &stores.AzureKV{
			VaultURL: vault.URL(), AuthType: stores.AzureWorkloadIdentity, ServiceAccountRef: &stores.ServiceAccountSelector{Name: "app"},
		}}}})
	}
	read := func(namespace, name string) {
		es := &esv1.ExternalSecret{ObjectMeta: named(namespace, name), Spec: esSpec(esv1.StoreRef{Name: "azure"})}
		es.Spec.Data[0].RemoteRef.Key = name
		w.create(es)
	}
	for i := range many {
		read(ns, fmt.Sprint("db-", i))
	}
	read(other, "db-0")
	log := w.program(append(cloud.Env(), "AZURE_SDK_GO_LOGGING=all")) // with which Azure's library logs what it sends and what is refused
	for i := range many {
		w.holds(ns, fmt.Sprint("db-", i))
	}
	w.saysOf(other, "db-0", "no federated credential of the application is for this ServiceAccount")
	asked := map[string]int{}
	for _, r := range cloud.Requests(vault.Host()) {
		if r.Authorized {
			asked[strings.Trim(r.Path, "/")]++
		}
	}
	for i := range many {
		if n := asked[fmt.Sprint("secrets/db-", i)]; n != 1 {
			t.Errorf("db-%d was read %d times", i, n)
		}
	}

	vault.SetSecret("db-0", azurecloud.Object{Value: "x", Disabled: true})
	w.force(ns, "db-0")
	w.saysOf(ns, "db-0", `secret "db-0" is disabled; enable it`)
	w.holds(ns, "db-0")
	raw, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{value, "token-canary", "canary-7f3e91c4", "eyJ", "OUTGOING REQUEST"} {
		if bytes.Contains(raw, []byte(secret)) {
			t.Errorf("the log holds a value, a token or what Azure said (%s)", secret)
		}
	}
}

// force has an ExternalSecret read again.
func (w *world) force(namespace, name string) {
	w.t.Helper()
	es := &esv1.ExternalSecret{ObjectMeta: named(namespace, name)}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"force-sync":"1"}}}`))
	if err := w.c.Patch(w.t.Context(), es, patch); err != nil {
		w.t.Fatal(err)
	}
}

// saysOf waits until the conditions of an ExternalSecret say a text.
func (w *world) saysOf(namespace, name, text string) {
	w.t.Helper()
	w.eventually(namespace+"/"+name+" says "+text, func() error {
		var es esv1.ExternalSecret
		if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &es); err != nil {
			return err
		}
		for _, c := range es.Status.Conditions {
			if strings.Contains(c.Message, text) {
				return nil
			}
		}
		return fmt.Errorf("the conditions are %v", es.Status.Conditions)
	})
}
