package sealedsecret_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sealedsecret"
	"github.com/sealbridge/sealbridge/controllers/sealhttp"
	"github.com/sealbridge/sealbridge/controllers/sealingkey"
	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

const (
	canary   = "canary-5e1f77c2"
	deadline = 60 * time.Second
	// concurrent is how many objects a controller reconciles at once.
	concurrent = 4
)

// world is one namespace with its sealing keys and, while it runs, a controller that sees nothing else.
type world struct {
	t      *testing.T
	cp     *controlplane.ControlPlane
	client client.Client
	ns     string
	logs   *capture.Log
	// config is whom the controller is; the administrator without it.
	config *rest.Config
	// keyless is set where there will be no sealing key at first.
	keyless bool
	// deps, when set, changes what the controller is given.
	deps func(*sealedsecret.Deps)
	// fault, when set, may answer a request of the controller in the API server's place.
	fault fault
	// patience is how long anything may take.
	patience time.Duration
	// Of the controller that runs now.
	keeper     *sealingkey.Keeper
	metrics    *prometheus.Registry
	requests   *requests
	url        string
	stop       func()
	namespaces []string
	native     bool // whether the cluster has keys of the native format
	held       sealingkey.Holder
	handover   *sealedsecret.Handover // a new one without it
}

func newWorld(t *testing.T) *world {
	t.Helper()
	cp := controlplane.New(t)
	w := &world{t: t, cp: cp, ns: cp.Namespace(t), logs: &capture.Log{}, patience: deadline}
	w.namespaces = []string{w.ns}
	c, err := client.New(cp.Config(), client.Options{Scheme: scheme()})
	if err != nil {
		t.Fatal(err)
	}
	w.client = c
	return w
}

// started returns a world whose controller runs and has its first key.
func started(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.start()
	return w
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// start runs a controller until stop is called or the test ends, and waits for a sealing key.
func (w *world) start() {
	w.t.Helper()
	cfg := w.cp.Config()
	if w.config != nil {
		cfg = rest.CopyConfig(w.config)
	}
	w.requests = &requests{fault: w.fault}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return w.requests.count(next) })
	watched := map[string]cache.Config{}
	for _, ns := range w.namespaces {
		watched[ns] = cache.Config{}
	}
	skip, handover := true, w.handover
	if handover == nil {
		handover = &sealedsecret.Handover{}
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme(), Cache: cache.Options{DefaultNamespaces: watched, DefaultTransform: handover.Cached},
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Controller: config.Controller{SkipNameValidation: &skip},
		Logger:     logr.FromSlogHandler(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.keeper, w.metrics = sealingkey.NewKeeper(), prometheus.NewRegistry()
	events := mgr.GetEventRecorder("sealbridge")
	keys := sealingkey.New(sealingkey.Deps{
		Namespace: w.ns, Keeper: w.keeper, Events: events, Now: time.Now, Generate: keyring.Options{Bits: 2048},
		Native: w.native, Held: w.held, HeldPeriod: 500 * time.Millisecond,
	})
	deps := sealedsecret.Deps{
		Keys: w.keeper, Engine: flow.Engine{Status: flow.NewStatusesOfParts(mgr), Events: events}, Metrics: w.metrics, Now: time.Now,
		Concurrent: concurrent, Namespaces: w.namespaces, Handover: handover,
	}
	if w.deps != nil {
		w.deps(&deps)
	}
	secrets, err := sealedsecret.New(deps)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range []interface{ SetupWithManager(ctrl.Manager) error }{keys, secrets} {
		if err := c.SetupWithManager(mgr); err != nil {
			w.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := mgr.Start(ctx); err != nil {
			w.t.Errorf("the manager ended: %v", err)
		}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.url = "http://" + listener.Addr().String()
	server, err := sealhttp.New(w.keeper, sealhttp.Options{Metrics: w.metrics, Held: w.held != nil, Rate: 100, Burst: new(100)})
	if err != nil {
		w.t.Fatal(err)
	}
	running.Go(func() {
		if err := server.Serve(ctx, listener); err != nil {
			w.t.Errorf("the certificate's server ended: %v", err)
		}
	})
	w.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	w.t.Cleanup(w.stop)
	w.eventually("the sealing keys are read", func() bool { return w.ring() != nil && (w.keyless || w.ring().Len() > 0) })
}

// eventually polls until the state is there.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	end := time.Now().Add(w.patience)
	for !ok() {
		if time.Now().After(end) {
			w.t.Fatalf("not within %s: %s\n%s", w.patience, what, w.describe())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// describe shows the SealedSecrets' conditions for a failed test.
func (w *world) describe() string {
	var list v1alpha1.SealedSecretList
	if err := w.client.List(context.WithoutCancel(w.t.Context()), &list, client.InNamespace(w.ns)); err != nil {
		return err.Error()
	}
	var out strings.Builder
	for _, s := range list.Items {
		text, _ := yaml.Marshal(s.Status)
		out.WriteString(s.Name + ":\n" + string(text))
	}
	return out.String()
}

func (w *world) ring() *keyring.Ring { ring, _ := w.keeper.Ring(); return ring }

// sealed seals a value to the newest key for a name in the world's namespace.
func (w *world) sealed(scope seal.Scope, name, value string) string {
	w.t.Helper()
	newest, _ := w.ring().Newest()
	return w.sealedTo(newest, scope, w.ns, name, value)
}

// sealedNative seals a value in the native format.
func (w *world) sealedNative(scope seal.Scope, namespace, name, value string, to ...*agebox.Recipient) string {
	w.t.Helper()
	text, err := seal.Seal(rand.Reader, seal.Native(to...), scope, namespace, name, []byte(value))
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

func (w *world) sealedTo(pair *keyring.Pair, scope seal.Scope, namespace, name, value string) string {
	w.t.Helper()
	text, err := seal.Seal(rand.Reader, seal.Compat(pair.Public()), scope, namespace, name, []byte(value))
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// object returns a SealedSecret with strict values.
func (w *world) object(name string, values map[string]string) *v1alpha1.SealedSecret {
	w.t.Helper()
	obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	obj.Spec.EncryptedData = map[string]string{}
	for key, value := range values {
		obj.Spec.EncryptedData[key] = w.sealed(seal.Strict, name, value)
	}
	return obj
}

func (w *world) create(obj client.Object) {
	w.t.Helper()
	if err := w.client.Create(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
}

// update changes an object as it is now, and again when somebody else was faster.
func update[T client.Object](w *world, obj T, change func(T)) {
	w.t.Helper()
	w.eventually("update "+obj.GetName(), func() bool {
		if err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			w.t.Fatal(err)
		}
		change(obj)
		return w.client.Update(w.t.Context(), obj) == nil
	})
}

// get returns the SealedSecret once the controller has seen its newest generation and pred holds.
func (w *world) get(name, what string, pred func(*v1alpha1.SealedSecret) bool) *v1alpha1.SealedSecret {
	w.t.Helper()
	obj := &v1alpha1.SealedSecret{}
	w.eventually("SealedSecret "+name+" "+what, func() bool {
		err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, obj)
		return err == nil && obj.Status.ObservedGeneration == obj.Generation && len(obj.Status.Conditions) > 0 && pred(obj)
	})
	return obj
}

func (w *world) synced(name string) *v1alpha1.SealedSecret {
	w.t.Helper()
	return w.get(name, "is synced", func(s *v1alpha1.SealedSecret) bool {
		return s.Status.Conditions[0].Status == metav1.ConditionTrue
	})
}

// failed waits for a condition whose message has the text in it.
func (w *world) failed(name, text string) *v1alpha1.SealedSecret {
	w.t.Helper()
	return w.get(name, "fails with "+text, func(s *v1alpha1.SealedSecret) bool {
		c := s.Status.Conditions[0]
		return c.Status == metav1.ConditionFalse && strings.Contains(c.Message, text)
	})
}

// secret returns the Secret, nil when there is none.
func (w *world) secret(name string) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{}
	err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, s)
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return s
}

// data returns the Secret's data as text.
func (w *world) data(name string) map[string]string {
	w.t.Helper()
	s := w.secret(name)
	if s == nil {
		return nil
	}
	out := map[string]string{}
	for key, value := range s.Data {
		out[key] = string(value)
	}
	return out
}

// operations returns how many private-key operations the running controller has done.
func (w *world) operations() int {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sealbridge_sealedsecret_private_key_operations_total" {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	return 0
}

// events returns the events about an object as "Type Reason note".
func (w *world) events(name string) []string {
	w.t.Helper()
	var list eventsv1.EventList
	if err := w.client.List(w.t.Context(), &list, client.InNamespace(w.ns)); err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range list.Items {
		if e.Regarding.Name == name {
			out = append(out, e.Type+" "+e.Reason+" "+e.Note)
		}
	}
	return out
}

// checkCanary searches everything that the controller has shown.
func (w *world) checkCanary() {
	w.t.Helper()
	var sealedSecrets v1alpha1.SealedSecretList
	var events eventsv1.EventList
	for _, list := range []client.ObjectList{&sealedSecrets, &events} {
		if err := w.client.List(w.t.Context(), list, client.InNamespace(w.ns)); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, s := range sealedSecrets.Items {
		if text, _ := yaml.Marshal(s.Status); bytes.Contains(text, []byte(canary)) {
			w.t.Errorf("the status of %s shows a value:\n%s", s.Name, text)
		}
	}
	if text, _ := yaml.Marshal(events); bytes.Contains(text, []byte(canary)) {
		w.t.Errorf("an event shows a value:\n%s", text)
	}
	metrics, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	if text := fmt.Sprint(metrics); strings.Contains(text, canary) {
		w.t.Errorf("a metric shows a value:\n%s", text)
	}
	if text := w.logs.String(); strings.Contains(text, canary) || strings.Contains(text, "PRIVATE KEY") {
		w.t.Errorf("the log shows a value:\n%s", text)
	}
}

// requests counts what one controller asks of the API server, by method and path.
type requests struct {
	mu    sync.Mutex
	seen  []string
	fault fault
}

// fault answers a request in the API server's place; both nil let it pass.
type fault func(req *http.Request, next http.RoundTripper) (*http.Response, error)

func (r *requests) count(next http.RoundTripper) http.RoundTripper {
	return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
		r.mu.Lock()
		r.seen = append(r.seen, req.Method+" "+req.URL.Path)
		r.mu.Unlock()
		if r.fault != nil {
			if resp, err := r.fault(req, next); resp != nil || err != nil {
				return resp, err
			}
		}
		return next.RoundTrip(req)
	})
}

// with returns the requests whose text begins with one of the methods and ends with one of the suffixes.
func (r *requests) with(match func(string) bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, s := range r.seen {
		if match(s) {
			out = append(out, s)
		}
	}
	return out
}

// writes returns the requests that change something.
func (r *requests) writes() []string {
	return r.with(func(s string) bool { return !strings.HasPrefix(s, "GET ") })
}
