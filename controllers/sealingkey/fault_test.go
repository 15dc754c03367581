package sealingkey_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// TestAKeyWhoseCreationFailsOrIsNotHeardOfIsMadeOnce: a second first key would be the one that is sealed to in some replicas
// only, and a key that was made and forgotten is lost.
func TestAKeyWhoseCreationFailsOrIsNotHeardOfIsMadeOnce(t *testing.T) {
	t.Parallel()
	refusal := func(code int, reason string) func(*http.Request, http.RoundTripper) (*http.Response, error) {
		return func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
			body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
			return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
		}
	}
	for name, fault := range map[string]func(*http.Request, http.RoundTripper) (*http.Response, error){
		"too many":   refusal(http.StatusTooManyRequests, "TooManyRequests"),
		"an error":   refusal(http.StatusInternalServerError, "InternalError"),
		"a conflict": refusal(http.StatusConflict, "Conflict"),
		"no answer": func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, errors.New("connection refused")
		},
		"answer lost": func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
			if resp, err := next.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
			return nil, errors.New("connection reset by peer")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cp := controlplane.New(t)
			ns, c := cp.Namespace(t), newClient(t, cp.Config())
			var hand clock
			var left atomic.Int32
			cfg := cp.Config()
			cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
				return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
					if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/secrets") && left.Add(-1) >= 0 {
						return fault(req, next)
					}
					return next.RoundTrip(req)
				})
			})
			left.Store(2)
			keeper, stop := replica(t, cfg, ns, false, renewing(hand.now), withNative)
			both := func(generation int) {
				t.Helper()
				eventually(t, fmt.Sprintf("generation %d of both kinds of keys", generation), func() bool { return size(keeper) == 2*generation })
				if left.Load() > 0 {
					t.Errorf("generation %d: no creation met the fault", generation)
				}
			}
			both(1)
			left.Store(2)
			hand.set(month + time.Minute)
			touch(t, c, ns)
			both(2)
			stop()
			var all corev1.SecretList
			if err := c.List(t.Context(), &all, client.InNamespace(ns)); err != nil {
				t.Fatal(err)
			}
			if len(all.Items) != 4 {
				t.Errorf("%d key Secrets, want two of each kind", len(all.Items))
			}
			// What is in the cluster is what the next process has.
			again, _ := replica(t, cp.Config(), ns, false, renewing(hand.now), withNative)
			eventually(t, "the keys after a restart", func() bool { return size(again) == 4 })
			if newestOf(again) != newestOf(keeper) {
				t.Error("another key is sealed to after a restart")
			}
			if got := len(keySecrets(t, c, ns)); got != 2 {
				t.Errorf("%d key Secrets of the format of Sealed Secrets", got)
			}
		})
	}
}
