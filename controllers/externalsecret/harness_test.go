package externalsecret_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
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
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/externalsecret"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/secretstore"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// canary is part of every value of these tests; it may be found in Secrets and nowhere else.
const canary = "canary-7f3e91"

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard()) // each manager has a logger of its own, which is searched
	if err := startClouds(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(controlplane.Run(m))
}

// world is a namespace of the real API server with a controller of its own in it.
type world struct {
	t  *testing.T
	ns string
	// others are namespaces that the controller serves as well.
	others []string
	class  string
	c      client.Client // the user's
	admin  *rest.Config  // the user
	// controller is the configuration of the controller's own user, who may do what config/rbac says.
	controller *rest.Config
	backend    *backend
	// providers are the backends that are built in.
	providers []providers.Provider
	logs      *capture.Log
	traffic   *traffic
	heartbeat time.Duration
	// delims are those of the templates of targets.
	delims template.Delims
	// ahead is how far the controller's clock is ahead of the machine's, in nanoseconds.
	ahead  atomic.Int64
	stop   func()
	limits sessions.Limits
	// patience is how long a state is waited for.
	patience time.Duration
	// stale is what the controller's cache has of the ExternalSecret of its name, when it is behind.
	stale atomic.Pointer[esv1.ExternalSecret]
	// read is called when the controller has read an ExternalSecret, and does not know it yet.
	read atomic.Pointer[func(client.ObjectKey)]
	// reconciler is that of the controller.
	reconciler *externalsecret.Reconciler
	pool       *sessions.Pool
	// templates outlive the controller, so that a test can count.
	templates *template.Cache
}

// traffic counts the requests of the controller that are no watches, by verb and path.
type traffic struct {
	mu   sync.Mutex
	seen map[string]int
	// fault stands in the way of requests, when there is one.
	fault func(req *http.Request, next http.RoundTripper) (*http.Response, error)
}

func (tr *traffic) wrap(next http.RoundTripper) http.RoundTripper {
	return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
		if req.URL.Query().Get("watch") == "" {
			tr.mu.Lock()
			tr.seen[req.Method+" "+req.URL.Path]++
			fault := tr.fault
			tr.mu.Unlock()
			if fault != nil {
				return fault(req, next)
			}
		}
		return next.RoundTrip(req)
	})
}

// matching returns the counted requests whose method is one of the given ones.
func (tr *traffic) matching(methods ...string) map[string]int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	out := map[string]int{}
	for request, n := range tr.seen {
		for _, m := range methods {
			if strings.HasPrefix(request, m+" ") {
				out[request] = n
			}
		}
	}
	return out
}

func (tr *traffic) reset() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.seen = map[string]int{}
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), esv1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	return s
}

// newWorld returns a namespace with the controllers running in it.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := prepare(t)
	w.start()
	return w
}

// prepare returns a namespace without controllers.
func prepare(t *testing.T) *world {
	t.Helper()
	cp := controlplane.New(t)
	w := &world{t: t, ns: cp.Namespace(t), backend: &backend{}, logs: &capture.Log{},
		traffic: &traffic{seen: map[string]int{}}, heartbeat: externalsecret.DefaultHeartbeat, templates: template.NewCache(), patience: 30 * time.Second}
	w.class, w.providers = "class-"+w.ns, []providers.Provider{w.backend}
	cfg := cp.Config()
	cfg.QPS = -1
	w.admin = cfg
	var err error
	if w.c, err = client.New(cfg, client.Options{Scheme: scheme(t)}); err != nil {
		t.Fatal(err)
	}
	w.controller = restricted(t, cp, "controller-of-"+w.ns)
	t.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
		w.searchCanary()
	})
	return w
}

// restricted returns the configuration of a user who may do what the roles in config/rbac say and nothing else.
func restricted(t *testing.T, cp *controlplane.ControlPlane, name string) *rest.Config {
	t.Helper()
	cfg, err := cp.UserConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"externalsecret_role.yaml", "secretstore_role.yaml"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "config", "rbac", file))
		if err != nil {
			t.Fatal(err)
		}
		var role rbacv1.ClusterRole
		if err := yaml.UnmarshalStrict(raw, &role); err != nil {
			t.Fatal(err)
		}
		if err := cp.Allow(t.Context(), controlplane.User(name), "", role.Rules...); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // the API server hears of the roles
		err := errors.Join(c.List(t.Context(), &esv1.ExternalSecretList{}), c.List(t.Context(), &esv1.ClusterSecretStoreList{}))
		if err == nil {
			return cfg
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// start runs the controllers until stop is called or the test ends.
func (w *world) start() {
	w.t.Helper()
	cfg := rest.CopyConfig(w.controller)
	cfg.Wrap(w.traffic.wrap)
	served := append([]string{w.ns}, w.others...)
	cached := map[string]cache.Config{}
	for _, ns := range served {
		cached[ns] = cache.Config{}
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:     scheme(w.t),
		Logger:     logr.FromSlogHandler(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultNamespaces: cached},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	watcher, err := watches.New(cfg, mgr.GetHTTPClient(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	pool := sessions.New(sessions.Deps{Providers: w.providers, Reader: mgr.GetAPIReader(), Tokens: mgr.GetClient(), Watches: watcher, Limits: w.limits})
	w.pool = pool
	recorder, statuses := mgr.GetEventRecorder("external-secrets"), flow.NewStatuses(mgr)
	ctx, cancel := context.WithCancel(w.t.Context())
	w.reconciler = externalsecret.New(externalsecret.Deps{
		Client: behind{mgr.GetClient(), w}, Live: mgr.GetAPIReader(), Status: statuses, Sessions: pool, Events: recorder, Class: w.class,
		Key:       externalsecret.InputsKey(mgr.GetAPIReader(), mgr.GetClient(), w.ns),
		Templates: w.templates, Delims: w.delims, Watches: watcher, APIServer: cfg.Host, Namespaces: served, Heartbeat: w.heartbeat, Concurrent: 10,
		Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
	})
	err = errors.Join(
		mgr.Add(pool),
		mgr.Add(watcher),
		secretstore.New(secretstore.Deps{Client: mgr.GetClient(), Status: statuses, Sessions: pool, Events: recorder, Class: w.class}).SetupWithManager(mgr),
		w.reconciler.SetupWithManager(ctx, mgr),
	)
	if err != nil {
		w.t.Fatal(err)
	}
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
	if es, ok := obj.(*esv1.ExternalSecret); ok {
		if stale := b.w.stale.Load(); stale != nil && key == client.ObjectKeyFromObject(stale) {
			stale.DeepCopyInto(es)
			return nil
		}
	}
	err := b.Client.Get(ctx, key, obj, opts...)
	if _, ok := obj.(*esv1.ExternalSecret); ok && err == nil {
		if read := b.w.read.Load(); read != nil {
			(*read)(key)
		}
	}
	return err
}

// searchCanary looks for the canary wherever a value may not be.
func (w *world) searchCanary() {
	w.t.Helper()
	ctx := context.Background()
	search := func(what, text string) {
		if strings.Contains(text, canary) {
			at := strings.Index(text, canary)
			w.t.Errorf("a value was found in %s: %s", what, text[max(0, at-200):min(len(text), at+100)])
		}
	}
	search("the log", w.logs.String())
	var es esv1.ExternalSecretList
	var ss esv1.SecretStoreList
	var ev eventsv1.EventList
	for _, list := range []client.ObjectList{&es, &ss, &ev} {
		if err := w.c.List(ctx, list, client.InNamespace(w.ns)); err != nil {
			w.t.Error(err)
			continue
		}
		raw, err := json.Marshal(list)
		if err != nil {
			w.t.Error(err)
		}
		search(fmt.Sprintf("%T", list), string(raw))
	}
}

// store creates a SecretStore of this world's class; the documents are the backend's.
func (w *world) store(name string, data ...stores.FakeData) *esv1.SecretStore {
	w.t.Helper()
	s := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: w.storeSpec(data...)}
	w.create(s)
	return s
}

func (w *world) storeSpec(data ...stores.FakeData) esv1.SecretStoreSpec {
	data = append(data, stores.FakeData{Key: "unused", Value: "unused"})
	yearly := intstr.FromString("8760h")
	return esv1.SecretStoreSpec{Controller: w.class, RefreshInterval: &yearly, Provider: stores.Provider{Fake: &stores.Fake{Data: data}}}
}

// externalSecret returns an ExternalSecret of store "store" that reads one key, refreshed once a year.
func (w *world) externalSecret(name string, change ...func(*esv1.ExternalSecret)) *esv1.ExternalSecret {
	es := &esv1.ExternalSecret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec: esv1.ExternalSecretSpec{
			SecretStoreRef:  esv1.StoreRef{Name: "store"},
			RefreshInterval: &metav1.Duration{Duration: 8760 * time.Hour},
			Data:            []esv1.Data{{SecretKey: "password", RemoteRef: esv1.RemoteRef{Key: "db", Property: "password"}}},
		},
	}
	for _, f := range change {
		f(es)
	}
	return es
}

func every(d time.Duration) func(*esv1.ExternalSecret) {
	return func(es *esv1.ExternalSecret) { es.Spec.RefreshInterval = &metav1.Duration{Duration: d} }
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
func change[T client.Object](w *world, obj T, edit func(T)) {
	w.t.Helper()
	for range 20 {
		if err := w.c.Get(w.t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			w.t.Fatal(err)
		}
		edit(obj)
		err := w.c.Update(w.t.Context(), obj)
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "object has been modified") {
			w.t.Fatal(err)
		}
	}
	w.t.Fatal("the object changes all the time")
}

// eventually waits until check returns nil.
func (w *world) eventually(what string, check func() error) {
	w.t.Helper()
	var err error
	for deadline := time.Now().Add(w.patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	log := w.logs.String()
	w.t.Fatalf("%s: %v\nend of the log:\n%s", what, err, log[max(0, len(log)-3000):])
}

// ready waits until the ExternalSecret is ready for its current generation, and returns it.
func (w *world) ready(name string) *esv1.ExternalSecret {
	w.t.Helper()
	return w.condition(name, metav1.ConditionTrue, "")
}

// notReady waits until the ExternalSecret is not ready with text in its message.
func (w *world) notReady(name, text string) *esv1.ExternalSecret {
	w.t.Helper()
	return w.condition(name, metav1.ConditionFalse, text)
}

func (w *world) condition(name string, status metav1.ConditionStatus, text string) *esv1.ExternalSecret {
	w.t.Helper()
	es := &esv1.ExternalSecret{}
	w.eventually(fmt.Sprintf("ExternalSecret %s Ready=%s with %q", name, status, text), func() error {
		if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, es); err != nil {
			return err
		}
		c := conditions.Ready(es.Status.Conditions)
		if c.Status != status || !strings.Contains(c.Message, text) || es.Status.ObservedGeneration != es.Generation {
			return fmt.Errorf("generation %d of %d: %+v", es.Status.ObservedGeneration, es.Generation, c)
		}
		return nil
	})
	w.invariant(es)
	return es
}

// invariant checks what holds for every status.
func (w *world) invariant(es *esv1.ExternalSecret) {
	w.t.Helper()
	c := conditions.Ready(es.Status.Conditions)
	if len(es.Status.Conditions) != 1 || c.Reason == "" || c.Message == "" || c.LastTransitionTime.IsZero() {
		w.t.Errorf("conditions %+v: want one, complete", es.Status.Conditions)
	}
	if es.Status.ObservedGeneration > es.Generation {
		w.t.Errorf("observedGeneration %d of %d", es.Status.ObservedGeneration, es.Generation)
	}
	reasons := map[metav1.ConditionStatus][]string{
		"True": {esv1.ReasonSecretSynced, esv1.ReasonSecretDeleted, esv1.ReasonSecretMissing}, "False": {esv1.ReasonSecretSyncedError}}
	if !slices.Contains(reasons[c.Status], c.Reason) {
		w.t.Errorf("Ready=%s has reason %s, want one of %s", c.Status, c.Reason, reasons[c.Status])
	}
}

func (w *world) secret(name string) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{}
	if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// holds waits until the Secret holds exactly the data.
func (w *world) holds(name string, data map[string]string) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{}
	w.eventually(fmt.Sprintf("Secret %s holds %v", name, data), func() error {
		*s = corev1.Secret{}
		if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, s); err != nil {
			return err
		}
		got := map[string]string{}
		for k, v := range s.Data {
			got[k] = string(v)
		}
		if fmt.Sprint(got) != fmt.Sprint(data) {
			return fmt.Errorf("it holds %v", got)
		}
		return nil
	})
	return s
}

// events returns the reasons of the events about an object, oldest first.
func (w *world) events(name string) []string {
	w.t.Helper()
	var list eventsv1.EventList
	if err := w.c.List(w.t.Context(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	var reasons []string
	for _, e := range list.Items {
		if e.Regarding.Name == name {
			reasons = append(reasons, e.Reason)
		}
	}
	return reasons
}
