package externalsecret_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/providers/builtin"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

// hers is part of each name that the first of two tenants asks for; the other one may see it nowhere.
const hers = "hers-4be1c0ffee"

// between is a proxy before a backend that answers in its stead when it is told to.
type between struct {
	behind http.Handler
	mu     sync.Mutex
	answer http.HandlerFunc
}

func (b *between) set(answer http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

func (b *between) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	answer := b.answer
	b.mu.Unlock()
	if answer == nil {
		answer = b.behind.ServeHTTP
	}
	answer(w, r)
}

// serve returns the address of a proxy.
func serve(t *testing.T, b *between) string {
	t.Helper()
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return server.URL
}

// forward hands requests on to the address.
func forward(t *testing.T, address string, over http.RoundTripper) http.Handler {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: over}
}

func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hangUp ends the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

const page = "<html>" + canary + "</html>"

func TestAnOutageTellsNobodyWhatAnotherNamespaceAskedFor(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	for name, tc := range map[string]struct {
		// store makes a store on a real backend that holds what the tenants ask for, behind the proxy.
		store func(t *testing.T, w *world, b *between) stores.Provider
		// checked is set when the check of the store asks for an answer, so that the store says the same.
		checked bool
		// outages are what is told in them.
		outages map[string]outage
	}{
		"vault": {vaultBehind, true, map[string]outage{
			"a page":              {answers(http.StatusOK, page), "the answer (status 200) is not one of vault's; check server and what is between"},
			"a page is not found": {answers(http.StatusNotFound, page), "the answer (status 404) is not one of vault's"},
			"a gateway":           {answers(http.StatusServiceUnavailable, page), "vault answered 503 Service Unavailable"},
			"throttled":           {answers(http.StatusTooManyRequests, page), "throttled by the store"},
			"no answer":           {hangUp, "the connection broke"},
		}},
		"webhook": {webhookBehind, false, map[string]outage{
			"an internal error": {answers(http.StatusInternalServerError, page), "answered 500 Internal Server Error"},
			"a gateway":         {answers(http.StatusBadGateway, page), "answered 502 Bad Gateway"},
			"throttled":         {answers(http.StatusTooManyRequests, page), "throttled by the store"},
			"no answer":         {hangUp, "the connection broke"},
		}},
		"kubernetes": {clusterBehind, true, map[string]outage{
			"a page":    {answers(http.StatusOK, page), "the answer (status 200) is not a Kubernetes API server's"},
			"a gateway": {answers(http.StatusServiceUnavailable, page), "the API server answered 503 Service Unavailable"},
			"throttled": {answers(http.StatusTooManyRequests, page), "throttled by the store"},
			"no answer": {hangUp, "the connection broke"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := prepare(t)
			w.others, w.providers = []string{cp.Namespace(t)}, builtin.All()
			b := &between{}
			tenants := w.tenants(tc.store(t, w, b))
			w.start()
			tenants.ready()
			for what, o := range tc.outages {
				b.set(o.answer)
				tenants.suffer(what, o.says, tc.checked)
				b.set(nil)
				tenants.ready()
			}
		})
	}
}

func TestASealedVaultTellsNobodyWhatAnotherNamespaceAskedFor(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	server, err := vault.Start(t.Context(), vault.Options{})
	if err != nil {
		vault.New(t) // skips or fails as it should
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	w := prepare(t)
	w.others, w.providers = []string{cp.Namespace(t)}, builtin.All()
	tenants := w.tenants(w.vaultAt(server, server.Address()))
	w.start()
	tenants.ready()
	if err := server.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	tenants.suffer("sealed", "vault is sealed; unseal it", true)
	if err := server.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	tenants.ready()
}

// outage is how a backend answers in one, and what everybody is told then.
type outage struct {
	answer http.HandlerFunc
	says   string
}

func vaultBehind(t *testing.T, w *world, b *between) stores.Provider {
	t.Helper()
	server := vault.New(t)
	b.behind = forward(t, server.Address(), nil)
	return w.vaultAt(server, serve(t, b))
}

func (w *world) vaultAt(server *vault.Server, address string) stores.Provider {
	w.t.Helper()
	kv := server.KV(w.t, 2)
	for _, key := range w.keys() {
		if _, err := server.Put(w.t.Context(), kv, key, map[string]any{"password": canary}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.plainSecret("credential", map[string]string{"token": server.Token()})
	return stores.Provider{Vault: &stores.Vault{Server: address, Path: kv,
		Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Namespace: w.ns, Name: "credential", Key: "token"}}}}
}

func webhookBehind(t *testing.T, w *world, b *between) stores.Provider {
	t.Helper()
	b.behind = answers(http.StatusOK, `{"password":"`+canary+`"}`)
	credential := w.plainSecret("credential", map[string]string{"token": canary})
	change(w, credential, func(s *corev1.Secret) { s.Labels = map[string]string{"external-secrets.io/type": "webhook"} })
	return stores.Provider{Webhook: &stores.Webhook{URL: serve(t, b) + "/{{ .auth.token }}/{{ .remoteRef.key }}?p={{ .remoteRef.property }}",
		Result:  stores.WebhookResult{JSONPath: "$.{{ .remoteRef.property }}"},
		Secrets: []stores.WebhookSecret{{Name: "auth", SecretRef: stores.SecretKeySelector{Namespace: w.ns, Name: "credential"}}}}}
}

func clusterBehind(t *testing.T, w *world, b *between) stores.Provider {
	t.Helper()
	cp := controlplane.New(t)
	over, err := rest.TransportFor(&rest.Config{Host: cp.URL(), TLSClientConfig: rest.TLSClientConfig{CAData: cp.CA()}})
	if err != nil {
		t.Fatal(err)
	}
	b.behind = forward(t, cp.URL(), over)
	token, err := cp.ServiceAccountToken(t.Context(), w.ns, "reader")
	if err != nil {
		t.Fatal(err)
	}
	err = cp.Allow(t.Context(), controlplane.ServiceAccount(w.ns, "reader"), w.ns,
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range w.keys() {
		w.plainSecret(key, map[string]string{"password": canary})
	}
	w.plainSecret("credential", map[string]string{"token": token})
	return stores.Provider{Kubernetes: &stores.Kubernetes{Server: stores.KubernetesServer{URL: serve(t, b)}, RemoteNamespace: w.ns,
		Auth: &stores.KubernetesAuth{Token: &stores.KubernetesTokenAuth{BearerToken: stores.SecretKeySelector{Namespace: w.ns, Name: "credential", Key: "token"}}}}}
}

// keys are what the tenants ask for: two of the first, because one alone does not stand for all, and one of the other.
func (w *world) keys() []string { return []string{hers + "-a", hers + "-b", "another"} }

// tenants are two objects that use one ClusterSecretStore from a namespace each: "first", which reads each second, and so
// is the one that finds out about an outage, and "second", which asks when it is told to.
type tenants struct {
	*world
	store, second string
	told          int
}

func (w *world) tenants(provider stores.Provider) *tenants {
	w.t.Helper()
	spec := w.storeSpec()
	often := intstr.FromString("1s")
	spec.RefreshInterval, spec.Provider = &often, provider
	css := &esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns}, Spec: spec}
	w.create(css)
	w.t.Cleanup(func() { _ = w.c.Delete(w.t.Context(), css) })
	use := func(name, namespace string, interval time.Duration, keys ...string) *esv1.ExternalSecret {
		return w.externalSecret(name, every(interval), func(es *esv1.ExternalSecret) {
			es.Namespace, es.Spec.SecretStoreRef, es.Spec.Data = namespace, esv1.StoreRef{Kind: esv1.KindClusterSecretStore, Name: css.Name}, nil
			for i, key := range keys {
				es.Spec.Data = append(es.Spec.Data, esv1.Data{SecretKey: fmt.Sprintf("k%d", i), RemoteRef: esv1.RemoteRef{Key: key, Property: "password"}})
			}
		})
	}
	w.create(use("first", w.ns, time.Second, w.keys()[:2]...), use("second", w.others[0], time.Hour, w.keys()[2]))
	return &tenants{world: w, store: css.Name, second: w.others[0]}
}

// says returns the message of an object that is not ready, else nothing, without since when its values are old.
func (tt *tenants) says(obj client.Object, namespace, name string) (string, error) {
	if err := tt.c.Get(tt.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, obj); err != nil {
		return "", err
	}
	var c esv1.Condition
	switch o := obj.(type) {
	case *esv1.ExternalSecret:
		c = conditions.Ready(o.Status.Conditions)
	case *esv1.ClusterSecretStore:
		c = conditions.Ready(o.Status.Conditions)
	}
	if c.Status == metav1.ConditionTrue {
		return "", nil
	}
	text, _, _ := strings.Cut(c.Message, "; the target holds")
	return text, nil
}

// suffer waits until everybody says what is wrong, and looks for what one of them asked for in what another one sees, and
// whether it changes.
func (tt *tenants) suffer(what, says string, checked bool) {
	t := tt.t
	t.Helper()
	wait := func(obj client.Object, namespace, name string) string {
		var text string
		tt.eventually(what+": "+name+" says "+says, func() (err error) {
			// What begins with an entry is about one document and no outage.
			if text, err = tt.says(obj, namespace, name); err == nil && (!strings.Contains(text, says) || !strings.HasPrefix(text, "ClusterSecretStore ")) {
				err = fmt.Errorf("it says %q", text)
			}
			return err
		})
		return text
	}
	wait(&esv1.ExternalSecret{}, tt.ns, "first")
	second := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: tt.second, Name: "second"}}
	tt.told++
	change(tt.world, second, func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{"force-sync": fmt.Sprint(tt.told)} })
	text := wait(second, tt.second, "second")
	if checked {
		wait(&esv1.ClusterSecretStore{}, "", tt.store)
	}
	for range 10 {
		time.Sleep(200 * time.Millisecond)
		if now, err := tt.says(second, tt.second, "second"); err != nil || now != text {
			t.Errorf("%s: it said %q, and now %q, %v", what, text, now, err)
			break
		}
	}
	var store esv1.ClusterSecretStore
	if err := tt.c.Get(t.Context(), client.ObjectKey{Name: tt.store}, &store); err != nil {
		t.Fatal(err)
	}
	var events eventsv1.EventList
	if err := tt.c.List(t.Context(), &events); err != nil {
		t.Fatal(err)
	}
	seen := []any{second, store}
	for _, e := range events.Items {
		if e.Regarding.Name == tt.store || e.Regarding.Namespace == tt.second {
			seen = append(seen, e)
		}
	}
	raw, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{hers, canary} {
		if at := strings.Index(string(raw), secret); at >= 0 {
			t.Errorf("%s: the other namespace sees %s", what, raw[max(0, at-300):min(len(raw), at+100)])
		}
	}
}

// ready waits until both have their values.
func (tt *tenants) ready() {
	tt.t.Helper()
	for name, namespace := range map[string]string{"first": tt.ns, "second": tt.second} {
		tt.eventually(name+" is ready", func() error {
			text, err := tt.says(&esv1.ExternalSecret{}, namespace, name)
			if err == nil && text != "" {
				err = fmt.Errorf("it says %q", text)
			}
			return err
		})
	}
}
