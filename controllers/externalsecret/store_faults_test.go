package externalsecret_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/providers/builtin"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

// rogue is a backend that answers as it is told. Logins and checks are answered well unless it is down.
type rogue struct {
	mu   sync.Mutex
	mode string
	// body is what a good answer holds.
	body string
}

func (r *rogue) set(mode, body string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mode, r.body = mode, body
}

func (r *rogue) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	mode, body := r.mode, r.body
	r.mu.Unlock()
	switch {
	case mode == "down":
		w.WriteHeader(http.StatusInternalServerError)
		return
	case strings.HasSuffix(req.URL.Path, "/lookup-self"):
		_, _ = io.WriteString(w, `{"data":{"expire_time":null}}`)
		return
	case strings.Contains(req.URL.Path, "/sys/internal/"):
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":["permission denied"]}`)
		return
	}
	switch mode {
	case "empty":
	case "truncated":
		_, _ = io.WriteString(w, body[:len(body)-3])
	case "5 MiB":
		_, _ = io.WriteString(w, strings.Replace(body, "value", strings.Repeat(canary, 5<<20/len(canary)), 1))
	case "not UTF-8":
		_, _ = io.WriteString(w, strings.Replace(body, "value", "\xff\xfe"+canary, 1))
	case "slow":
		<-req.Context().Done()
	case "throttled for a second":
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case "throttled":
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, canary)
	case "an internal error":
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, canary)
	case "reset":
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, body)
		panic(http.ErrAbortHandler)
	default:
		_, _ = io.WriteString(w, body)
	}
}

// TestWhateverAStoreAnswersTheTargetStaysAndRecovers takes one object per provider through all that a backend can do wrong:
// the target is as it was while the condition says why, and holds the next value as soon as the backend is well.
func TestWhateverAStoreAnswersTheTargetStaysAndRecovers(t *testing.T) {
	t.Parallel()
	controlplane.New(t) // skips here and not in each
	for name, tc := range map[string]struct {
		good     string
		provider func(address string) stores.Provider
		says     map[string]string
	}{
		"vault": {`{"data":{"data":{"password":"value %s"},"metadata":{"version":1}}}`,
			func(address string) stores.Provider {
				return stores.Provider{Vault: &stores.Vault{Server: address, Path: "kv",
					Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "credential", Key: "token"}}}}
			},
			map[string]string{"empty": "not one of vault's", "truncated": "not one of vault's", "not UTF-8": "not one of vault's", "an internal error": "vault answered 500"}},
		"webhook": {`{"data":{"password":"value %s"}}`,
			func(address string) stores.Provider {
				return stores.Provider{Webhook: &stores.Webhook{URL: address + "/{{ .remoteRef.key }}", Headers: map[string]string{"X-Token": "{{ .auth.token }}"},
					Result:  stores.WebhookResult{JSONPath: "$.data.{{ .remoteRef.property }}"},
					Secrets: []stores.WebhookSecret{{Name: "auth", SecretRef: stores.SecretKeySelector{Name: "credential"}}}}}
			},
			map[string]string{"empty": "without a content", "truncated": "not JSON", "not UTF-8": "not UTF-8", "an internal error": "answered 500"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rogue{}
			server := httptest.NewUnstartedServer(r)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.Start()
			t.Cleanup(func() {
				server.CloseClientConnections()
				server.Close()
			})
			w := prepare(t)
			w.providers, w.limits.Timeout = builtin.All(), 3*time.Second
			yearly := intstr.FromString("8760h")
			w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "credential", Labels: map[string]string{"external-secrets.io/type": "webhook"}},
				Data: map[string][]byte{"token": []byte(canary)}},
				&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"},
					Spec: esv1.SecretStoreSpec{Controller: w.class, RefreshInterval: &yearly, Provider: tc.provider(server.URL)}})
			r.set("", fmt.Sprintf(tc.good, "first"))
			w.start()
			es := w.externalSecret("db")
			w.create(es)
			w.ready("db")
			before := w.holds("db", map[string]string{"password": "value first"})
			for _, mode := range []string{"empty", "truncated", "5 MiB", "not UTF-8", "slow", "throttled for a second", "throttled", "an internal error", "reset"} {
				says := map[string]string{
					"5 MiB": "larger than 4 MiB", "slow": "did not answer in time", "throttled for a second": "asks to wait 1s", "throttled": "throttled by the store",
					"reset": "the connection broke",
				}[mode]
				if text, ok := tc.says[mode]; ok {
					says = text
				}
				next := fmt.Sprintf(tc.good, mode)
				r.set(mode, next)
				change(w, es, func(es *esv1.ExternalSecret) {
					es.Annotations = map[string]string{"force-sync": strings.ReplaceAll(mode, " ", "-")}
				})
				w.notReady("db", says)
				if now := w.secret("db"); now.UID != before.UID || string(now.Data["password"]) != string(before.Data["password"]) {
					t.Errorf("%s: the target was changed", mode)
				}
				r.set("", next)
				w.ready("db")
				before = w.holds("db", map[string]string{"password": "value " + mode})
			}
		})
	}
}

// TestAStoreWhoseCheckFailedIsReadySoonAfterItIsUp lets a store be down when the controller starts, so that no session is
// open and nobody may ask it, for so long that a backoff alone would find out much later.
func TestAStoreWhoseCheckFailedIsReadySoonAfterItIsUp(t *testing.T) {
	t.Parallel()
	server, err := countingstore.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	server.Put("db", map[string]string{"password": canary})
	server.Fail(http.StatusServiceUnavailable)
	w := prepare(t)
	w.providers = builtin.All()
	w.plainSecret("token", map[string]string{"token": countingstore.Token})
	spec := w.storeSpec()
	spec.Provider = stores.Provider{Vault: &stores.Vault{Server: server.Address(), Path: "kv",
		Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "token", Key: "token"}}}}
	w.create(&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}, Spec: spec})
	for i := range 20 {
		w.create(w.externalSecret(fmt.Sprintf("es-%d", i)))
	}
	w.start()
	w.notReady("es-0", "vault answered 503")
	const outage, soon = 17 * time.Second, 12 * time.Second // the backoff comes back after 1, 3, 7, 15 and 31 s
	time.Sleep(outage)
	if n := server.Count(); n > 4*10 { // each check is a few requests; both ways to repeat it come some five times
		t.Errorf("%d requests while the store was down", n)
	}
	server.Fail(0)
	up := time.Now()
	for i := range 20 {
		w.ready(fmt.Sprintf("es-%d", i))
	}
	if took := time.Since(up); took > soon {
		t.Errorf("all were ready %s after the store was up, want %s", took, soon)
	}
}

// TestAnOutageCostsEachObjectTwoWritesAndOneEvent also where the store is checked during the outage, and so is not ready
// meanwhile: what an object says when it fails first holds until it is read again.
func TestAnOutageCostsEachObjectTwoWritesAndOneEvent(t *testing.T) {
	t.Parallel()
	backend := &rogue{}
	good := `{"data":{"data":{"password":"` + canary + `"},"metadata":{"version":1}}}`
	backend.set("", good)
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)
	w := prepare(t)
	w.providers = builtin.All()
	w.plainSecret("token", map[string]string{"token": canary})
	spec := w.storeSpec()
	often := intstr.FromString("1s")
	spec.RefreshInterval = &often
	spec.Provider = stores.Provider{Vault: &stores.Vault{Server: server.URL, Path: "kv",
		Auth: &stores.VaultAuth{TokenSecretRef: &stores.SecretKeySelector{Name: "token", Key: "token"}}}}
	w.create(&esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "store"}, Spec: spec})
	const objects = 20
	each := func(do func(name string)) {
		for i := range objects {
			do(fmt.Sprintf("es-%d", i))
		}
	}
	each(func(name string) { w.create(w.externalSecret(name, every(time.Second))) })
	w.start()
	each(func(name string) { w.ready(name) })
	storeIs := func(status metav1.ConditionStatus) {
		t.Helper()
		w.eventually(fmt.Sprintf("the store is Ready=%s", status), func() error {
			var store esv1.SecretStore
			if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "store"}, &store); err != nil {
				return err
			}
			if c := conditions.Ready(store.Status.Conditions); c.Status != status || store.Status.Unavailable != (status == metav1.ConditionFalse) {
				return fmt.Errorf("it is %+v, unavailable %v", c, store.Status.Unavailable)
			}
			return nil
		})
	}
	w.traffic.reset()
	backend.set("an internal error", good)
	each(func(name string) {
		w.notReady(name, "vault answered 500 Internal Server Error; the target holds the values of")
	})
	backend.set("down", good)
	storeIs(metav1.ConditionFalse)
	backend.set("", good)
	each(func(name string) { w.ready(name) })
	storeIs(metav1.ConditionTrue)
	each(func(name string) { w.ready(name) })
	patches := w.traffic.matching(http.MethodPatch)
	each(func(name string) {
		if n := patches["PATCH /apis/external-secrets.io/v1/namespaces/"+w.ns+"/externalsecrets/"+name+"/status"]; n != 2 {
			t.Errorf("%s: %d writes of the status, want that it failed and that it recovered", name, n)
		}
		if events := w.events(name); fmt.Sprint(events) != "[Created UpdateFailed]" {
			t.Errorf("%s: events %v", name, events)
		}
	})
}
