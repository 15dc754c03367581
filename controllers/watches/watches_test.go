package watches_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }

// world is a namespace with a Watcher that runs, and what its followers were told.
type world struct {
	t         *testing.T
	ns        string
	clients   kubernetes.Interface
	watcher   *watches.Watcher
	followers *watches.Followers[string]

	mu   sync.Mutex
	told map[string]int
	open map[string]int // watches by what they select
	all  []string       // every request, as "<path> <field selector>"
	cuts []func()       // end the watches

	logs capture.Log
}

// newWorld returns a world whose Watcher is the user that cfg names; the admin when it is nil.
func newWorld(t *testing.T, cp *controlplane.ControlPlane, ns string, cfg *rest.Config, limit int) *world {
	t.Helper()
	w := &world{t: t, ns: ns, told: map[string]int{}, open: map[string]int{}}
	var err error
	if w.clients, err = kubernetes.NewForConfig(cp.Config()); err != nil {
		t.Fatal(err)
	}
	if cfg == nil {
		cfg = cp.Config()
	}
	cfg.QPS = -1
	cfg.Wrap(w.count)
	c, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if w.watcher, err = watches.New(cfg, c, limit); err != nil {
		t.Fatal(err)
	}
	w.followers = watches.NewFollowers(w.watcher, func(who string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told[who]++
	})
	ctx, cancel := context.WithCancel(log.IntoContext(t.Context(), logr.FromSlogHandler(slog.NewTextHandler(&w.logs, nil))))
	done := make(chan error, 1)
	go func() { done <- w.watcher.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// count keeps account of requests and of the watches that are open.
func (w *world) count(next http.RoundTripper) http.RoundTripper {
	return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
		selector := req.URL.Query().Get("fieldSelector")
		w.mu.Lock()
		w.all = append(w.all, req.URL.Path+" "+selector)
		w.mu.Unlock()
		if req.URL.Query().Get("watch") == "" {
			return next.RoundTrip(req)
		}
		ctx, cut := context.WithCancel(req.Context())
		w.mu.Lock()
		w.open[selector]++
		w.cuts = append(w.cuts, cut)
		w.mu.Unlock()
		closed := func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.open[selector]--
		}
		stop := context.AfterFunc(ctx, closed)
		resp, err := next.RoundTrip(req.WithContext(ctx))
		if (err != nil || resp.StatusCode != http.StatusOK) && stop() {
			closed() // it was refused, as by an API server that does not stream a list
		}
		return resp, err
	})
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		w.mu.Lock()
		good := ok()
		w.mu.Unlock()
		if good {
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Fatalf("%s: not so; told %v, watches %v", what, w.told, w.open)
}

// toldAfter waits until who is told after do.
func (w *world) toldAfter(who, what string, do func()) {
	w.t.Helper()
	w.mu.Lock()
	before := w.told[who]
	w.mu.Unlock()
	do()
	w.eventually(what, func() bool { return w.told[who] > before })
}

func (w *world) secret(name string) watches.Object {
	return watches.Object{Kind: watches.Secret, Namespace: w.ns, Name: name}
}

// seen waits until the Watcher knows an object in a version.
func (w *world) seen(o watches.Object, v watches.Version) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s is seen as %s", o, v), func() bool { return w.watcher.Version(o) == v })
}

func (w *world) put(name, value string) watches.Version {
	w.t.Helper()
	secrets := w.clients.CoreV1().Secrets(w.ns)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"v": value}}
	got, err := secrets.Create(w.t.Context(), s, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		got, err = secrets.Update(w.t.Context(), s, metav1.UpdateOptions{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return watches.Version(got.ResourceVersion)
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := w.clients.CoreV1().Secrets(w.ns).Delete(w.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func TestWhoFollowsAnObjectIsToldWhenItIsNotAsItWasRead(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	w := newWorld(t, cp, cp.Namespace(t), nil, 0)
	o := w.secret("a")
	first := w.put("a", "1")
	w.followers.Follow("who", map[watches.Object]watches.Version{o: first})
	w.followers.Follow("other", map[watches.Object]watches.Version{w.secret("b"): watches.Absent})
	w.seen(o, first)
	w.toldAfter("who", "a change", func() { w.put("a", "2") })
	if _, ok := w.followers.Newer("who"); !ok {
		t.Error("the object is newer than it was read")
	}
	second := w.put("a", "3")
	w.seen(o, second)
	w.followers.Follow("who", map[watches.Object]watches.Version{o: second})
	if _, ok := w.followers.Newer("who"); ok {
		t.Error("the object is as it was read")
	}
	w.toldAfter("who", "the end", func() { w.remove("a") })
	w.followers.Follow("who", map[watches.Object]watches.Version{o: watches.Absent})
	w.toldAfter("who", "the return", func() { w.put("a", "4") })
	w.mu.Lock()
	if w.told["other"] != 0 {
		t.Errorf("who follows another object was told %d times", w.told["other"])
	}
	w.mu.Unlock()
	w.toldAfter("other", "what was missing comes", func() { w.put("b", "1") })
}

func TestWhatChangesBetweenReadingAndFollowingIsTold(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	w := newWorld(t, cp, cp.Namespace(t), nil, 0)
	read := w.put("a", "1")
	now := w.put("a", "2")
	w.toldAfter("first", "the change before the watch began", func() {
		w.followers.Follow("first", map[watches.Object]watches.Version{w.secret("a"): read})
	})
	w.toldAfter("second", "the change that the watch knows", func() {
		w.followers.Follow("second", map[watches.Object]watches.Version{w.secret("a"): read})
	})
	w.followers.Follow("third", map[watches.Object]watches.Version{w.secret("a"): ""})
	w.followers.Follow("fourth", map[watches.Object]watches.Version{w.secret("a"): now + "9"}) // a watch that is behind
	for _, who := range []string{"third", "fourth"} {
		_, newer := w.followers.Newer(who)
		w.mu.Lock()
		if newer || w.told[who] != 0 {
			t.Errorf("%s was told %d times that something is newer", who, w.told[who])
		}
		w.mu.Unlock()
	}
}

func TestWhatIsFollowedBeforeTheStartIsWatchedFromThenOn(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	w := newWorld(t, cp, cp.Namespace(t), nil, 0)
	read := w.put("a", "1")
	w.put("a", "2")
	c, err := rest.HTTPClientFor(cp.Config())
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := watches.New(cp.Config(), c, 0)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 9)
	watches.NewFollowers(watcher, func(who string) { told <- who }).Follow("who", map[watches.Object]watches.Version{w.secret("a"): read})
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- watcher.Start(ctx) }()
	select {
	case <-told:
	case <-time.After(30 * time.Second):
		t.Error("nobody is told of a change")
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOnlyWhatSomebodyFollowsIsWatched(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	w := newWorld(t, cp, cp.Namespace(t), nil, 0)
	for i := range 20 {
		w.put(fmt.Sprintf("unmanaged-%d", i), "x")
	}
	v := w.put("a", "1")
	time.Sleep(100 * time.Millisecond)
	w.mu.Lock()
	if len(w.all) != 0 {
		t.Errorf("requests though nobody follows anything: %v", w.all)
	}
	w.mu.Unlock()
	cm := watches.Object{Kind: watches.ConfigMap, Namespace: w.ns, Name: "b"}
	w.followers.Follow("who", map[watches.Object]watches.Version{w.secret("a"): v, cm: ""})
	w.followers.Follow("other", map[watches.Object]watches.Version{w.secret("a"): v})
	w.seen(w.secret("a"), v)
	w.seen(cm, watches.Absent)
	w.eventually("two watches", func() bool { return w.open["metadata.name=a"] == 1 && w.open["metadata.name=b"] == 1 })
	w.followers.Forget("other")
	w.followers.Follow("who", map[watches.Object]watches.Version{w.secret("a"): v})
	w.eventually("the ConfigMap is let go", func() bool { return w.open["metadata.name=b"] == 0 && w.open["metadata.name=a"] == 1 })
	w.followers.Forget("who")
	w.eventually("nothing is watched", func() bool { return w.open["metadata.name=a"] == 0 })
	if got := w.watcher.Version(w.secret("a")); got != "" {
		t.Errorf("version %s is still held", got)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, request := range w.all {
		allowed := []string{"/api/v1/namespaces/" + w.ns + "/secrets metadata.name=a", "/api/v1/namespaces/" + w.ns + "/configmaps metadata.name=b"}
		if !slices.Contains(allowed, request) {
			t.Errorf("request %s", request)
		}
	}
}

// newWorldOf returns a world whose Watcher is a user who may do something to Secrets of its namespace, and what allows that (again).
func newWorldOf(t *testing.T, verbs []string, names ...string) (w *world, cfg *rest.Config, allow func() error) {
	t.Helper()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	user := "watcher-of-" + ns
	cfg, err := cp.UserConfig(user)
	if err != nil {
		t.Fatal(err)
	}
	allow = func() error {
		return cp.Allow(t.Context(), controlplane.User(user), ns, rbacv1.PolicyRule{
			APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: names, Verbs: verbs,
		})
	}
	if err := allow(); err != nil {
		t.Fatal(err)
	}
	return newWorld(t, cp, ns, rest.CopyConfig(cfg), 0), cfg, allow
}

func TestARoleThatNamesTheObjectIsEnoughAndWithoutOneNothingIsKnown(t *testing.T) {
	t.Parallel()
	w, _, _ := newWorldOf(t, []string{"get", "list", "watch"}, "mine")
	mine, theirs := w.put("mine", "1"), w.put("theirs", "1")
	w.followers.Follow("who", map[watches.Object]watches.Version{w.secret("mine"): mine, w.secret("theirs"): theirs})
	w.seen(w.secret("mine"), mine)
	w.toldAfter("who", "a change of what may be watched", func() { mine = w.put("mine", "2") })
	w.seen(w.secret("mine"), mine)
	if got := w.watcher.Version(w.secret("theirs")); got != "" {
		t.Errorf("version %s of what may not be watched", got)
	}
}

// What is not known is compared when it is used, so a version from before the right was withdrawn would stand for ever.
func TestNothingIsKnownAnyMoreOfWhatMayNotBeWatchedAnyMore(t *testing.T) {
	t.Parallel()
	w, cfg, allow := newWorldOf(t, []string{"list", "watch"})
	theirs, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	read := w.put("a", "1")
	w.followers.Follow("who", map[watches.Object]watches.Version{w.secret("a"): read})
	w.seen(w.secret("a"), read)
	if err := w.clients.RbacV1().RoleBindings(w.ns).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	w.eventually("the API server knows that the right is withdrawn", func() bool {
		_, err := theirs.CoreV1().Secrets(w.ns).Watch(t.Context(), metav1.ListOptions{TimeoutSeconds: new(int64(1))})
		return apierrors.IsForbidden(err)
	})
	w.mu.Lock()
	for _, cut := range w.cuts {
		cut()
	}
	w.mu.Unlock()
	requests := 0
	w.eventually("it is not known any more, and asked for once more", func() bool {
		if w.watcher.Version(w.secret("a")) != "" {
			requests = len(w.all)
		}
		return len(w.all) > requests+1
	})
	if n := strings.Count(w.logs.String(), "may not watch, so changes are noticed later: grant list and watch on it"); n != 1 {
		t.Errorf("the log says %d times that it may not be watched, want once", n)
	}
	if _, newer := w.followers.Newer("who"); newer {
		t.Error("what is not known is newer")
	}
	now := w.put("a", "2")
	w.toldAfter("who", "a change from when nothing was known", func() {
		if err := allow(); err != nil {
			t.Error(err)
		}
	})
	w.seen(w.secret("a"), now)
}

func TestBeyondTheLimitObjectsWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	w := newWorld(t, cp, cp.Namespace(t), nil, 1)
	a, b := w.put("a", "1"), w.put("b", "1")
	w.followers.Follow("first", map[watches.Object]watches.Version{w.secret("a"): a})
	w.seen(w.secret("a"), a)
	w.followers.Follow("second", map[watches.Object]watches.Version{w.secret("b"): b})
	now := w.put("b", "2")
	if got := w.watcher.Version(w.secret("b")); got != "" {
		t.Errorf("b is watched though the limit is one: %s", got)
	}
	w.toldAfter("second", "its turn", func() { w.followers.Forget("first") })
	w.seen(w.secret("b"), now)
}

func TestASearchOfTheRealServerIsToldWhatComesChangesAndGoes(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	w := newWorld(t, cp, cp.Namespace(t), nil, 0)
	w.watcher.Pause(time.Millisecond)
	label := func(name, value string) watches.Version {
		got, err := w.clients.CoreV1().Secrets(w.ns).Patch(t.Context(), name, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"team":%q}}}`, value), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return watches.Version(got.ResourceVersion)
	}
	a := string(w.put("app-a", "1"))
	w.put("other", "1")
	w.put("b", "1")
	b := string(label("b", "x"))
	byName, byLabel := watches.Search(w.ns, nil, regexp.MustCompile("^app-")), watches.Search(w.ns, map[string]string{"team": "x"}, nil)
	names, labels := map[string]string{"app-a": a}, map[string]string{"b": b}
	read := func() {
		w.followers.Follow("names", map[watches.Object]watches.Version{byName: watches.SearchVersion(names)})
		w.followers.Follow("labels", map[watches.Object]watches.Version{byLabel: watches.SearchVersion(labels)})
	}
	read()
	w.eventually("the first look", func() bool { return w.watcher.Version(byName) != "" && w.watcher.Version(byLabel) != "" })
	for range 50 {
		w.put("other", "2")
	}
	w.mu.Lock()
	if len(w.told) != 0 {
		t.Errorf("what nobody searches for is told: %v", w.told)
	}
	w.mu.Unlock()
	w.toldAfter("names", "one comes", func() { names["app-b"] = string(w.put("app-b", "1")) })
	read()
	w.toldAfter("names", "one changes", func() { names["app-a"] = string(w.put("app-a", "2")) })
	read()
	w.toldAfter("names", "one goes", func() { w.remove("app-b"); delete(names, "app-b") })
	read()
	w.toldAfter("labels", "one has the label", func() { labels["other"] = string(label("other", "x")) })
	read()
	w.toldAfter("labels", "one has it no more", func() { label("b", "y"); delete(labels, "b") })
	read()
	for _, who := range []string{"names", "labels"} {
		if _, newer := w.followers.Newer(who); newer {
			t.Errorf("what %s has read is what there is", who)
		}
	}
	w.mu.Lock()
	for _, cut := range w.cuts {
		cut()
	}
	w.mu.Unlock()
	w.toldAfter("names", "one comes while the watch begins anew", func() { w.put("app-c", "1") })
}

func TestVersionsAreOrdered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		now, was watches.Version
		newer    bool
	}{
		{"10", "9", true}, {"9", "10", false}, {"9", "9", false}, {"", "9", false}, {"9", "", false},
		{watches.Absent, "9", true}, {"9", watches.Absent, true}, {watches.Absent, watches.Absent, false}, {"x", "9", true},
	} {
		if got := tt.now.Newer(tt.was); got != tt.newer {
			t.Errorf("%q after %q: %t", tt.now, tt.was, got)
		}
	}
}

func TestWithoutAWatcherNobodyIsTold(t *testing.T) {
	t.Parallel()
	f := watches.NewFollowers(nil, func(string) { t.Error(errors.New("told")) })
	o := watches.Object{Kind: watches.Secret, Namespace: "a", Name: "b"}
	f.Follow("who", map[watches.Object]watches.Version{o: "1"})
	f.Add("who", o, "1")
	f.Forget("who")
	if _, newer := f.Newer("who"); newer || f.Has("who", o) {
		t.Error("somebody follows")
	}
	var none *watches.Watcher
	if none.Version(o) != "" {
		t.Error("a version")
	}
}
