package main

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/test/harness/moto"
)

// noTenant is the flag that keeps the controller's own identity from tenants.
const noTenant = "--secret-store-ambient-credentials=false"

// doorbell is an address at which nobody answers, and that counts who comes.
type doorbell struct {
	address string
	rung    atomic.Int64
}

func newDoorbell(t *testing.T) *doorbell {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &doorbell{address: listener.Addr().String()}
	var hearing sync.WaitGroup
	hearing.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			d.rung.Add(1)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		hearing.Wait()
	})
	return d
}

// storeSays waits until a store of either kind reports so.
func (w *awsWorld) storeSays(obj client.Object, want metav1.ConditionStatus, reason string, texts ...string) {
	w.t.Helper()
	var last esv1.Condition
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("%s said last: %+v", obj.GetName(), last)
		}
	})
	w.eventually(obj.GetName()+" says "+reason, func() bool {
		if err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			w.t.Fatal(err)
		}
		_, _, status := sessions.Parts(obj)
		last = conditions.Ready(status.Conditions)
		for _, text := range texts {
			if !strings.Contains(last.Message, text) {
				return false
			}
		}
		return last.Status == want && last.Reason == reason
	})
}

// withoutIdentity are stores of a tenant that leave their identity to the controller, by what their condition says of it. Whoever
// asks for them rings.
func (w *awsWorld) withoutIdentity(d *doorbell) map[string]*esv1.SecretStore {
	out := map[string]*esv1.SecretStore{}
	for says, provider := range map[string]stores.Provider{
		"spec.provider.aws.auth leaves":         {AWS: &stores.AWS{Service: stores.AWSSecretsManager, Region: moto.Region}},
		"spec.provider.gcpsm.auth leaves":       {GCPSM: &stores.GCPSM{}},
		"spec.provider.azurekv.authType leaves": {AzureKV: &stores.AzureKV{VaultURL: "https://" + d.address, AuthType: stores.AzureManagedIdentity}},
		"spec.provider.vault.auth.gcp leaves":   {Vault: &stores.Vault{Server: "http://" + d.address, Path: "kv", Auth: &stores.VaultAuth{GCP: &stores.VaultGCPAuth{Role: "x"}}}},
		"spec.provider.vault.auth.iam leaves":   {Vault: &stores.Vault{Server: "http://" + d.address, Path: "kv", Auth: &stores.VaultAuth{IAM: &stores.VaultIAMAuth{}}}},
	} {
		name := strings.NewReplacer("spec.provider.", "", ".", "-", " leaves", "").Replace(strings.ToLower(says))
		out[says] = &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: esv1.SecretStoreSpec{Controller: w.class(), Provider: provider}}
	}
	return out
}

// TestAnAdministratorKeepsTheControllersIdentityFromTenants: with the flag a tenant's store that names no identity asks nobody, and
// says so with what reads it; the platform's reads. Without it, as it always was, a tenant's store reads, too; what it has read stays
// when the flag comes back. The other flag is for the platform's.
func TestAnAdministratorKeepsTheControllersIdentityFromTenants(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t)
	ctx, account, bell := t.Context(), w.aws.Account(t), newDoorbell(t)
	must(t, account.PutSecret(ctx, "db", "one-"+storeCanary))
	keys := account.Credentials
	w.env = []string{
		"AWS_ACCESS_KEY_ID=" + keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + keys.SecretAccessKey, "AWS_SESSION_TOKEN=" + keys.SessionToken,
		"GCE_METADATA_HOST=" + bell.address, "GOOGLE_APPLICATION_CREDENTIALS=", "IDENTITY_ENDPOINT=http://" + bell.address, "IDENTITY_HEADER=x",
	}
	role := account.Role("administrator", moto.Role{}) // whose the keys are
	asked := func() int {
		return w.did(role, "GetSecretValue") + w.did(role, "GetCallerIdentity") + w.did(role, "BatchGetSecretValue")
	}
	w.run(noTenant)
	tenants := w.withoutIdentity(bell)
	for _, store := range tenants {
		name := store.Name
		w.make(store, w.externalSecret(w.ns, name, esv1.StoreRef{Name: name}, esv1.RemoteRef{Key: "db"}))
	}
	refused := func() {
		t.Helper()
		for says, store := range tenants {
			w.storeSays(store, "False", "AmbientCredentialsRefused", "SecretStore "+w.ns+"/"+store.Name+": "+says, noTenant, ": ", "or have an administrator make a ClusterSecretStore")
			w.says(store.Name, says+" the identity to the controller")
		}
	}
	refused()
	if n, rung := asked(), bell.rung.Load(); n > 0 || rung > 0 {
		t.Errorf("AWS was asked %d times, and others %d times", n, rung)
	}

	platform := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns}, Spec: tenants["spec.provider.aws.auth leaves"].Spec}
	w.make(platform, w.externalSecret(w.ns, "platform", esv1.StoreRef{Name: w.ns, Kind: esv1.KindClusterSecretStore}, esv1.RemoteRef{Key: "db"}))
	t.Cleanup(func() { _ = w.client.Delete(context.WithoutCancel(ctx), platform) })
	w.holds(w.ns, "platform", "one-"+storeCanary)
	w.holds(w.ns, "aws-auth", "")

	w.end()
	w.start()
	w.storeSays(tenants["spec.provider.aws.auth leaves"], "True", "Valid")
	w.holds(w.ns, "aws-auth", "one-"+storeCanary)
	w.eventually("somebody is asked for the others", func() bool { return bell.rung.Load() > 0 })

	w.end()
	must(t, account.PutSecret(ctx, "db", "two-"+storeCanary))
	w.start(noTenant)
	refused()
	w.holds(w.ns, "platform", "two-"+storeCanary)
	w.holds(w.ns, "aws-auth", "one-"+storeCanary)

	w.end()
	w.start("--cluster-secret-store-ambient-credentials=false")
	w.storeSays(platform, "False", "AmbientCredentialsRefused", "ClusterSecretStore "+w.ns+": spec.provider.aws.auth leaves", "--cluster-secret-store-ambient-credentials=false")
	w.says("platform", "spec.provider.aws.auth leaves")
	w.holds(w.ns, "aws-auth", "two-"+storeCanary)
}
