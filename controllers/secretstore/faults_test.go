package secretstore_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/sessions"
)

// refusal is an answer of an API server that does not do what it is asked.
func refusal(code int, reason string) func(*http.Request, http.RoundTripper) (*http.Response, error) {
	return func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":%q}`, reason, code, canary)
		header := http.Header{"Content-Type": {"application/json"}}
		if code == http.StatusTooManyRequests {
			header.Set("Retry-After", "1")
		}
		return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	}
}

// TestAStatusThatCannotBeWrittenIsWrittenLater lets each store's status meet a fault of its own, twice where it is repeated, when the store becomes ready and
// when it stops to be.
func TestAStatusThatCannotBeWrittenIsWrittenLater(t *testing.T) {
	t.Parallel()
	faults := map[string]func(*http.Request, http.RoundTripper) (*http.Response, error){
		"a-conflict": refusal(http.StatusConflict, "Conflict"),
		"too-many":   refusal(http.StatusTooManyRequests, "TooManyRequests"),
		"an-error":   refusal(http.StatusInternalServerError, "InternalError"),
		"no-answer": func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, errors.New("connection refused: " + canary)
		},
		"an-answer-lost": func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			if resp, err := next.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
			return nil, errors.New("connection reset by peer: " + canary)
		},
	}
	w := newWorld(t)
	met := map[string]int{}
	meet := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		clear(met)
		w.fault = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			for name, fault := range faults {
				if !strings.HasSuffix(req.URL.Path, "/"+name+"/status") && !strings.HasSuffix(req.URL.Path, "-"+name+"/status") {
					continue
				}
				w.mu.Lock()
				met[req.URL.Path]++
				hit := met[req.URL.Path] <= 2
				w.mu.Unlock()
				if hit {
					return fault(req, next)
				}
			}
			return next.RoundTrip(req)
		}
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "cred"}, StringData: map[string]string{"token": "right"}}
	w.create(secret)
	var all []client.Object
	meet()
	for name := range faults {
		all = append(all, &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: vaultSpec(w.class, "cred", "")},
			&esv1.ClusterSecretStore{ObjectMeta: metav1.ObjectMeta{Name: w.ns + "-" + name}, Spec: vaultSpec(w.class, "cred", w.ns)})
	}
	for _, obj := range all {
		w.create(obj)
	}
	hit := func(when string) {
		t.Helper()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, obj := range all {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(met)), func(path string) bool {
				return strings.HasSuffix(path, "/"+obj.GetName()+"/status") && met[path] > 0
			}) {
				t.Errorf("%s: the status of %s met no fault", when, obj.GetName())
			}
		}
	}
	for _, obj := range all {
		got := w.reports(obj, "True", "Valid", "store validated")
		if len(got.Conditions) != 1 {
			t.Errorf("%s: conditions %+v", obj.GetName(), got.Conditions)
		}
	}
	hit("when they become ready")

	meet()
	for _, obj := range all {
		_, spec, _ := sessions.Parts(obj)
		spec.Provider.Vault.Auth.TokenSecretRef.Name = "nowhere"
		if err := w.c.Update(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	for _, obj := range all {
		w.reports(obj, "False", "ValidationFailed", "Secret "+w.ns+"/nowhere does not exist")
	}
	hit("when they stop to be")
}
