package externalsecret_test

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/aws"
	"github.com/sealbridge/sealbridge/providers/builtin"
	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/countingstore"
	"github.com/sealbridge/sealbridge/test/harness/gcp"
)

// TestWhateverAStoreAnswersTheTargetStaysAndRecovers takes objects of each provider through all that a backend can do wrong: one
// that reads, one that would delete what the store does not have, and one that would delete what it does not find. Targets
// are as they were while the conditions say why, and hold the next value as soon as the backend is well.
func TestWhateverAStoreAnswersTheTargetStaysAndRecovers(t *testing.T) {
	t.Parallel()
	controlplane.New(t) // skips here and not in each
	of := func(key string) *stores.SecretKeySelector {
		return &stores.SecretKeySelector{Name: "credential", Key: key}
	}
	token := of("token")
	for name, tc := range map[string]struct {
		rogue *rogue
		// provider makes a store of the rogue, which is served at an address, or by the provider's cloud, and adds what it logs in with.
		provider func(r *rogue, address string, credential map[string][]byte) stores.Provider
		finds    bool
		// strange is said of what is no answer, and says what else is.
		strange string
		says    map[string]string
	}{
		"vault": {&rogue{good: rogueVault, aside: checks},
			func(_ *rogue, address string, _ map[string][]byte) stores.Provider {
				return stores.Provider{Vault: &stores.Vault{Server: address, Path: "kv", Auth: &stores.VaultAuth{TokenSecretRef: token}}}
			}, true,
			"not one of vault's", map[string]string{"an internal error": "vault answered 500"}},
		"kubernetes": {&rogue{good: rogueKubernetes, aside: checks},
			func(_ *rogue, address string, _ map[string][]byte) stores.Provider {
				return stores.Provider{Kubernetes: &stores.Kubernetes{Server: stores.KubernetesServer{URL: address}, Auth: &stores.KubernetesAuth{Token: &stores.KubernetesTokenAuth{BearerToken: *token}}}}
			}, true,
			"not a Kubernetes API server's", map[string]string{"an internal error": "the API server answered 500"}},
		"webhook": {&rogue{good: rogueWebhook},
			func(_ *rogue, address string, _ map[string][]byte) stores.Provider {
				return stores.Provider{Webhook: &stores.Webhook{URL: address + "/{{ .remoteRef.key }}", Headers: map[string]string{"X-Token": "{{ .auth.token }}"},
					Result:  stores.WebhookResult{JSONPath: "$.data.{{ .remoteRef.property }}"},
					Secrets: []stores.WebhookSecret{{Name: "auth", SecretRef: stores.SecretKeySelector{Name: "credential"}}}}}
			}, false,
			"not JSON", map[string]string{"empty": "without a content", "null": "finds nothing in the answer", "not UTF-8": "not UTF-8", "an internal error": "answered 500"}},
		"aws": {&rogue{good: rogueAWS, aside: checksOfAWS},
			func(*rogue, string, map[string][]byte) stores.Provider {
				return stores.Provider{AWS: &stores.AWS{Service: stores.AWSSecretsManager, Region: "eu-central-1", Auth: stores.AWSAuth{SecretRef: &stores.AWSAuthSecretRef{AccessKeyID: token, SecretAccessKey: token}}}}
			}, true,
			"not one of AWS's", map[string]string{"an internal error": "AWS answered 500"}},
		"azurekv": {&rogue{good: rogueAzure, aside: checksOfAzure},
			func(r *rogue, _ string, credential map[string][]byte) stores.Provider {
				vault := microsoft.Vault("rogue")
				microsoft.Handle(vault.Host(), r)
				microsoft.AddApp(azurecloud.App{Client: "rogue", Secrets: []string{canary}})
				credential["id"] = []byte("rogue")
				return stores.Provider{AzureKV: &stores.AzureKV{VaultURL: vault.URL(), TenantID: azurecloud.Tenant, AuthSecretRef: &stores.AzureAuthSecretRef{ClientID: of("id"), ClientSecret: token}}}
			}, true,
			"not one of key vault's", map[string]string{"an internal error": "key vault answered 500"}},
		"gcpsm": {&rogue{good: rogueGoogle, aside: checksOfGoogle, grpc: true},
			func(r *rogue, _ string, credential map[string][]byte) stores.Provider {
				project := gcp.Project()
				google.Serve("secretmanager.rogue.rep.googleapis.com", r)
				_, credential["key"] = google.Reader(t, project)
				return stores.Provider{GCPSM: &stores.GCPSM{ProjectID: project, Location: "rogue", Auth: stores.GCPAuth{SecretRef: &stores.GCPAuthSecretRef{SecretAccessKey: of("key")}}}}
			}, true,
			"Secret Manager answered", map[string]string{"an internal error": "Secret Manager answered Internal", "reset": "Secret Manager answered",
				"a page": "not one of Secret Manager's", "a redirect": "not one of Secret Manager's", "5 MiB in little": "Secret Manager answered Internal"}}, // what is packed is not read
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := tc.rogue
			server := httptest.NewUnstartedServer(r)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.Start()
			t.Cleanup(func() {
				server.CloseClientConnections()
				server.Close()
			})
			w := prepare(t)
			// What is slow in the end has a time limit of its own; no other answer is taken for one that is, however busy the machine is.
			w.limits.Timeout, w.patience = 5*time.Minute, 2*time.Minute
			w.providers = append(slices.DeleteFunc(builtin.All(), func(p providers.Provider) bool { return p.Name() == "aws" }),
				aws.Provider{Environment: aws.Environment{Endpoints: aws.Endpoints{SecretsManager: server.URL, STS: server.URL}}})
			credential := map[string][]byte{"token": []byte(canary)}
			store := tc.provider(r, server.URL, credential)
			yearly := intstr.FromString("8760h")
			w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "credential", Labels: map[string]string{"external-secrets.io/type": "webhook"}},
				Data: credential},
				&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"},
					Spec: esv1.SecretStoreSpec{Controller: w.class, RefreshInterval: &yearly, Provider: store}})
			r.set("", "value first")
			w.start()
			keys := map[string]string{"retain": "password", "delete": "password"}
			w.create(w.externalSecret("retain"), w.externalSecret("delete", policies("", esv1.DeletionDelete)))
			if tc.finds {
				keys["found"] = "db"
				w.create(w.externalSecret("found", policies("", esv1.DeletionDelete), func(es *esv1.ExternalSecret) {
					es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{{Find: named("^db$")}}
				}))
			}
			before := map[string]*corev1.Secret{}
			good := func(value string) {
				t.Helper()
				for name, key := range keys {
					want := value
					if name == "found" {
						want = `{"password":"` + value + `"}`
					}
					before[name] = w.holds(name, map[string]string{key: want})
					w.ready(name)
				}
			}
			good("value first")
			for _, mode := range []string{"empty", "truncated", "null", "a page", "a redirect", "5 MiB", "5 MiB in little", "not UTF-8", "throttled for a second", "throttled", "an internal error", "reset", "slow"} {
				if mode == "slow" {
					w.stop()
					w.limits.Timeout = 5 * time.Second
					w.start()
				}
				says := cmp.Or(tc.says[mode], map[string]string{
					"5 MiB": "larger than 4 MiB", "5 MiB in little": "larger than 4 MiB", "a redirect": "redirects elsewhere", "slow": "did not answer in time",
					"throttled for a second": "throttled by the store", "throttled": "throttled by the store", "reset": "the connection broke",
				}[mode], tc.strange)
				r.set(mode, "value "+mode)
				for name := range keys {
					w.sync(name)
				}
				for name := range keys {
					w.notReady(name, says)
					if now := w.secret(name); now.UID != before[name].UID || now.ResourceVersion != before[name].ResourceVersion {
						t.Errorf("%s: the target of %s was changed", mode, name)
					}
				}
				r.set("", "value "+mode)
				good("value " + mode)
			}
		})
	}
}

// TestAStoreWhoseCheckFailedIsReadySoonAfterItIsUp lets a store be down when the controller starts, so that no session is
// open and nobody may ask it, for so long that a backoff alone would find out much later.
func TestAStoreWhoseCheckFailedIsReadySoonAfterItIsUp(t *testing.T) {
	t.Parallel()
	server, err := countingstore.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	server.Put("db", map[string]string{"password": canary})
	server.Fail(http.StatusServiceUnavailable)
	w := prepare(t)
	w.providers = builtin.All()
	w.plainSecret("token", map[string]string{"token": countingstore.Token})
	spec := w.storeSpec()
	spec.Provider = stores.Provider{Vault: &stores.Vault{Server: server.Address(), Path: "kv",
		Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "token", Key: "token"}}}}
	w.create(&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}, Spec: spec})
	for i := range 20 {
		w.create(w.externalSecret(fmt.Sprintf("es-%d", i)))
	}
	w.start()
	w.notReady("es-0", "vault answered 503")
	const outage, soon = 17 * time.Second, 12 * time.Second // the backoff comes back after 1, 3, 7, 15 and 31 s
	time.Sleep(outage)
	if n := server.Count(); n > 4*10 { // each check is a few requests; both ways to repeat it come some five times
		t.Errorf("%d requests while the store was down", n)
	}
	server.Fail(0)
	up := time.Now()
	for i := range 20 {
		w.ready(fmt.Sprintf("es-%d", i))
	}
	took := time.Since(up)
	if took > soon {
		// A busy machine is late with everything: by as much as with a store and an object that nothing is wrong with.
		began := time.Now()
		w.store("healthy", stores.FakeData{Key: "db", Value: `{"password":"x"}`})
		w.create(w.externalSecret("healthy", func(es *esv1.ExternalSecret) { es.Spec.SecretStoreRef.Name = "healthy" }))
		w.ready("healthy")
		late := time.Since(began)
		if took > soon+2*late {
			t.Errorf("all were ready %s after the store was up, want %s; anything takes %s here", took, soon, late)
		}
	}
}

// TestAnOutageCostsEachObjectTwoWritesAndOneEvent also where the store is checked during the outage, and so is not ready
// meanwhile: what an object says when it fails first holds until it is read again.
func TestAnOutageCostsEachObjectTwoWritesAndOneEvent(t *testing.T) {
	t.Parallel()
	backend := &rogue{good: rogueVault, aside: checks}
	backend.set("", canary)
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)
	w := prepare(t)
	w.providers = builtin.All()
	w.plainSecret("token", map[string]string{"token": canary})
	spec := w.storeSpec()
	often := intstr.FromString("1s")
	spec.RefreshInterval = &often
	spec.Provider = stores.Provider{Vault: &stores.Vault{Server: server.URL, Path: "kv",
		Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "token", Key: "token"}}}}
	w.create(&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}, Spec: spec})
	const objects = 20
	each := func(do func(name string)) {
		for i := range objects {
			do(fmt.Sprintf("es-%d", i))
		}
	}
	each(func(name string) { w.create(w.externalSecret(name, every(time.Second))) })
	w.start()
	each(func(name string) { w.ready(name) })
	storeIs := func(status metav1.ConditionStatus) {
		t.Helper()
		w.eventually(fmt.Sprintf("the store is Ready=%s", status), func() error {
			var store esv1.SecretStore
			if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "store"}, &store); err != nil {
				return err
			}
			if c := conditions.Ready(store.Status.Conditions); c.Status != status || store.Status.Unavailable != (status == metav1.ConditionFalse) {
				return fmt.Errorf("it is %+v, unavailable %v", c, store.Status.Unavailable)
			}
			return nil
		})
	}
	w.traffic.reset()
	backend.set("an internal error", canary)
	each(func(name string) {
		w.notReady(name, "vault answered 500 Internal Server Error; the target holds the values of")
	})
	backend.set("down", canary)
	storeIs(metav1.ConditionFalse)
	backend.set("", canary)
	each(func(name string) { w.ready(name) })
	storeIs(metav1.ConditionTrue)
	each(func(name string) { w.ready(name) })
	writes := w.traffic.matching(http.MethodPut)
	each(func(name string) {
		if n := writes["PUT /apis/external-secrets.io/v1/namespaces/"+w.ns+"/externalsecrets/"+name+"/status"]; n != 2 {
			t.Errorf("%s: %d writes of the status, want that it failed and that it recovered", name, n)
		}
		w.eventually(name+" has its two events", func() error {
			if events := w.events(name); fmt.Sprint(events) != "[Created UpdateFailed]" {
				return fmt.Errorf("events %v", events)
			}
			return nil
		})
	})
}
