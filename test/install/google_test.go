package install_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/gcp"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// google starts a cloud that trusts the cluster, in which the ServiceAccount of the namespace may act as a Google service account
// that may read the project's secrets. It returns the audience that the cluster has there.
func (w *world) google(project, namespace, email string) *gcp.Cloud {
	w.t.Helper()
	cloud, err := gcp.Start(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = cloud.Stop() })
	keys := w.keys()
	pool := project + ".svc.id.goog"
	audience := "identitynamespace:" + pool + ":https://container.googleapis.com/v1/projects/" + project + "/locations/" + gcp.Region + "/clusters/main"
	cloud.Trust(audience, gcp.Issuer{URL: controlplane.Issuer, Keys: keys, Audience: pool})
	cloud.LetActAs(gcp.Principal(audience, "system:serviceaccount:"+namespace+":app"), email)
	cloud.Grant("serviceAccount:"+email, "projects/"+project, "secretmanager.versions.access")
	cloud.Cluster(project, gcp.Region, "main", "")
	return cloud
}

// keys are those by which the tokens of the cluster are verified.
func (w *world) keys() jose.JSONWebKeySet {
	w.t.Helper()
	keys, err := w.cp.TokenKeys(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return *keys
}

// TestAServiceAccountReadsGoogleSecretManager has the program itself, told nothing but where the proxy is, read for a ServiceAccount
// whose tokens the API server mints. What the store leaves out the metadata server tells.
func TestAServiceAccountReadsGoogleSecretManager(t *testing.T) {
	w := install(t, "default")
	const many = 20
	ns, project := w.cp.Namespace(t), gcp.Project()
	email := "app@" + project + ".iam.gserviceaccount.com"
	cloud := w.google(project, ns, email)
	for i := range many {
		cloud.Put("projects/"+project, fmt.Sprint("db-", i), []byte(`{"password":"`+value+`"}`))
	}
	controller := controlplane.ServiceAccount(system, account)
	if err := w.cp.Allow(t.Context(), controller, ns, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"app"}, Verbs: []string{"create"},
	}); err != nil {
		t.Fatal(err)
	}
	serviceAccount := &corev1.ServiceAccount{ObjectMeta: named(ns, "app")}
	serviceAccount.Annotations = map[string]string{"iam.gke.io/gcp-service-account": email}
	store := &esv1.SecretStore{ObjectMeta: named(ns, "google"), Spec: esv1.SecretStoreSpec{Provider: stores.Provider{GCPSM: &stores.GCPSM{
		Auth: stores.GCPAuth{WorkloadIdentity: &stores.GCPWorkloadIdentity{ServiceAccountRef: stores.ServiceAccountSelector{Name: "app"}}},
	}}}}
	w.create(serviceAccount, store)
	for i := range many {
		es := &esv1.ExternalSecret{ObjectMeta: named(ns, fmt.Sprint("db-", i)), Spec: esSpec(esv1.StoreRef{Name: "google"})}
		es.Spec.Data[0].RemoteRef.Key = es.Name
		w.create(es)
	}
	log := w.program(append(cloud.Env(), "GOOGLE_SDK_GO_LOGGING_LEVEL=debug")) // with which Google's libraries log what they send and get
	for i := range many {
		w.holds(ns, fmt.Sprint("db-", i))
	}
	got := cloud.Requests()
	if got["AccessSecretVersion"] != many || got["exchange"] != 1 || got["generateAccessToken"] != 1 {
		t.Errorf("%d secrets took %v", many, got)
	}
	if hosts := cloud.Refused(); len(hosts) > 0 {
		t.Errorf("other hosts than Google's were asked for: %q", hosts)
	}
	w.eventually("a right that is taken away is said", func() error {
		cloud.Revoke("serviceAccount:"+email, "projects/"+project, "secretmanager.versions.access")
		var es esv1.ExternalSecret
		if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "db-0"}, &es); err != nil {
			return err
		}
		if es.Annotations["force-sync"] == "" {
			es.Annotations = map[string]string{"force-sync": "1"}
			if err := w.c.Update(t.Context(), &es); err != nil {
				return err
			}
		}
		for _, c := range es.Status.Conditions {
			if strings.Contains(c.Message, "grant secretmanager.versions.access on it (roles/secretmanager.secretAccessor) to the service account "+email) {
				return nil
			}
		}
		return fmt.Errorf("the conditions are %v", es.Status.Conditions)
	})
	w.holds(ns, "db-0")
	raw, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{value, "ya29.", "eyJ"} {
		if bytes.Contains(raw, []byte(secret)) {
			t.Errorf("the log holds a value or a token (%s)", secret)
		}
	}
}

// program starts the controller's own program with the rights that are installed, and returns where its log is.
func (w *world) program(env []string) (log string) {
	w.t.Helper()
	cfg, err := w.cp.ServiceAccountConfig(w.t.Context(), system, account)
	if err != nil {
		w.t.Fatal(err)
	}
	dir := w.t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := controlplane.WriteKubeconfig(kubeconfig, cfg); err != nil {
		w.t.Fatal(err)
	}
	running, err := process.Start(w.t.Context(), process.Spec{
		Name: "controller", Path: process.Require(w.t, "sealbridge-controller"), Env: env, Dir: dir,
		Args: []string{"--kubeconfig", kubeconfig, "--controllers", "externalsecret,secretstore", "--metrics-bind-address", "0", "--health-probe-bind-address", "0"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { running.Stop(10 * time.Second) })
	return running.Log()
}
