package externalsecret_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/builtin"
	"github.com/sealbridge/sealbridge/providers/kubernetes"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/pki"
)

// Everything here is refreshed once a year, so that only an event can be why something happens.

func (w *world) plainSecret(name string, data map[string]string) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Data: bytesOf(data)}
	w.create(s)
	return s
}

func bytesOf(texts map[string]string) map[string][]byte {
	out := map[string][]byte{}
	for k, v := range texts {
		out[k] = []byte(v)
	}
	return out
}

func TestAChangedTemplateArrivesAtOnceAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	cm := w.configMap("shapes", map[string]string{"a": "one {{ .password }}"})
	shape := w.plainSecret("shape", map[string]string{"b": "one {{ .password }}"})
	w.create(w.externalSecret("db", from(inConfigMap("shapes", esv1.TemplateRefItem{Key: "a"}), inSecret("shape", esv1.TemplateRefItem{Key: "b"}))))
	w.holds("db", map[string]string{"a": "one " + canary, "b": "one " + canary})
	change(w, cm, func(cm *corev1.ConfigMap) { cm.Data["a"] = "two {{ .password }}" })
	w.holds("db", map[string]string{"a": "two " + canary, "b": "one " + canary})
	change(w, shape, func(s *corev1.Secret) { s.Data["b"] = []byte("two {{ .password }}") })
	w.holds("db", map[string]string{"a": "two " + canary, "b": "two " + canary})
	w.ready("db")

	w.stop()
	w.start()
	w.eventually("the watch after the restart", func() error {
		change(w, cm, func(cm *corev1.ConfigMap) { cm.Data["a"] = "three {{ .password }}"; cm.Data["turn"] += "x" })
		if got := string(w.secret("db").Data["a"]); got != "three "+canary {
			return fmt.Errorf("it holds %q", got)
		}
		return nil
	})
	fetches, _ := w.backend.calls()
	change(w, cm, func(cm *corev1.ConfigMap) { cm.Data["a"] = "{{ broken" })
	w.notReady("db", "templateFrom[0] (ConfigMap shapes, key a)")
	// It stays due until it succeeds.
	change(w, cm, func(cm *corev1.ConfigMap) { cm.Data["a"] = "four {{ .password }}" })
	w.holds("db", map[string]string{"a": "four " + canary, "b": "two " + canary})
	w.ready("db")
	if now, _ := w.backend.calls(); now-fetches > 10 {
		t.Errorf("two changes asked the store %d times", now-fetches)
	}
}

func TestAReplacedCredentialReopensTheSessionAndRefreshesItsUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one"}`)
	token := w.plainSecret("cred", map[string]string{"token": "good-1-" + canary})
	w.store("store", stores.FakeData{Key: "token", Value: w.ns + "/cred/token"})
	w.create(w.externalSecret("a"), w.externalSecret("b"))
	for _, name := range []string{"a", "b"} {
		w.holds(name, map[string]string{"password": "one"})
		w.ready(name)
	}
	w.backend.put("db", `{"password":"two"}`)
	change(w, token, func(s *corev1.Secret) { s.Data["token"] = []byte("good-2-" + canary) })
	for _, name := range []string{"a", "b"} {
		w.holds(name, map[string]string{"password": "two"})
	}
	change(w, token, func(s *corev1.Secret) { s.Data["token"] = []byte("wrong-" + canary) })
	w.notReady("a", "the token was refused")
	if got := w.secret("a").Data["password"]; string(got) != "two" {
		t.Errorf("the target holds %s", got)
	}
	w.backend.put("db", `{"password":"three"}`)
	change(w, token, func(s *corev1.Secret) { s.Data["token"] = []byte("good-3-" + canary) })
	for _, name := range []string{"a", "b"} {
		w.holds(name, map[string]string{"password": "three"})
		w.ready(name)
	}
}

func TestACredentialThatIsMissingIsUsedWhenItComes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store", stores.FakeData{Key: "token", Value: w.ns + "/late/token"})
	w.create(w.externalSecret("db"))
	w.notReady("db", "Secret "+w.ns+"/late does not exist")
	w.plainSecret("late", map[string]string{"token": "good-" + canary})
	w.holds("db", map[string]string{"password": canary})
	w.ready("db")
}

// TestWhatANamespaceLendsAClusterStoreArrivesAtOnceInThatNamespace: the store takes its token from the namespace that uses it.
func TestWhatANamespaceLendsAClusterStoreArrivesAtOnceInThatNamespace(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	w := prepare(t)
	other := cp.Namespace(t)
	w.others = []string{other}
	w.start()
	w.backend.put("db", `{"password":"one"}`)
	token := w.plainSecret("cred", map[string]string{"token": "good-1-" + canary})
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: other, Name: "cred"}, Data: bytesOf(map[string]string{"token": "good-" + canary})})
	css := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns}, Spec: w.storeSpec(stores.FakeData{Key: "token", Value: "/cred/token"})}
	w.create(css)
	t.Cleanup(func() { _ = w.c.Delete(context.WithoutCancel(t.Context()), css) })
	in := func(namespace string) *esv1.ExternalSecret {
		return w.externalSecret("db", func(es *esv1.ExternalSecret) {
			es.Namespace, es.Spec.SecretStoreRef = namespace, esv1.StoreRef{Name: w.ns, Kind: esv1.KindClusterSecretStore}
		})
	}
	w.create(in(w.ns), in(other))
	elsewhere := func() string {
		s := &corev1.Secret{}
		if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: other, Name: "db"}, s); err != nil {
			return ""
		}
		return string(s.Data["password"])
	}
	w.holds("db", map[string]string{"password": "one"})
	w.eventually("the other namespace has its own", func() error {
		if got := elsewhere(); got != "one" {
			return fmt.Errorf("it holds %q", got)
		}
		return nil
	})
	w.backend.put("db", `{"password":"two"}`)
	change(w, token, func(s *corev1.Secret) { s.Data["token"] = []byte("good-2-" + canary) })
	w.holds("db", map[string]string{"password": "two"})
	w.ready("db")
	change(w, token, func(s *corev1.Secret) { s.Data["token"] = []byte("wrong-" + canary) })
	w.notReady("db", "the token was refused")
	if got := elsewhere(); got != "one" {
		t.Errorf("a credential of one namespace had an object of another read again: it holds %q", got)
	}
}

func TestAReplacedCABundleArrivesAtOnce(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	w.providers = builtin.All()
	w.start()
	server := httptest.NewUnstartedServer(answers(http.StatusOK, `{"password":"`+canary+`"}`))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	bundle := func(raw []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	}
	wrong, err := pki.NewAuthority("another")
	if err != nil {
		t.Fatal(err)
	}
	cm := w.configMap("ca", map[string]string{"ca.crt": string(wrong.PEM())})
	spec := w.storeSpec()
	spec.Provider = stores.Provider{Webhook: &stores.Webhook{URL: server.URL, Result: stores.WebhookResult{JSONPath: "$.{{ .remoteRef.property }}"},
		CAProvider: &stores.CAProvider{Type: stores.CAProviderConfigMap, Name: "ca", Key: "ca.crt"}}}
	w.create(&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}, Spec: spec}, w.externalSecret("db"))
	w.notReady("db", "signed by an unknown authority")
	change(w, cm, func(cm *corev1.ConfigMap) { cm.Data["ca.crt"] = bundle(server.Certificate().Raw) })
	w.holds("db", map[string]string{"password": canary})
	w.ready("db")
}

// storeOfSecrets makes a SecretStore that reads Secrets of a namespace of this cluster as a ServiceAccount with a right on some or all.
func (w *world) storeOfSecrets(cp *controlplane.ControlPlane, name, namespace string, right rbacv1.PolicyRule) {
	w.t.Helper()
	bearer, err := cp.ServiceAccountToken(w.t.Context(), w.ns, "reader")
	if err != nil {
		w.t.Fatal(err)
	}
	right.APIGroups, right.Resources = []string{""}, []string{"secrets"}
	if err := cp.Allow(w.t.Context(), controlplane.ServiceAccount(w.ns, "reader"), namespace, right); err != nil {
		w.t.Fatal(err)
	}
	w.plainSecret("bearer", map[string]string{"token": bearer})
	spec := w.storeSpec()
	spec.Provider = stores.Provider{Kubernetes: &stores.Kubernetes{
		Server: stores.KubernetesServer{URL: cp.URL(), CABundle: cp.CA()}, RemoteNamespace: namespace,
		Auth: &stores.KubernetesAuth{Token: &stores.KubernetesTokenAuth{BearerToken: stores.SecretKeySelector{Name: "bearer", Key: "token"}}},
	}}
	w.create(&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: spec})
}

// besidePlatform starts a world whose stores may read Secrets of this cluster by the provider, and returns a namespace that has some.
func besidePlatform(t *testing.T, p providers.Provider) (w *world, cp *controlplane.ControlPlane, platform string) {
	t.Helper()
	cp, w = controlplane.New(t), prepare(t)
	w.providers = append(w.providers, p)
	w.start()
	return w, cp, cp.Namespace(t)
}

// password makes a Secret with one in a namespace.
func (w *world) password(namespace, name, password string) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: bytesOf(map[string]string{"password": password})}
	w.create(s)
	return s
}

func TestASourceSecretOfThisClusterArrivesAtOnce(t *testing.T) {
	t.Parallel()
	w, cp, platform := besidePlatform(t, kubernetes.Provider{})
	source := func(name, password string) *corev1.Secret { return w.password(platform, name, password) }
	db, hidden := source("db", "one-"+canary), source("hidden", canary)
	w.storeOfSecrets(cp, "store", platform, rbacv1.PolicyRule{ResourceNames: []string{"db", "late"}, Verbs: []string{"get"}})
	key := func(name string) func(*esv1.ExternalSecret) {
		return func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.Key = name }
	}
	w.create(w.externalSecret("db", key("db")), w.externalSecret("late", key("late")), w.externalSecret("hidden", key("hidden")))
	w.holds("db", map[string]string{"password": "one-" + canary})
	w.ready("db")
	change(w, db, func(s *corev1.Secret) { s.Data["password"] = []byte("two-" + canary) })
	w.holds("db", map[string]string{"password": "two-" + canary})

	w.notReady("late", "Secret "+platform+"/late does not exist")
	source("late", "late-"+canary)
	w.holds("late", map[string]string{"password": "late-" + canary})

	// Who may not read a Secret does not learn when it changes: what he sees stays as it is.
	w.notReady("hidden", "may not read Secret "+platform+"/hidden")
	change(w, hidden, func(s *corev1.Secret) { s.Data["password"] = []byte("changed-" + canary) })

	w.stop()
	w.start()
	w.eventually("the watch after the restart", func() error {
		change(w, db, func(s *corev1.Secret) {
			s.Data["password"] = []byte("three-" + canary)
			s.Data["turn"] = append(s.Data["turn"], 'x')
		})
		if got := string(w.secret("db").Data["password"]); got != "three-"+canary {
			return fmt.Errorf("it holds %q", got)
		}
		return nil
	})
}

func TestWhatASearchFoundInThisClusterArrivesAtOnce(t *testing.T) {
	t.Parallel()
	w, cp, platform := besidePlatform(t, kubernetes.Provider{})
	source := func(name, password string) *corev1.Secret { return w.password(platform, name, password) }
	db, web := source("app-db", "one-"+canary), source("app-web", "web-"+canary)
	w.storeOfSecrets(cp, "store", platform, rbacv1.PolicyRule{Verbs: []string{"get", "list"}})
	w.create(w.externalSecret("apps", func(es *esv1.ExternalSecret) {
		es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{{Find: named("^app-")}}
	}))
	doc := func(password string) string { return `{"password":"` + password + "-" + canary + `"}` }
	w.holds("apps", map[string]string{"app-db": doc("one"), "app-web": doc("web")})
	w.ready("apps")
	change(w, db, func(s *corev1.Secret) { s.Data["password"] = []byte("two-" + canary) })
	w.holds("apps", map[string]string{"app-db": doc("two"), "app-web": doc("web")})
	w.ready("apps")

	w.stop()
	change(w, db, func(s *corev1.Secret) { s.Data["password"] = []byte("three-" + canary) })
	w.start()
	w.holds("apps", map[string]string{"app-db": doc("three"), "app-web": doc("web")})
	w.ready("apps")
	if err := w.c.Delete(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	w.holds("apps", map[string]string{"app-db": doc("three")})
}

// counted counts the searches of a provider's sessions.
type counted struct {
	providers.Provider
	searches *atomic.Int64
}

func (c counted) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	s, err := c.Provider.Open(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	return countedSession{s, c.searches}, nil
}

type countedSession struct {
	providers.Session
	searches *atomic.Int64
}

func (s countedSession) Unwrap() providers.Session { return s.Session }

func (s countedSession) Find(ctx context.Context, q providers.Query) ([]providers.Found, error) {
	s.searches.Add(1)
	return s.Session.(providers.Finder).Find(ctx, q)
}

// TestWhatASearchWouldFindInThisClusterArrivesAtOnce: nobody has read it, and there is more of it than is watched one by one.
func TestWhatASearchWouldFindInThisClusterArrivesAtOnce(t *testing.T) {
	t.Parallel()
	searches := &atomic.Int64{}
	w, cp, platform := besidePlatform(t, counted{kubernetes.Provider{}, searches})
	w.storeOfSecrets(cp, "store", platform, rbacv1.PolicyRule{Verbs: []string{"get", "list"}})
	search := func(name string, find *esv1.Find) {
		w.create(w.externalSecret(name, func(es *esv1.ExternalSecret) {
			es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{{Find: find}}
		}))
	}
	doc := `{"password":"` + canary + `"}`
	apps := map[string]string{}
	add := func(name string) *corev1.Secret {
		apps[name] = doc
		return w.password(platform, name, canary)
	}
	for i := range 24 {
		add(fmt.Sprint("app-", i))
	}
	search("apps", named("^app-"))
	search("labelled", &esv1.Find{Tags: map[string]string{"team": "a"}})
	search("none-yet", named("^late-"))
	w.holds("apps", apps)
	w.ready("apps")
	w.ready("labelled")
	w.ready("none-yet")

	gone := add("app-new")
	w.holds("apps", apps)
	w.password(platform, "late-1", canary)
	w.holds("none-yet", map[string]string{"late-1": doc})
	change(w, gone, func(s *corev1.Secret) { s.Labels = map[string]string{"team": "a"} })
	w.holds("labelled", map[string]string{"app-new": doc})
	for _, name := range []string{"apps", "labelled", "none-yet"} {
		w.ready(name)
	}

	w.eventually("the other search that finds it has read it again, for which it takes its time", func() error {
		sources := w.ready("apps").Status.Sources
		if !slices.ContainsFunc(sources, func(s esv1.Source) bool { return s.Key == gone.Name && s.Version == gone.ResourceVersion }) {
			return fmt.Errorf("it has read %v", sources)
		}
		return nil
	})

	other := w.password(platform, "other", "0")
	time.Sleep(time.Second)
	asked := searches.Load()
	for i := range 100 {
		change(w, other, func(s *corev1.Secret) { s.Data["password"] = fmt.Append(nil, i) })
	}
	time.Sleep(time.Second)
	if now := searches.Load(); now != asked {
		t.Errorf("a Secret that nobody searches for changed, and there were %d searches", now-asked)
	}

	w.stop()
	if err := w.c.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	delete(apps, "app-new")
	add("app-meanwhile")
	w.start()
	w.holds("apps", apps)
	w.ready("apps")
}

// TestWhatChangedWhileNoControllerRanArrivesAtTheStart changes, one by one, everything in the cluster that targets are made
// from, of objects that are refreshed once a year.
func TestWhatChangedWhileNoControllerRanArrivesAtTheStart(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	w := prepare(t)
	w.providers = append(w.providers, kubernetes.Provider{})
	w.start()
	w.backend.put("db", `{"password":"one-`+canary+`"}`)
	token := w.plainSecret("cred", map[string]string{"token": "good-1-" + canary})
	w.store("store", stores.FakeData{Key: "token", Value: w.ns + "/cred/token"})
	w.backend.put("other", `{"password":"other-`+canary+`"}`)
	other := w.store("other")
	cm := w.configMap("shapes", map[string]string{"a": "one {{ .password }}"})
	shape := w.plainSecret("shape", map[string]string{"b": "one {{ .password }}"})
	source := w.plainSecret("source", map[string]string{"password": "one-" + canary})
	w.storeOfSecrets(cp, "here", w.ns, rbacv1.PolicyRule{ResourceNames: []string{"source"}, Verbs: []string{"get"}})
	of := func(store, key string) func(*esv1.ExternalSecret) {
		return func(es *esv1.ExternalSecret) {
			es.Spec.SecretStoreRef.Name, es.Spec.Data[0].RemoteRef.Key = store, key
		}
	}
	w.create(
		w.externalSecret("templated", of("other", "other"), from(inConfigMap("shapes", esv1.TemplateRefItem{Key: "a"}), inSecret("shape", esv1.TemplateRefItem{Key: "b"}))),
		w.externalSecret("copy", of("here", "source")), w.externalSecret("by-credential", of("store", "db")), w.externalSecret("by-store", of("other", "db")),
	)
	want := map[string]map[string]string{
		"templated": {"a": "one other-" + canary, "b": "one other-" + canary}, "copy": {"password": "one-" + canary},
		"by-credential": {"password": "one-" + canary}, "by-store": {"password": "one-" + canary},
	}
	all := func() {
		t.Helper()
		for name, data := range want {
			w.holds(name, data)
			w.ready(name)
		}
	}
	all()
	restart := func(do func()) {
		t.Helper()
		time.Sleep(time.Second) // whatever is on its way arrives
		w.stop()
		w.logs.Write([]byte("--- restart ---\n"))
		do()
		w.start()
		all()
	}
	var asked int
	restart(func() {
		_, asked = w.backend.calls()
		w.traffic.reset()
		w.backend.put("db", `{"password":"two-`+canary+`"}`)
	})
	time.Sleep(2 * time.Second)
	if writes := w.traffic.matching("PATCH", "PUT", "POST", "DELETE"); len(writes) > 0 {
		t.Errorf("a start before which nothing changed in the cluster wrote: %v", writes)
	}
	if _, now := w.backend.calls(); now != asked {
		t.Errorf("a start before which nothing changed in the cluster asked the stores %d times", now-asked)
	}
	restart(func() {
		change(w, cm, func(cm *corev1.ConfigMap) { cm.Data["a"] = "two {{ .password }}" })
		want["templated"]["a"] = "two other-" + canary
	})
	restart(func() {
		change(w, shape, func(s *corev1.Secret) { s.Data["b"] = []byte("two {{ .password }}") })
		want["templated"]["b"] = "two other-" + canary
	})
	restart(func() {
		change(w, source, func(s *corev1.Secret) { s.Data["password"] = []byte("two-" + canary) })
		want["copy"]["password"] = "two-" + canary
	})
	restart(func() {
		change(w, token, func(s *corev1.Secret) { s.Data["token"] = []byte("good-2-" + canary) })
		want["by-credential"]["password"] = "two-" + canary
	})
	restart(func() {
		change(w, other, func(s *esv1.SecretStore) { s.Spec.Provider.Fake.Data[0].Value = "reconfigured" })
		want["by-store"]["password"] = "two-" + canary
	})
}
