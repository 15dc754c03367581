package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// storeCanary is a value of the tests of stores alone: stores of others hold theirs, where it may be.
const storeCanary = "canary-51d2e7a9"

// storeWorld is a namespace with stores that log in as its ServiceAccount "reader", and a controller in a process of its own that
// may do what config/rbac says.
type storeWorld struct {
	*world
	user       string
	kubeconfig string
	controller *process.Process
	// clouds is the environment that leads the controller to the clouds of the test, and env what it has besides.
	clouds, env []string
	// without is a resource on which the controller has no right; none when empty.
	without string
	// private returns what may be nowhere, beside the canary.
	private func() []string
}

func newStoreWorld(t *testing.T) *storeWorld {
	t.Helper()
	w := &storeWorld{world: newWorld(t), private: func() []string { return nil }}
	w.user = "controller-of-" + w.ns
	return w
}

func (w *storeWorld) externalSecret(namespace, name string, store esv1.StoreRef, ref esv1.RemoteRef) *esv1.ExternalSecret {
	return &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: esv1.ExternalSecretSpec{
		SecretStoreRef: store, RefreshInterval: &metav1.Duration{Duration: time.Second}, Data: []esv1.Data{{SecretKey: "k", RemoteRef: ref}},
	}}
}

func (w *storeWorld) make(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		if err := w.client.Create(w.t.Context(), o); err != nil {
			w.t.Fatalf("create %T %s: %v", o, o.GetName(), err)
		}
	}
}

// run starts the controller with its rights, and searches what it has said when the test ends.
func (w *storeWorld) run(args ...string) {
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
			role.Rules = slices.DeleteFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, w.without) })
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
func (w *storeWorld) start(args ...string) {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	controller, err := process.Start(w.t.Context(), process.Spec{
		Name: "controller", Path: self, Dir: w.t.TempDir(), Env: slices.Concat(w.clouds, w.env, []string{asMain + "=1"}),
		Args: append([]string{"--kubeconfig=" + w.kubeconfig, "--namespace=" + w.ns, "--controllers=externalsecret,secretstore", "--controller-class=" + w.class(),
			"--metrics-bind-address=0", "--health-probe-bind-address=0", "--log-level=debug"}, args...),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.controller = controller
}

// end ends the controller, and searches what it has said.
func (w *storeWorld) end() {
	w.t.Helper()
	w.controller.Stop(30 * time.Second)
	w.search()
}

// search looks for values, keys and tokens wherever they may not be.
func (w *storeWorld) search() {
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
	for _, private := range append(w.private(), storeCanary) {
		for where, text := range said {
			if strings.Contains(text, private) {
				w.t.Errorf("a value, a key or a token is in %s", where)
			}
		}
	}
}

// mint lets the controller mint tokens of the account "reader" of a namespace.
func (w *storeWorld) mint(namespace string) {
	w.t.Helper()
	rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{"reader"}, Verbs: []string{"create"}}
	if err := w.cp.Allow(w.t.Context(), controlplane.User(w.user), namespace, rule); err != nil {
		w.t.Fatal(err)
	}
}

// says waits until the ExternalSecret is not ready with the text in its message.
func (w *storeWorld) says(name, text string) {
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
func (w *storeWorld) holds(namespace, name, value string) {
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

// must fails the test for the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
