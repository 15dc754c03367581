package externalsecret_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

const keySecret = "sealbridge-template-key"

// asksKey reports whether a request reads or makes the key under which targets show hashes.
func asksKey(req *http.Request) bool {
	return strings.HasSuffix(req.URL.Path, "/secrets/"+keySecret) || req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/secrets")
}

// TestNothingIsWrittenBeforeTheKeyOfTheHashesCanBeRead: the API server fails just when a controller needs the key for the first
// time. With a hash under another key, the target would be written once more later.
func TestNothingIsWrittenBeforeTheKeyOfTheHashesCanBeRead(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*http.Request, http.RoundTripper) (*http.Response, error){
		"an error":  answer(http.StatusInternalServerError, "InternalError"),
		"a timeout": answer(http.StatusGatewayTimeout, "Timeout"),
		"too many":  answer(http.StatusTooManyRequests, "TooManyRequests"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := prepare(t)
			w.backend.put("db", `{"password":"`+canary+`"}`)
			w.traffic.meet(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				if asksKey(req) {
					return fault(req, next)
				}
				return next.RoundTrip(req)
			})
			w.start()
			w.store("store")
			w.create(w.externalSecret("db"), w.externalSecret("random", random))
			for _, name := range []string{"db", "random"} {
				w.notReady(name, keySecret)
				if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
					t.Errorf("target of %s: %v, want none", name, err)
				}
			}
			if n, _ := w.backend.calls(); n != 0 {
				t.Errorf("the store was asked %d times in vain", n)
			}
			w.traffic.meet(nil)
			w.ready("db")
			w.ready("random")
			if n := len(w.secret(keySecret).Data["key"]); n != 32 {
				t.Errorf("a key of %d bytes", n)
			}
			before := map[string]string{}
			for _, name := range []string{"db", "random"} {
				s := w.secret(name)
				before[name] = s.ResourceVersion + s.Annotations[esv1.AnnotationDataHash]
				change(w, w.externalSecret(name), func(es *esv1.ExternalSecret) { every(time.Second)(es) })
			}
			w.refreshed(4)
			w.stop()
			w.start()
			w.refreshed(4)
			for _, name := range []string{"db", "random"} {
				s := w.secret(name)
				if now := s.ResourceVersion + s.Annotations[esv1.AnnotationDataHash]; now != before[name] {
					t.Errorf("the target of %s was written again", name)
				}
			}
		})
	}
}

// TestAControllerThatMayNotHaveAKeySaysWhatToDoAndGoesOn: one that serves some namespaces may lack the right.
func TestAControllerThatMayNotHaveAKeySaysWhatToDoAndGoesOn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault func(*http.Request, http.RoundTripper) (*http.Response, error)
		says  string
	}{
		"forbidden":    {answer(http.StatusForbidden, "Forbidden"), "(the Role sealbridge-externalsecret)"},
		"no namespace": {answer(http.StatusNotFound, "NotFound"), "does not exist: create it, or name another with --namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := prepare(t)
			w.backend.put("db", `{"password":"`+canary+`"}`)
			w.traffic.meet(func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				if asksKey(req) {
					return tc.fault(req, next)
				}
				return next.RoundTrip(req)
			})
			w.start()
			w.store("store")
			w.create(w.externalSecret("db"), w.externalSecret("other"))
			w.ready("db")
			w.ready("other")
			w.holds("db", map[string]string{"password": canary})
			if log := w.logs.String(); strings.Count(log, tc.says) != 1 || !strings.Contains(log, keySecret) && name == "forbidden" {
				t.Errorf("the log does not say once %q:\n%s", tc.says, log)
			}
		})
	}
}
