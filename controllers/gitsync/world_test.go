package gitsync_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/gitsync"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// world is one test: a namespace of the real control plane, a Git in memory and a controller that sees that namespace.
type world struct {
	*testing.T
	client.Client
	cp      *controlplane.ControlPlane
	ns      string
	git     *memoryGit
	traffic *traffic
	scheme  *runtime.Scheme
	options func(*gitsync.Deps)
	// as is who the controller is; the administrator when nil.
	as   *rest.Config
	stop func()
}

func newWorld(t *testing.T) *world {
	t.Helper()
	cp := controlplane.New(t)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(cp.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, Client: c, cp: cp, ns: cp.Namespace(t), git: &memoryGit{}, scheme: scheme, traffic: &traffic{}}
	t.Cleanup(func() {
		w.checkCanary()
		w.halt()
		w.letGo()
	})
	return w
}

// letGo frees the GitSyncs, so that the namespace can be deleted without a controller.
func (w *world) letGo() {
	ctx := context.WithoutCancel(w.Context())
	syncs := &v1alpha1.GitSyncList{}
	if err := w.List(ctx, syncs, client.InNamespace(w.ns)); err != nil {
		w.Logf("list GitSyncs: %v", err)
	}
	for i := range syncs.Items {
		s := &syncs.Items[i]
		if err := w.Patch(ctx, s, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); client.IgnoreNotFound(err) != nil {
			w.Logf("free GitSync %s: %v", s.Name, err)
		}
	}
}

// start runs the controller until the test ends or halt.
func (w *world) start() {
	w.Helper()
	cfg := w.cp.Config()
	if w.as != nil {
		cfg = rest.CopyConfig(w.as)
	}
	w.traffic.watch(cfg)
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: w.scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Cache:      cache.Options{DefaultNamespaces: map[string]cache.Config{w.ns: {}}},
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		w.Fatal(err)
	}
	deps := gitsync.Deps{
		Config: cfg, HTTPClient: mgr.GetHTTPClient(), Mapper: mgr.GetRESTMapper(), Client: mgr.GetClient(), Reader: mgr.GetAPIReader(),
		Status: flow.NewStatuses(mgr), Events: mgr.GetEventRecorder("gitsync"), Git: w.git,
	}
	if w.options != nil {
		w.options(&deps)
	}
	r, err := gitsync.New(deps)
	if err != nil {
		w.Fatal(err)
	}
	if err := r.SetupWithManager(mgr); err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.Context()))
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	w.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			w.Errorf("the controller ended with: %v", err)
		}
	}
}

func (w *world) halt() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// gitSync creates a GitSync of the repository of the same name; edit may change it before.
func (w *world) gitSync(name string, edit func(*v1alpha1.GitSyncSpec)) {
	w.Helper()
	s := &v1alpha1.GitSync{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	s.Spec = v1alpha1.GitSyncSpec{
		URL: w.url(name), Interval: metav1.Duration{Duration: time.Hour}, Prune: true,
		RetryInterval: &metav1.Duration{Duration: time.Second},
	}
	if edit != nil {
		edit(&s.Spec)
	}
	if err := w.Create(w.Context(), s); err != nil {
		w.Fatal(err)
	}
}

func (w *world) url(name string) string { return "https://git.example/" + w.ns + "/" + name }

// push makes the documents the content of the repository and asks the GitSync to look.
func (w *world) push(name string, docs ...string) string {
	w.Helper()
	revision := w.git.push(w.url(name), docs)
	w.request(name)
	return revision
}

// request asks a GitSync, when it is there, for an attempt.
func (w *world) request(name string) {
	w.Helper()
	s := &v1alpha1.GitSync{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.AnnotationRequestedAt, time.Now().Format(time.RFC3339Nano))
	err := w.Patch(w.Context(), s, client.RawPatch(types.MergePatchType, []byte(patch)))
	if client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
}

func (w *world) get(name string) *v1alpha1.GitSync {
	w.Helper()
	s := &v1alpha1.GitSync{}
	if err := w.Get(w.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, s); err != nil {
		w.Fatal(err)
	}
	return s
}

// eventually waits until what is true; it says what it waited for when that does not come.
func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	w.within(2*time.Minute, what, is)
}

// within is eventually for what takes its time.
func (w *world) within(limit time.Duration, what string, is func() bool) {
	w.Helper()
	deadline := time.Now().Add(limit)
	for !is() {
		if time.Now().After(deadline) {
			syncs := &v1alpha1.GitSyncList{}
			_ = w.List(w.Context(), syncs, client.InNamespace(w.ns))
			for i := range syncs.Items {
				raw, _ := yaml.Marshal(syncs.Items[i].Status)
				w.Logf("GitSync %s:\n%s", syncs.Items[i].Name, raw)
			}
			w.Fatalf("it did not happen: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ready waits until the GitSync is ready at the revision, and checks what must hold of any ready one.
func (w *world) ready(name, revision string) *v1alpha1.GitSync {
	w.Helper()
	var s *v1alpha1.GitSync
	w.eventually("GitSync "+name+" is ready at "+revision, func() bool {
		s = w.get(name)
		return condition(s, v1alpha1.ConditionReady).Status == metav1.ConditionTrue && s.Status.Revision == revision &&
			s.Status.ObservedGeneration == s.Generation
	})
	for _, abnormal := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if meta.FindStatusCondition(s.Status.Conditions, abnormal) != nil {
			w.Errorf("a ready GitSync has the condition %s", abnormal)
		}
	}
	return s
}

// failing waits until the GitSync is not ready for the reason, and returns the message.
func (w *world) failing(name, reason string) string {
	w.Helper()
	var c metav1.Condition
	w.eventually("GitSync "+name+" fails with "+reason, func() bool {
		c = condition(w.get(name), v1alpha1.ConditionReady)
		return c.Status != metav1.ConditionTrue && c.Reason == reason
	})
	return c.Message
}

func condition(s *v1alpha1.GitSync, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(s.Status.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// exists reports whether an object of the core or another group is there.
func (w *world) exists(apiVersion, kind, name string) bool {
	w.Helper()
	return w.object(apiVersion, kind, name) != nil
}

// object returns an object of the namespace, or nil.
func (w *world) object(apiVersion, kind, name string) *unstructured.Unstructured {
	w.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	err := w.Get(w.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, u)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		w.Fatal(err)
	}
	return u
}

func (w *world) secret(name string) map[string]string {
	w.Helper()
	s := &corev1.Secret{}
	if err := w.Get(w.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, s); err != nil {
		w.Fatal(err)
	}
	out := make(map[string]string)
	for k, v := range s.Data {
		out[k] = string(v)
	}
	return out
}

func (w *world) delete(apiVersion, kind, name string) {
	w.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace(w.ns)
	u.SetName(name)
	if err := w.Delete(w.Context(), u); err != nil {
		w.Fatal(err)
	}
}

// kubectl runs kubectl in the namespace.
func (w *world) kubectl(stdin string, args ...string) {
	w.Helper()
	if _, err := w.cp.Kubectl(w.Context(), stdin, append([]string{"-n", w.ns}, args...)...); err != nil {
		w.Fatal(err)
	}
}

// events returns the notes of the GitSync's events.
func (w *world) events() []string {
	w.Helper()
	list := &eventsv1.EventList{}
	if err := w.List(context.WithoutCancel(w.Context()), list, client.InNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, e := range list.Items {
		if e.Regarding.Kind == "GitSync" {
			out = append(out, e.Type+" "+e.Reason+" "+e.Note)
		}
	}
	return out
}

// checkCanary looks for the canary in all statuses and events of the namespace.
func (w *world) checkCanary() {
	w.Helper()
	syncs := &v1alpha1.GitSyncList{}
	if err := w.List(context.WithoutCancel(w.Context()), syncs, client.InNamespace(w.ns)); err != nil {
		w.Error(err)
	}
	raw, err := json.Marshal(syncs)
	if err != nil {
		w.Error(err)
	}
	if strings.Contains(string(raw), canary) {
		w.Errorf("a secret value is in a status: %s", raw)
	}
	for _, e := range w.events() {
		if strings.Contains(e, canary) {
			w.Errorf("a secret value is in an event: %s", e)
		}
	}
}

// decrypted begins the documents of memoryGit that decrypted values went into.
const decrypted = "# decrypted\n"

// memoryGit is a Git whose repositories are lists of YAML documents; it can be made to fail.
type memoryGit struct {
	mu   sync.Mutex
	docs map[string][]string
	// pushes counts, newest is the number of the push whose content it is.
	pushes, newest map[string]int
	failures       map[string]error
	asked          int
	built          int
}

func (g *memoryGit) push(url string, docs []string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.docs == nil {
		g.docs, g.failures = make(map[string][]string), make(map[string]error)
		g.pushes, g.newest = make(map[string]int), make(map[string]int)
	}
	g.docs[url] = docs
	g.pushes[url]++
	g.newest[url] = g.pushes[url]
	return fmt.Sprintf("main@sha1:%040d", g.newest[url])
}

// back makes what was pushed n pushes ago the newest again.
func (g *memoryGit) back(url string, n int, docs []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.docs[url] = docs
	g.newest[url] = g.pushes[url] - n
}

func (g *memoryGit) fail(url string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures[url] = err
}

func (g *memoryGit) counts() (asked, built int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked, g.built
}

func (g *memoryGit) Resolve(_ context.Context, repo gitsync.Repository) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if err := g.failures[repo.URL]; err != nil {
		return "", err
	}
	if g.pushes[repo.URL] == 0 {
		return "", providers.Errorf(providers.ErrNotFound, "repository %s: there is no such repository", repo.URL)
	}
	return fmt.Sprintf("main@sha1:%040d", g.newest[repo.URL]), nil
}

func (g *memoryGit) Checkout(_ context.Context, repo gitsync.Repository, _ string) (gitsync.Checkout, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return &memoryCheckout{git: g, docs: g.docs[repo.URL]}, nil
}

type memoryCheckout struct {
	git  *memoryGit
	docs []string
}

func (c *memoryCheckout) Build(_ context.Context, _ string, _ map[string][]byte) (*gitsync.Built, error) {
	c.git.mu.Lock()
	c.git.built++
	c.git.mu.Unlock()
	out := &gitsync.Built{Digest: fmt.Sprintf("%x", sha256.Sum256([]byte(fmt.Sprint(c.docs)))), Same: func(o gitsync.Checkout) bool {
		other, ok := o.(*memoryCheckout)
		return ok && fmt.Sprint(other.docs) == fmt.Sprint(c.docs)
	}}
	for _, d := range c.docs {
		raw, err := yaml.YAMLToJSON([]byte(d))
		if err != nil {
			return nil, err
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(raw); err != nil {
			return nil, &gitsync.Problem{Reason: v1alpha1.ReasonBuildFailed, Terminal: true, Err: errors.New("not a manifest")}
		}
		out.Objects = append(out.Objects, gitsync.Desired{Object: u, Sensitive: strings.HasPrefix(d, decrypted)})
	}
	return out, nil
}

func (c *memoryCheckout) Trim() {}

// traffic counts the requests that the controller sends.
type traffic struct {
	mu     sync.Mutex
	seen   []string
	gate   func(*http.Request)
	writes int
}

func (c *traffic) watch(cfg *rest.Config) {
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
			c.note(req)
			return next.RoundTrip(req)
		})
	})
}

func (c *traffic) note(req *http.Request) {
	q := req.URL.Query()
	if q.Get("watch") != "" || strings.Contains(req.URL.Path, "/events") {
		return
	}
	c.mu.Lock()
	gate := c.gate
	line := req.Method + " " + req.URL.Path
	if q.Get("dryRun") != "" {
		line += " (dry run)"
	} else if req.Method != http.MethodGet {
		c.writes++
	}
	c.seen = append(c.seen, line)
	c.mu.Unlock()
	if gate != nil {
		gate(req)
	}
}

// reset forgets what was seen.
func (c *traffic) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen, c.writes = nil, 0
}

// since returns the requests since the last reset, and how many of them write.
func (c *traffic) since() (seen []string, writes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.seen...), c.writes
}
