package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/moto"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

const (
	// awsCanary is a value of these tests alone: stores of others hold theirs, where it may be.
	awsCanary   = "canary-51d2e7a9"
	awsRole     = "eks.amazonaws.com/role-arn"
	awsAudience = "sts.amazonaws.com"
)

// awsWorld is a namespace whose ServiceAccount "reader" is bound to a role of an AWS account, and a controller in a process of
// its own that may do what config/rbac says.
type awsWorld struct {
	*world
	aws        *moto.Server
	user       string
	kubeconfig string
	// env is what the controller's environment has besides.
	env        []string
	controller *process.Process
}

func newAWSWorld(t *testing.T) *awsWorld {
	t.Helper()
	w := &awsWorld{world: newWorld(t), aws: moto.New(t)}
	w.user = "controller-of-" + w.ns
	return w
}

// verify judges a token as AWS does, by the API server that is the issuer.
func (w *awsWorld) verify(ctx context.Context, token string) (subject string, err error) {
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{awsAudience}}}
	if err := w.client.Create(ctx, review); err != nil {
		return "", err
	}
	if !review.Status.Authenticated || !slices.Contains(review.Status.Audiences, awsAudience) {
		return "", errors.New("the API server does not know the token")
	}
	return review.Status.User.Username, nil
}

// role declares a role that trusts the account "reader" of a namespace.
func (w *awsWorld) role(a *moto.Account, name, namespace string) string {
	return a.Role(name, moto.Role{Verify: w.verify, Subject: "system:serviceaccount:" + namespace + ":reader"})
}

// account makes the ServiceAccount "reader" of a namespace, bound to a role.
func (w *awsWorld) account(namespace, role string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "reader", Annotations: map[string]string{awsRole: role}}}
}

// class is the controller's, so that it leaves alone what other tests have.
func (w *awsWorld) class() string { return "class-" + w.ns }

func (w *awsWorld) store(service stores.AWSService) esv1.SecretStoreSpec {
	return esv1.SecretStoreSpec{Controller: w.class(), Provider: stores.Provider{AWS: &stores.AWS{
		Service: service, Region: moto.Region, Auth: stores.AWSAuth{JWT: &stores.AWSJWTAuth{ServiceAccountRef: &stores.ServiceAccountSelector{Name: "reader"}}},
	}}}
}

func (w *awsWorld) externalSecret(namespace, name string, store esv1.StoreRef, ref esv1.RemoteRef) *esv1.ExternalSecret {
	return &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: esv1.ExternalSecretSpec{
		SecretStoreRef: store, RefreshInterval: &metav1.Duration{Duration: time.Second}, Data: []esv1.Data{{SecretKey: "k", RemoteRef: ref}},
	}}
}

func (w *awsWorld) make(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		if err := w.client.Create(w.t.Context(), o); err != nil {
			w.t.Fatalf("create %T %s: %v", o, o.GetName(), err)
		}
	}
}

// run starts the controller with its rights, and searches what it has said when the test ends.
func (w *awsWorld) run(args ...string) {
	w.t.Helper()
	cfg, err := w.cp.UserConfig(w.user)
	if err != nil {
		w.t.Fatal(err)
	}
	root, err := process.ModuleRoot()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, file := range []string{"externalsecret_role.yaml", "secretstore_role.yaml"} {
		raw, err := os.ReadFile(filepath.Join(root, "config", "rbac", file))
		if err != nil {
			w.t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(raw), "\n---\n") {
			var role rbacv1.ClusterRole
			if err := yaml.Unmarshal([]byte(document), &role); err != nil {
				w.t.Fatal(err)
			}
			namespace := ""
			if role.Kind == "Role" { // what is the controller's own
				namespace = w.ns
			}
			if err := w.cp.Allow(w.t.Context(), controlplane.User(w.user), namespace, role.Rules...); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	w.kubeconfig = filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := controlplane.WriteKubeconfig(w.kubeconfig, cfg); err != nil {
		w.t.Fatal(err)
	}
	w.start(args...)
	w.t.Cleanup(w.end)
}

// start starts the controller.
func (w *awsWorld) start(args ...string) {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	w.controller, err = process.Start(w.t.Context(), process.Spec{
		Name: "controller", Path: self, Dir: w.t.TempDir(), Env: slices.Concat(w.aws.Environment(), w.env, []string{asMain + "=1"}),
		Args: append([]string{"--kubeconfig=" + w.kubeconfig, "--namespace=" + w.ns, "--controllers=externalsecret,secretstore", "--controller-class=" + w.class(),
			"--metrics-bind-address=0", "--health-probe-bind-address=0", "--log-level=debug"}, args...),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// end ends the controller, and searches what it has said.
func (w *awsWorld) end() {
	w.t.Helper()
	w.controller.Stop(30 * time.Second)
	w.search()
}

// search looks for values, keys and tokens wherever they may not be.
func (w *awsWorld) search() {
	w.t.Helper()
	text, err := os.ReadFile(w.controller.Log())
	if err != nil {
		w.t.Error(err)
	}
	said := map[string]string{"the log": string(text)}
	for _, list := range []client.ObjectList{&esv1.ExternalSecretList{}, &esv1.SecretStoreList{}, &esv1.ClusterSecretStoreList{}, &eventsv1.EventList{}} {
		if err := w.client.List(context.WithoutCancel(w.t.Context()), list); err != nil {
			w.t.Error(err)
		}
		raw, err := json.Marshal(list)
		if err != nil {
			w.t.Error(err)
		}
		said[fmt.Sprintf("%T", list)] = string(raw)
	}
	for _, private := range append(w.aws.Private(), awsCanary) {
		for where, text := range said {
			if strings.Contains(text, private) {
				w.t.Errorf("a value, a key or a token is in %s", where)
			}
		}
	}
}

// mint lets the controller mint tokens of the account "reader" of a namespace.
func (w *awsWorld) mint(namespace string) {
	w.t.Helper()
	rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"reader"}, Verbs: []string{"create"}}
	if err := w.cp.Allow(w.t.Context(), controlplane.User(w.user), namespace, rule); err != nil {
		w.t.Fatal(err)
	}
}

// says waits until the ExternalSecret is not ready with the text in its message.
func (w *awsWorld) says(name, text string) {
	w.t.Helper()
	last := ""
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("%s said last: %s", name, last)
		}
	})
	w.eventually(name+" says "+text, func() bool {
		var es esv1.ExternalSecret
		if err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &es); err != nil {
			w.t.Fatal(err)
		}
		for _, c := range es.Status.Conditions {
			if c.Type == esv1.ConditionReady {
				last = string(c.Status) + " " + c.Message
			}
		}
		return strings.HasPrefix(last, "False ") && strings.Contains(last, text)
	})
}

// holds waits until the Secret of a namespace has the value; "" for none.
func (w *awsWorld) holds(namespace, name, value string) {
	w.t.Helper()
	w.eventually(namespace+"/"+name+" holds what it should", func() bool {
		var s corev1.Secret
		err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &s)
		if client.IgnoreNotFound(err) != nil {
			w.t.Fatal(err)
		}
		return string(s.Data["k"]) == value
	})
}

// did returns how often a role did something.
func (w *awsWorld) did(role, action string) int {
	n := 0
	for _, r := range w.aws.Requests() {
		if r.Role == role && r.Action == action {
			n++
		}
	}
	return n
}

// must fails the test for the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestAWSIsReadByTheRoleOfTheServiceAccount walks the whole way: the ServiceAccount's annotation names the role, the API server
// mints the token, STS gives keys for it, and values come from Secrets Manager and Parameter Store, as long as they are there.
func TestAWSIsReadByTheRoleOfTheServiceAccount(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t)
	ctx, first, other := t.Context(), w.aws.Account(t), w.aws.Account(t)
	must(t,
		first.PutSecret(ctx, "apps/db", `{"password":"one-`+awsCanary+`"}`), first.PutParameter(ctx, "/apps/token", "token-"+awsCanary),
		other.PutSecret(ctx, "apps/db", `{"password":"other-`+awsCanary+`"}`), other.PutParameter(ctx, "/apps/token", "other-"+awsCanary),
	)
	role, second := w.role(first, "reader", w.ns), w.role(other, "reader", w.ns)
	account := w.account(w.ns, role)
	w.make(account,
		&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "secrets"}, Spec: w.store(stores.AWSSecretsManager)},
		&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "parameters"}, Spec: w.store(stores.AWSParameterStore)})
	w.run()
	gone := w.externalSecret(w.ns, "gone", esv1.StoreRef{Name: "secrets"}, esv1.RemoteRef{Key: "apps/db", Property: "password"})
	gone.Spec.Target.DeletionPolicy = esv1.DeletionDelete
	w.make(gone,
		w.externalSecret(w.ns, "db", esv1.StoreRef{Name: "secrets"}, esv1.RemoteRef{Key: "apps/db", Property: "password"}),
		w.externalSecret(w.ns, "token", esv1.StoreRef{Name: "parameters"}, esv1.RemoteRef{Key: "/apps/token"}))

	w.says("db", "the controller may not mint a token of ServiceAccount "+w.ns+"/reader")
	w.mint(w.ns)
	w.holds(w.ns, "db", "one-"+awsCanary)
	w.holds(w.ns, "gone", "one-"+awsCanary)
	w.holds(w.ns, "token", "token-"+awsCanary)

	// A new value.
	must(t, first.PutSecret(ctx, "apps/db", `{"password":"two-`+awsCanary+`"}`), first.PutParameter(ctx, "/apps/token", "new-"+awsCanary))
	w.holds(w.ns, "db", "two-"+awsCanary)
	w.holds(w.ns, "token", "new-"+awsCanary)
	if n := w.did(role, "AssumeRoleWithWebIdentity"); n > 2 {
		t.Errorf("the role was assumed %d times for two stores", n)
	}

	// Another role.
	bind := func(role string) {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, awsRole, role)
		must(t, w.client.Patch(ctx, account, client.RawPatch("application/merge-patch+json", patch)))
	}
	bind(second)
	w.holds(w.ns, "db", "other-"+awsCanary)
	w.holds(w.ns, "token", "other-"+awsCanary)

	// A role that does not trust the account; what is there stays.
	stranger := w.role(first, "stranger", "elsewhere")
	bind(stranger)
	w.says("db", "AWS refuses sts:AssumeRoleWithWebIdentity on role "+stranger)
	w.says("token", "AWS refuses sts:AssumeRoleWithWebIdentity on role "+stranger)
	w.holds(w.ns, "db", "other-"+awsCanary)
	bind(role)
	w.holds(w.ns, "db", "two-"+awsCanary)
	w.holds(w.ns, "gone", "two-"+awsCanary)

	// No value any more: each does as its deletionPolicy says.
	must(t, first.DeleteSecret(ctx, "apps/db"))
	w.holds(w.ns, "gone", "")
	w.says("db", "apps/db")
	w.holds(w.ns, "db", "two-"+awsCanary)
}

// TestAClusterSecretStoreOfAWSReadsAsTheAccountOfEachNamespace: what one namespace may read, another does not get by the same
// store.
func TestAClusterSecretStoreOfAWSReadsAsTheAccountOfEachNamespace(t *testing.T) {
	t.Parallel()
	w := newAWSWorld(t)
	ctx, ours, theirs, elsewhere := t.Context(), w.aws.Account(t), w.aws.Account(t), w.cp.Namespace(t)
	must(t, ours.PutSecret(ctx, "db", "ours-"+awsCanary), theirs.PutSecret(ctx, "db", "theirs-"+awsCanary))
	store := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns}, Spec: w.store(stores.AWSSecretsManager)}
	w.make(store, w.account(w.ns, w.role(ours, "reader", w.ns)), w.account(elsewhere, w.role(theirs, "reader", elsewhere)))
	t.Cleanup(func() { _ = w.client.Delete(context.WithoutCancel(ctx), store) })
	w.mint(w.ns)
	w.mint(elsewhere)
	w.run()
	ref := esv1.StoreRef{Name: w.ns, Kind: esv1.KindClusterSecretStore}
	w.make(w.externalSecret(w.ns, "db", ref, esv1.RemoteRef{Key: "db"}), w.externalSecret(elsewhere, "db", ref, esv1.RemoteRef{Key: "db"}))
	w.holds(w.ns, "db", "ours-"+awsCanary)
	w.holds(elsewhere, "db", "theirs-"+awsCanary)
}
