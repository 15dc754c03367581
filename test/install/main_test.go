// Package install_test holds what is installed, config/ and the controller together, against a real API server: that the
// rights of each install are enough and reach no further, and that a cluster of External Secrets Operator is taken over.
package install_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/setup"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(controlplane.Run(m))
}

const (
	system  = "sealbridge-system"
	account = "sealbridge-controller"
	value   = "canary-4b81d2"
)

// world is a cluster into which folders of config are installed. It has one set of definitions and rights, so tests take
// turns.
type world struct {
	t  *testing.T
	cp *controlplane.ControlPlane
	c  client.Client

	mu sync.Mutex
	// probes is where the controller says whether it is ready.
	probes string
	// refused are the requests of the controller that the API server has forbidden, and written those that change something.
	refused, written []string
}

// install applies folders of config as people do, and takes them away when the test ends.
func install(t *testing.T, folders ...string) *world {
	t.Helper()
	w := &world{t: t, cp: controlplane.New(t)}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), esv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.c, err = client.New(w.cp.Config(), client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	root, err := process.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		if out, err := w.cp.Kubectl(t.Context(), "", "apply", "-k", filepath.Join(root, "config", folder)); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	w.granted()
	t.Cleanup(func() { // the namespace stays: its deletion takes longer than a test
		ctx := context.WithoutCancel(t.Context())
		for _, binding := range []client.Object{&rbacv1.ClusterRoleBinding{}, &rbacv1.RoleBinding{}} {
			for _, ns := range []string{"", "team-a"} {
				var all client.ObjectList = &rbacv1.ClusterRoleBindingList{}
				if _, namespaced := binding.(*rbacv1.RoleBinding); namespaced {
					all = &rbacv1.RoleBindingList{}
				}
				if err := w.c.List(ctx, all, client.InNamespace(ns)); err != nil {
					t.Error(err)
				}
				w.unbind(ctx, all)
			}
		}
	})
	return w
}

// granted waits until the API server has heard of the bindings of the controller.
func (w *world) granted() {
	w.t.Helper()
	var everywhere rbacv1.ClusterRoleBindingList
	var somewhere rbacv1.RoleBindingList
	if err := errors.Join(w.c.List(w.t.Context(), &everywhere), w.c.List(w.t.Context(), &somewhere)); err != nil {
		w.t.Fatal(err)
	}
	wait := func(binding, namespace string, subjects []rbacv1.Subject, role rbacv1.RoleRef) {
		if !strings.HasPrefix(binding, "sealbridge-") {
			return
		}
		for _, subject := range subjects {
			if err := w.cp.Granted(w.t.Context(), subject, namespace, role.Kind, role.Name); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for _, b := range everywhere.Items {
		wait(b.Name, "", b.Subjects, b.RoleRef)
	}
	for _, b := range somewhere.Items {
		wait(b.Name, b.Namespace, b.Subjects, b.RoleRef)
	}
}

// unbind deletes the bindings of the controller.
func (w *world) unbind(ctx context.Context, list client.ObjectList) {
	var found []client.Object
	switch l := list.(type) {
	case *rbacv1.ClusterRoleBindingList:
		for i := range l.Items {
			found = append(found, &l.Items[i])
		}
	case *rbacv1.RoleBindingList:
		for i := range l.Items {
			found = append(found, &l.Items[i])
		}
	}
	for _, binding := range found {
		if strings.HasPrefix(binding.GetName(), "sealbridge-") {
			if err := client.IgnoreNotFound(w.c.Delete(ctx, binding)); err != nil {
				w.t.Error(err)
			}
		}
	}
}

// run runs the controller as its ServiceAccount with the arguments, until the test ends.
func (w *world) run(args ...string) {
	w.t.Helper()
	cfg, err := w.cp.ServiceAccountConfig(w.t.Context(), system, account)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg.Wrap(w.note)
	var o setup.Options
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(fs, system)
	w.probes = freeAddress(w.t)
	args = append([]string{"--leader-elect", "--metrics-bind-address=0", "--health-probe-bind-address=" + w.probes, "--sealed-secrets-bind-address=127.0.0.1:0", "--key-size=2048"}, args...)
	if err := fs.Parse(args); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	mgr, err := setup.New(ctx, cfg, o)
	if err != nil {
		cancel()
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("manager: %v", err)
		}
	})
}

// ready waits until the controller says that it is.
func (w *world) ready() {
	w.t.Helper()
	w.eventually("the controller is ready", func() error { return process.Answers(w.t.Context(), "http://"+w.probes+"/readyz") })
}

// note is the controller's transport.
func (w *world) note(next http.RoundTripper) http.RoundTripper {
	return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		w.mu.Lock()
		defer w.mu.Unlock()
		what := req.Method + " " + req.URL.Path
		if err == nil && resp.StatusCode == http.StatusForbidden {
			w.refused = append(w.refused, what)
		}
		if req.Method != http.MethodGet {
			w.written = append(w.written, what)
		}
		return resp, err
	})
}

// noRefusal checks that the controller was forbidden nothing.
func (w *world) noRefusal() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, what := range w.refused {
		w.t.Errorf("the API server forbade the controller: %s", what)
	}
}

// may checks what the controller may do: "verb group/resource namespace" by what is expected. What the install of another test
// allowed, the API server may take some moments to forget.
func (w *world) may(want map[string]bool) {
	w.t.Helper()
	for what, allowed := range want {
		fields := strings.Fields(what)
		group, resource, _ := strings.Cut(fields[1], "/")
		resource, sub, _ := strings.Cut(resource, "/")
		spec := authorizationv1.SubjectAccessReviewSpec{
			User:   "system:serviceaccount:" + system + ":" + account,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + system, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: fields[0], Group: group, Resource: resource, Subresource: sub, Namespace: strings.Join(fields[2:], ""),
			},
		}
		w.eventually(fmt.Sprintf("%s: allowed is %t", what, allowed), func() error {
			review := &authorizationv1.SubjectAccessReview{Spec: spec}
			if err := w.c.Create(w.t.Context(), review); err != nil {
				return err
			}
			if review.Status.Allowed != allowed {
				return fmt.Errorf("it is %t", review.Status.Allowed)
			}
			return nil
		})
	}
}

func (w *world) create(objs ...client.Object) {
	w.t.Helper()
	for _, obj := range objs {
		if err := w.c.Create(w.t.Context(), obj); err != nil {
			w.t.Fatalf("create %T %s: %v", obj, obj.GetName(), err)
		}
		w.t.Cleanup(func() { _ = w.c.Delete(context.WithoutCancel(w.t.Context()), obj) })
	}
}

// eventually waits until check returns nil.
func (w *world) eventually(what string, check func() error) {
	w.t.Helper()
	var err error
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Fatalf("%s: %v; forbidden: %v", what, err, w.refused)
}

// holds waits until a Secret holds the value.
func (w *world) holds(namespace, name string) {
	w.t.Helper()
	w.eventually("Secret "+namespace+"/"+name, func() error {
		var s corev1.Secret
		if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &s); err != nil {
			return err
		}
		if string(s.Data["password"]) != value {
			return fmt.Errorf("it has %d keys", len(s.Data))
		}
		return nil
	})
}

// storeSpec is a store that holds the value.
func storeSpec() esv1.SecretStoreSpec {
	return esv1.SecretStoreSpec{Provider: stores.Provider{Fake: &stores.Fake{Data: []stores.FakeData{{Key: "db", Value: `{"password":"` + value + `"}`}}}}}
}

// esSpec reads the value from a store.
func esSpec(store esv1.StoreRef) esv1.ExternalSecretSpec {
	return esv1.ExternalSecretSpec{SecretStoreRef: store, Data: []esv1.Data{{SecretKey: "password", RemoteRef: esv1.RemoteRef{Key: "db", Property: "password"}}}}
}

// named returns the metadata of an object.
func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}
