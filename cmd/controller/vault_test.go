package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/gcp"
	"github.com/sealbridge/sealbridge/test/harness/moto"
	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// manySecrets is how many ExternalSecrets read one store of Vault.
const manySecrets = 20

// vaultMount is an engine of a Vault and an auth method, both at the name of the test's namespace, with a policy that reads the engine.
type vaultMount struct {
	*vault.Server
	w     *storeWorld
	mount string
}

func newVaultMount(w *storeWorld, server *vault.Server, method string) vaultMount {
	w.t.Helper()
	ctx, v := w.t.Context(), vaultMount{server, w, w.ns}
	must(w.t,
		server.EnableKV(ctx, v.mount, 2), server.Policy(ctx, v.mount, vault.ReadPolicy(v.mount, "*")),
		server.Write(ctx, "sys/auth/"+v.mount, map[string]any{"type": method}),
	)
	v.put("one")
	return v
}

// put writes a value that all ExternalSecrets read.
func (v vaultMount) put(text string) {
	v.w.t.Helper()
	_, err := v.Put(v.w.t.Context(), v.mount, "app", map[string]any{"k": text + "-" + storeCanary})
	must(v.w.t, err)
}

// role writes a role whose tokens live so long.
func (v vaultMount) role(name, ttl string, fields map[string]any) {
	v.w.t.Helper()
	fields["token_policies"], fields["token_ttl"] = v.mount, ttl
	must(v.w.t, v.Write(v.w.t.Context(), "auth/"+v.mount+"/role/"+name, fields))
}

// store makes a SecretStore that logs in as auth says.
func (v vaultMount) store(name string, auth stores.VaultAuth) {
	v.w.t.Helper()
	v.storeAt(v.Address(), name, auth)
}

// storeAt makes a SecretStore that reaches Vault at another address.
func (v vaultMount) storeAt(address, name string, auth stores.VaultAuth) {
	v.w.t.Helper()
	v.w.make(&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: v.w.ns, Name: name}, Spec: esv1.SecretStoreSpec{
		Controller: v.w.class(), Provider: stores.Provider{Vault: &stores.Vault{Server: address, Path: v.mount, Auth: &auth}},
	}})
}

// readers makes ExternalSecrets that read what put writes.
func (v vaultMount) readers(store string, n int) {
	v.w.t.Helper()
	for i := range n {
		v.w.make(v.w.externalSecret(v.w.ns, fmt.Sprint(store, "-", i), esv1.StoreRef{Name: store}, esv1.RemoteRef{Key: "app", Property: "k"}))
	}
}

// all waits until all have a value.
func (v vaultMount) all(store string, n int, text string) {
	v.w.t.Helper()
	for i := range n {
		v.w.holds(v.w.ns, fmt.Sprint(store, "-", i), text+"-"+storeCanary)
	}
}

// logins returns how often somebody has tried to log in.
func (v vaultMount) logins() int {
	v.w.t.Helper()
	requests, err := v.Requests()
	must(v.w.t, err)
	n := 0
	for _, r := range requests {
		if r.Operation == "update" && r.Path == "auth/"+v.mount+"/login" {
			n++
		}
	}
	return n
}

// tokens returns how many tokens there are that a login has brought, and how many of them last.
func (v vaultMount) tokens() (all, lasting int) {
	v.w.t.Helper()
	left, err := v.Tokens(v.w.t.Context(), v.mount)
	must(v.w.t, err)
	for _, ttl := range left {
		all++
		if ttl > time.Minute {
			lasting++
		}
	}
	return all, lasting
}

// once checks that all ExternalSecrets share one login.
func (v vaultMount) once() {
	v.w.t.Helper()
	if all, _ := v.tokens(); v.logins() != 1 || all != 1 {
		v.w.t.Errorf("%d logins and %d tokens for %d ExternalSecrets", v.logins(), all, manySecrets)
	}
}

// renews waits until the store has logged in again by itself, and reads as before.
func (v vaultMount) renews(store string, n int) {
	v.w.t.Helper()
	before := v.logins()
	v.w.eventually("a login that ends is followed by another", func() bool { return v.logins() > before+1 })
	v.put("renewed")
	v.all(store, n, "renewed")
}

// ends stops the controller when each of its stores reads with a token that lasts, after which none is left.
func (v vaultMount) ends(stores ...string) {
	v.w.t.Helper()
	v.w.eventually("each store has a token that lasts", func() bool {
		_, lasting := v.tokens()
		return lasting == len(stores)
	})
	for _, text := range []string{"later", "last"} { // who reads the second has got the token, which Vault knew before
		v.put(text)
		for _, store := range stores {
			v.all(store, 1, text)
		}
	}
	v.w.controller.Stop(30 * time.Second)
	if all, _ := v.tokens(); all != 0 {
		v.w.t.Errorf("%d tokens outlive the controller", all)
	}
}

// TestAControllerThatIsToldToEndWhileItLogsInLeavesNoToken: Vault has made the tokens of several logins when the controller is ended,
// and answers a moment later.
func TestAControllerThatIsToldToEndWhileItLogsInLeavesNoToken(t *testing.T) {
	t.Parallel()
	const many = 4
	w := newStoreWorld(t)
	w.private = func() []string { return []string{"hvs."} }
	v := newVaultMount(w, vault.New(t), "approle")
	roleID, secretID, err := v.AppRole(t.Context(), v.mount, "app", time.Hour, v.mount)
	must(t, err)
	late := v.Late(t)
	w.make(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "login"}, StringData: map[string]string{"id": secretID}})
	for i := range many {
		v.storeAt(late.Address, fmt.Sprint("store-", i), stores.VaultAuth{AppRole: &stores.VaultAppRole{
			Path: v.mount, RoleID: roleID, SecretRef: stores.SecretKeySelector{Name: "login", Key: "id"},
		}})
		v.readers(fmt.Sprint("store-", i), 1)
	}
	w.run()
	for range many {
		select {
		case <-late.Answered:
		case <-time.After(deadline):
			t.Fatal("the controller does not log in")
		}
	}
	if all, _ := v.tokens(); all != many {
		t.Fatalf("Vault has %d tokens for %d logins", all, many)
	}
	time.AfterFunc(500*time.Millisecond, late.Release)
	w.controller.Stop(30 * time.Second)
	if all, _ := v.tokens(); all != 0 {
		t.Errorf("%d tokens outlive the controller", all)
	}
}

// annotate sets an annotation of the ServiceAccount "reader".
func (w *storeWorld) annotate(name, value string) {
	w.t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "reader"}}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, name, value)
	must(w.t, w.client.Patch(w.t.Context(), account, client.RawPatch("application/merge-patch+json", patch)))
}

// TestVaultIsReadByTheRoleOfAWSOfTheServiceAccount walks the whole way: the ServiceAccount's annotation names the role, the API server
// mints the token, STS gives keys for it, Vault asks STS who has signed with these, and all that use the store share the login.
func TestVaultIsReadByTheRoleOfAWSOfTheServiceAccount(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t)
	w.private = func() []string { return append(w.aws.Private(), "hvs.", "AWS4-HMAC", "Signature=") }
	v, account := newVaultMount(w.storeWorld, vault.New(t), "aws"), w.aws.Account(t)
	role, stranger := w.role(account, "reader", w.ns), w.role(account, "stranger", w.ns)
	must(t, v.Write(t.Context(), "auth/"+v.mount+"/config/client", map[string]any{"sts_endpoint": w.aws.URL(), "sts_region": moto.Region, "iam_server_id_header_value": "vault.example.com"}))
	bound := func(ttl string) {
		v.role("app", ttl, map[string]any{"auth_type": "iam", "bound_iam_principal_arn": role, "resolve_aws_unique_ids": false})
	}
	bound("1h")
	w.make(w.account(w.ns, role))
	v.store("vault", stores.VaultAuth{IAM: &stores.VaultIAMAuth{
		Path: v.mount, Region: moto.Region, Role: "app", ServerID: "vault.example.com", JWT: &stores.AWSJWTAuth{ServiceAccountRef: &stores.ServiceAccountSelector{Name: "reader"}},
	}})
	w.run()
	v.readers("vault", manySecrets)
	w.says("vault-0", "the controller may not mint a token of ServiceAccount "+w.ns+"/reader")
	w.mint(w.ns)
	v.all("vault", manySecrets, "one")
	v.put("two")
	v.all("vault", manySecrets, "two")
	v.once()

	// A role that Vault does not trust; what is there stays.
	w.annotate(awsRole, stranger)
	w.says("vault-0", `vault role "app" at auth/`+v.mount+" refuses role "+stranger+"; check the role's bound_iam_principal_arn")
	v.all("vault", manySecrets, "two")
	bound("5s")
	w.annotate(awsRole, role)
	v.put("three")
	v.all("vault", manySecrets, "three")
	v.renews("vault", manySecrets)
	bound("1h")
	v.ends("vault")
}

// TestVaultIsReadByTheGoogleServiceAccountOfTheServiceAccount walks the whole way: the metadata server tells which cluster this is, the
// API server mints the token, Google exchanges it for one of the service account that the annotation names and signs for that, and
// Vault asks Google who has signed.
func TestVaultIsReadByTheGoogleServiceAccountOfTheServiceAccount(t *testing.T) {
	t.Parallel()
	process.Require(t, "vault")
	w := newStoreWorld(t)
	w.private = func() []string { return []string{"hvs.", "ya29.", "eyJ", "PRIVATE KEY"} }
	cloud, err := gcp.Start(t.Context())
	must(t, err)
	t.Cleanup(func() { _ = cloud.Stop() })
	w.clouds, w.env = cloud.Env(), []string{"GOOGLE_SDK_GO_LOGGING_LEVEL=debug"} // with which Google's libraries log what they send and get
	server, err := vault.Start(t.Context(), vault.Options{Env: cloud.Env()})
	must(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	v := newVaultMount(w, server, "gcp")

	const project, annotation = "payments", "iam.gke.io/gcp-service-account"
	email := func(name string) string { return name + "@" + project + ".iam.gserviceaccount.com" }
	keys, err := w.cp.TokenKeys(t.Context())
	must(t, err)
	pool := project + ".svc.id.goog"
	audience := "identitynamespace:" + pool + ":https://container.googleapis.com/v1/projects/" + project + "/locations/" + gcp.Region + "/clusters/main"
	cloud.Trust(audience, gcp.Issuer{URL: controlplane.Issuer, Keys: *keys, Audience: pool})
	for _, name := range []string{"app", "stranger"} {
		cloud.LetActAs(gcp.Principal(audience, "system:serviceaccount:"+w.ns+":reader"), email(name))
		cloud.Account(email(name))
	}
	cloud.LetSign("serviceAccount:"+email("stranger"), email("stranger"))
	cloud.Cluster(project, gcp.Region, "main", "serviceAccount:"+email("node"))
	key, err := cloud.Key(email("vault"))
	must(t, err)
	cloud.Grant("serviceAccount:"+email("vault"), "projects/-", "iam.serviceAccounts.get")
	must(t, v.Write(t.Context(), "auth/"+v.mount+"/config", map[string]any{"credentials": string(key)}))
	bound := func(ttl string) {
		v.role("app", ttl, map[string]any{"type": "iam", "bound_service_accounts": email("app")})
	}
	bound("1h")
	v.role("node", "1h", map[string]any{"type": "iam", "bound_service_accounts": email("node"), "max_jwt_exp": "1h"})
	w.make(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "reader", Annotations: map[string]string{annotation: email("app")}}})
	w.mint(w.ns)
	v.store("vault", stores.VaultAuth{GCP: &stores.VaultGCPAuth{Path: v.mount, Role: "app", WorkloadIdentity: &stores.GCPWorkloadIdentity{
		ServiceAccountRef: stores.ServiceAccountSelector{Name: "reader"},
	}}})
	w.run()
	v.readers("vault", manySecrets)
	w.says("vault-0", "google does not let the service account "+email("app")+" sign tokens: grant it iam.serviceAccounts.signJwt on itself")
	cloud.LetSign("serviceAccount:"+email("app"), email("app"))
	v.all("vault", manySecrets, "one")
	v.put("two")
	v.all("vault", manySecrets, "two")
	v.once()

	// A service account that Vault does not trust; what is there stays.
	w.annotate(annotation, email("stranger"))
	w.says("vault-0", `vault role "app" at auth/`+v.mount+" refuses the service account "+email("stranger")+"; check the role's bound_service_accounts")
	v.all("vault", manySecrets, "two")
	bound("5s")
	w.annotate(annotation, email("app"))
	v.put("three")
	v.all("vault", manySecrets, "three")
	v.renews("vault", manySecrets)
	bound("1h")

	// The controller's own identity, from the metadata server.
	v.store("own", stores.VaultAuth{GCP: &stores.VaultGCPAuth{Path: v.mount, Role: "node"}})
	v.readers("own", 1)
	v.all("own", 1, "renewed")
	v.ends("vault", "own")
	if hosts := slices.DeleteFunc(cloud.Refused(), func(host string) bool { return strings.HasPrefix(host, "checkpoint-api.hashicorp.com") }); len(hosts) > 0 {
		t.Errorf("other hosts than Google's were asked for: %q", hosts)
	}
}
