package sealedsecret_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// writesSecret says whether a request writes a Secret that is no sealing key.
func writesSecret(req *http.Request, body string) bool {
	return req.Method != http.MethodGet && strings.Contains(req.URL.Path, "/secrets") && !strings.Contains(body, "sealed-secrets-key")
}

func writesStatus(req *http.Request) bool {
	return req.Method != http.MethodGet && strings.Contains(req.URL.Path, "/sealedsecrets/") && strings.HasSuffix(req.URL.Path, "/status")
}

func bodyOf(req *http.Request) string {
	if req.GetBody == nil {
		return ""
	}
	b, err := req.GetBody()
	if err != nil {
		return ""
	}
	defer b.Close()
	text, _ := io.ReadAll(b)
	return string(text)
}

func TestAnAPIServerThatFailsIsAskedAgainAndQuotedNever(t *testing.T) {
	t.Parallel()
	answer := func(code int, body string) fault {
		return func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return &http.Response{
				StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
			}, nil
		}
	}
	for name, broken := range map[string]fault{
		"an error that quotes the value": answer(500, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,"message":"`+canary+`"}`),
		"rubbish":                        answer(502, strings.Repeat(canary, 300_000)),
		"success that is none":           answer(200, `{"kind":"`+canary),
		"throttling":                     answer(429, canary),
		"a conflict":                     answer(409, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Conflict","code":409,"message":"`+canary+`"}`),
		"no answer": func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, errors.New("connection refused: " + canary)
		},
		"an answer that is lost after the work was done": func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			return nil, errors.New("connection reset: " + canary)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var ofSecret, ofStatus atomic.Int32
			w.fault = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
				switch {
				case writesSecret(req, bodyOf(req)) && ofSecret.Add(1) <= 2, writesStatus(req) && ofStatus.Add(1) <= 2:
					return broken(req, next)
				default:
					return nil, nil
				}
			}
			w.start()
			w.create(w.object("app", map[string]string{"a": canary, "b": "2"}))
			w.synced("app")
			if diff := cmp.Diff(map[string]string{"a": canary, "b": "2"}, w.data("app")); diff != "" {
				t.Error(diff)
			}
			if ofSecret.Load() < 3 || ofStatus.Load() < 2 { // a status that was written after all is not written again
				t.Errorf("the Secret was written %d times and the status %d times", ofSecret.Load(), ofStatus.Load())
			}
			w.checkCanary()
		})
	}
}

func TestAFailureOfWritingIsReportedAndTheOldSecretStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var down atomic.Bool
	w.fault = func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		if down.Load() && writesSecret(req, "") {
			return nil, errors.New("connection refused: " + canary)
		}
		return nil, nil
	}
	w.start()
	obj := w.object("app", map[string]string{"a": "1"})
	w.create(obj)
	w.synced("app")
	down.Store(true)
	update(w, obj, func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData["a"] = w.sealed(seal.Strict, "app", canary) })
	got := w.failed("app", "the API server could not be reached")
	if got.Status.Conditions[0].Reason != v1alpha1.ReasonUpdateFailed || w.data("app")["a"] != "1" {
		t.Errorf("%+v", got.Status)
	}
	down.Store(false)
	w.synced("app")
	if w.data("app")["a"] != canary {
		t.Error("the new value did not arrive")
	}
	w.checkCanary()
}

func TestWithoutAnyUsableKeyObjectsWaitForOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pair := generate(t, 0)
	broken := w.keySecret("broken", pair)
	broken.Data["tls.key"] = []byte(canary)
	w.create(broken)
	w.keyless = true
	w.start()
	obj := w.object("app", nil)
	obj.Spec.EncryptedData["k"] = w.sealedTo(pair, seal.Strict, w.ns, "app", canary)
	w.create(obj)
	w.failed("app", "there is no sealing key that can be used")
	if w.ring().Len() != 0 {
		t.Error("a new key was made beside a broken one")
	}
	update(w, broken, func(s *corev1.Secret) { s.Data["tls.key"] = pair.PrivateKeyPEM() })
	w.synced("app")
	w.checkCanary()
}
