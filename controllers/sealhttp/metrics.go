package sealhttp

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sealbridge/sealbridge/controllers/metrics"
)

// metricsNamespace begins the names of the metrics; they and their labels are those of Sealed Secrets.
const metricsNamespace = "sealed_secrets_controller"

// meters are the metrics of the server.
type meters struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMeters(registry prometheus.Registerer) (*meters, error) {
	requests, err := metrics.Register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Name: "http_requests_total", Help: "A counter for requests to the wrapped handler.",
	}, []string{"path", "code", "method"}))
	if err != nil {
		return nil, err
	}
	duration, err := metrics.Register(registry, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: metricsNamespace, Name: "http_request_duration_seconds", Help: "A histogram of latencies for requests.",
		Buckets: prometheus.DefBuckets,
	}, []string{"path", "method"}))
	if err != nil {
		return nil, err
	}
	return &meters{requests: requests, duration: duration}, nil
}

// counted counts the requests to a path and times their answers.
func (m *meters) counted(path string, h http.Handler) http.Handler {
	label := prometheus.Labels{"path": path}
	return promhttp.InstrumentHandlerDuration(m.duration.MustCurryWith(label),
		promhttp.InstrumentHandlerCounter(m.requests.MustCurryWith(label), h))
}
