package clusterexternalsecret_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/clusterexternalsecret"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard()) // each manager has a logger of its own
	os.Exit(controlplane.Run(m))
}

// world is the real API server with one controller on it. The kind has no namespace, so that tests take turns; each has
// names of its own.
type world struct {
	t    *testing.T
	cp   *controlplane.ControlPlane
	name string // of the ClusterExternalSecret, and the value of the label that it selects by
	c    client.Client
	// controller is the configuration of the controller's own user, who may do what its role says.
	controller *rest.Config
	logs       capture.Log
	mu         sync.Mutex
	writes     []string
	// fault stands in the way of the controller's requests, when there is one.
	fault atomic.Pointer[weather]
	// stale is what the controller's cache holds of the ClusterExternalSecret, when it is behind.
	stale atomic.Pointer[esv1.ClusterExternalSecret]
	// unaware is set when the controller's cache does not know yet which namespaces are being deleted.
	unaware atomic.Bool
	// before is called before each write of the controller, when it is set.
	before atomic.Pointer[func(*http.Request)]
	stop   func()
	// reconciler is the one that was started last.
	reconciler *clusterexternalsecret.Reconciler
}

// roles are what the controller needs, and what it needs to take over.
const (
	role     = "rbac/clusterexternalsecret_role.yaml"
	takeover = "takeover/role.yaml"
)

// newWorld returns a world whose controller runs.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := prepare(t, role, takeover)
	w.start()
	return w
}

// prepare returns a world without a running controller, which may do what the roles say.
func prepare(t *testing.T, roles ...string) *world {
	t.Helper()
	cp := controlplane.New(t)
	w := &world{t: t, cp: cp}
	c, err := client.New(cp.Config(), client.Options{Scheme: scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	w.c, w.name = c, "ces-of-"+w.namespace(nil)
	if w.controller, err = cp.UserConfig("controller-of-" + w.name); err != nil {
		t.Fatal(err)
	}
	for _, file := range roles {
		raw, err := os.ReadFile(filepath.Join("..", "..", "config", file))
		if err != nil {
			t.Fatal(err)
		}
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(raw, &role); err != nil {
			t.Fatal(err)
		}
		if err := cp.Allow(t.Context(), controlplane.User("controller-of-"+w.name), "", role.Rules...); err != nil {
			t.Fatal(err)
		}
	}
	mine, err := client.New(w.controller, client.Options{Scheme: scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("the API server hears of the roles", func() error { return mine.List(t.Context(), &esv1.ExternalSecretList{}) })
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		ces := &esv1.ClusterExternalSecret{ObjectMeta: metav1.ObjectMeta{Name: w.name}}
		if err := w.c.Delete(ctx, ces); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
		if w.stop != nil {
			w.stop()
		}
	})
	return w
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), esv1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	return s
}

// wrap notes each write of the controller.
func (w *world) wrap(next http.RoundTripper) http.RoundTripper {
	return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
		if req.Method != http.MethodGet {
			w.mu.Lock()
			w.writes = append(w.writes, req.Method+" "+req.URL.Path)
			w.mu.Unlock()
			if before := w.before.Load(); before != nil {
				(*before)(req)
			}
		}
		if fault := w.fault.Load(); fault != nil {
			return fault.meet(req, next)
		}
		return next.RoundTrip(req)
	})
}

// written returns the writes since the last call, without events.
func (w *world) written() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := slices.DeleteFunc(w.writes, func(s string) bool { return strings.Contains(s, "/events") })
	w.writes = nil
	return out
}

// start runs the controller until stop is called or the test ends.
func (w *world) start() {
	w.t.Helper()
	cfg := rest.CopyConfig(w.controller)
	cfg.Wrap(w.wrap)
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:     scheme(w.t),
		Logger:     logr.FromSlogHandler(slog.NewTextHandler(&w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	r := clusterexternalsecret.New(clusterexternalsecret.Deps{
		Client: behind{mgr.GetClient(), w}, Live: mgr.GetAPIReader(), Status: flow.NewStatuses(mgr), Events: mgr.GetEventRecorder("external-secrets"), Concurrent: 2,
	})
	if err := r.SetupWithManager(ctx, mgr); err != nil {
		cancel()
		w.t.Fatal(err)
	}
	w.reconciler = r
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("manager: %v", err)
		}
	})
}

// behind is a client whose cache may be behind.
type behind struct {
	client.Client
	w *world
}

func (b behind) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if ces, ok := obj.(*esv1.ClusterExternalSecret); ok {
		if stale := b.w.stale.Load(); stale != nil {
			stale.DeepCopyInto(ces)
			return nil
		}
	}
	return b.Client.Get(ctx, key, obj, opts...)
}

func (b behind) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := b.Client.List(ctx, list, opts...)
	if namespaces, ok := list.(*metav1.PartialObjectMetadataList); ok && b.w.unaware.Load() {
		namespaces.Items = slices.Clone(namespaces.Items)
		for i := range namespaces.Items {
			namespaces.Items[i].DeletionTimestamp = nil
		}
	}
	return err
}

// namespace makes a namespace with labels, and returns its name.
func (w *world) namespace(labels map[string]string, finalizers ...string) string {
	w.t.Helper()
	name := w.cp.Namespace(w.t)
	if len(labels)+len(finalizers) > 0 {
		change(w, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, func(ns *corev1.Namespace) {
			maps.Copy(ns.Labels, labels)
			ns.Finalizers = append(ns.Finalizers, finalizers...)
		})
	}
	return name
}

// mine are the labels that the world's ClusterExternalSecret selects by.
func (w *world) mine() map[string]string { return map[string]string{"ces": w.name} }

// ces returns a ClusterExternalSecret that selects by label.
func (w *world) ces(edit ...func(*esv1.ClusterExternalSecret)) *esv1.ClusterExternalSecret {
	ces := &esv1.ClusterExternalSecret{ObjectMeta: metav1.ObjectMeta{Name: w.name}}
	ces.Spec.NamespaceSelectors = []*metav1.LabelSelector{{MatchLabels: w.mine()}}
	ces.Spec.ExternalSecretName = "db"
	ces.Spec.ExternalSecretSpec = esv1.ExternalSecretSpec{
		SecretStoreRef: esv1.StoreRef{Name: "store", Kind: esv1.KindClusterSecretStore},
		Data:           []esv1.Data{{SecretKey: "password", RemoteRef: esv1.RemoteRef{Key: "db", Property: "password"}}},
	}
	for _, f := range edit {
		f(ces)
	}
	return ces
}

func (w *world) create(objs ...client.Object) {
	w.t.Helper()
	for _, obj := range objs {
		if err := w.c.Create(w.t.Context(), obj); err != nil {
			w.t.Fatalf("create %T %s: %v", obj, obj.GetName(), err)
		}
	}
}

// change updates an object to what edit makes of it.
func change[T client.Object](w *world, obj T, edit func(T), opts ...client.UpdateOption) {
	w.t.Helper()
	for range 50 {
		if err := w.c.Get(w.t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			w.t.Fatal(err)
		}
		edit(obj)
		err := w.c.Update(w.t.Context(), obj, opts...)
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			w.t.Fatal(err)
		}
	}
	w.t.Fatal("the object changes all the time")
}

// eventually waits until check returns nil.
func (w *world) eventually(what string, check func() error) {
	w.t.Helper()
	var err error
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	log := w.logs.String()
	w.t.Fatalf("%s: %v\nend of the log:\n%s", what, err, log[max(0, len(log)-3000):])
}

// provisioned waits until the status names exactly the namespaces, for the current generation, and returns the object.
func (w *world) provisioned(namespaces ...string) *esv1.ClusterExternalSecret {
	w.t.Helper()
	slices.Sort(namespaces)
	ces := &esv1.ClusterExternalSecret{}
	w.eventually(fmt.Sprintf("provisioned in %v", namespaces), func() error {
		if err := w.c.Get(w.t.Context(), client.ObjectKey{Name: w.name}, ces); err != nil {
			return err
		}
		s := ces.Status
		if s.ObservedGeneration != ces.Generation || !slices.Equal(s.ProvisionedNamespaces, namespaces) {
			return fmt.Errorf("generation %d, status %+v", ces.Generation, s)
		}
		if ready := conditions.Ready(s.Conditions); (ready.Status == metav1.ConditionTrue) != (len(s.FailedNamespaces) == 0) || ready.Reason == "" || ready.Message == "" {
			w.t.Errorf("condition %+v with failed namespaces %v", ready, s.FailedNamespaces)
		}
		return nil
	})
	return ces
}

// externalSecret returns an ExternalSecret of the world's ClusterExternalSecret.
func (w *world) externalSecret(namespace, name string) *esv1.ExternalSecret {
	w.t.Helper()
	es := &esv1.ExternalSecret{}
	if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, es); err != nil {
		w.t.Fatal(err)
	}
	return es
}

// absent waits until there is no ExternalSecret of the name.
func (w *world) absent(namespace, name string) {
	w.t.Helper()
	w.gone(&esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
}

// gone waits until the object does not exist any more.
func (w *world) gone(obj client.Object) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%T %s is gone", obj, obj.GetName()), func() error {
		if err := w.c.Get(w.t.Context(), client.ObjectKeyFromObject(obj), obj); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there (%w)", err)
		}
		return nil
	})
}
