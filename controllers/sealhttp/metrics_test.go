package sealhttp_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealbridge/sealbridge/controllers/sealhttp"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

func TestRequestsAreCountedByPathCodeAndMethod(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	handler := server(t, keys{keyring.New(generate(t, 0))}, sealhttp.Options{Metrics: registry, Rate: 1, Burst: new(1)}).Handler()
	send := func(method, path string) {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(canary)))
	}
	send(http.MethodGet, "/v1/cert.pem")
	send(http.MethodPost, "/v1/verify") // no SealedSecret
	send(http.MethodPost, "/v1/rotate")
	send(http.MethodGet, "/"+canary)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	requests, timed := map[string]float64{}, map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			switch f.GetName() {
			case "sealed_secrets_controller_http_requests_total":
				requests[labels["method"]+" "+labels["path"]+" "+labels["code"]] = m.GetCounter().GetValue()
			case "sealed_secrets_controller_http_request_duration_seconds":
				timed[labels["method"]+" "+labels["path"]] = m.GetHistogram().GetSampleCount()
			default:
				t.Errorf("a metric named %s", f.GetName())
			}
		}
	}
	want := map[string]float64{"get /v1/cert.pem 200": 1, "post /v1/verify 500": 1, "post /v1/rotate 500": 1}
	if diff := cmp.Diff(want, requests); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]uint64{"get /v1/cert.pem": 1, "post /v1/verify": 1, "post /v1/rotate": 1}, timed); diff != "" {
		t.Error(diff)
	}
}

// In a bubble, so that the requests come at one moment.
func TestTheLimitOfRequestsIsWhatTheOptionsSay(t *testing.T) {
	t.Parallel()
	ring := keyring.New(generate(t, 0))
	for name, test := range map[string]struct {
		options  sealhttp.Options
		answered int
	}{
		"as it is when nothing is said": {sealhttp.Options{}, 3},
		"five more":                     {sealhttp.Options{Rate: 1, Burst: new(5)}, 6},
		"none more":                     {sealhttp.Options{Rate: 1, Burst: new(0)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				handler, codes := server(t, keys{ring}, test.options).Handler(), map[int]int{}
				for range 10 {
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/verify", http.NoBody))
					codes[w.Code]++
				}
				want := map[int]int{http.StatusInternalServerError: test.answered, http.StatusTooManyRequests: 10 - test.answered}
				if diff := cmp.Diff(want, codes); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestTheDeprecatedFormatCanBeRefused(t *testing.T) {
	t.Parallel()
	pair := generate(t, 0)
	body := document("name: db, namespace: ns", "  encryptedData: {}\n  data: "+sealed(t, pair, seal.Strict, "ns", "db")+"\n")
	for path, code := range map[string]int{"/v1/verify": 409, "/v1/rotate": 500} {
		w := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
		server(t, keys{keyring.New(pair)}, sealhttp.Options{RefuseDeprecated: true}).Handler().ServeHTTP(w, request)
		if w.Code != code || !strings.Contains(w.Body.String(), "seal again as spec.encryptedData") {
			t.Errorf("%s: %d %q", path, w.Code, w.Body.String())
		}
	}
}
