package observe

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/metrics"
)

// The kinds that are observed, as the metrics of External Secrets Operator begin.
const (
	externalSecret        = "externalsecret"
	clusterExternalSecret = "clusterexternalsecret"
	secretStore           = "secretstore"
	clusterSecretStore    = "clustersecretstore"
)

func kinds() []string {
	return []string{externalSecret, clusterExternalSecret, secretStore, clusterSecretStore}
}

// Metrics are all metrics of the kinds of external-secrets.io. It implements flow.Observer and sessions.Observer.
type Metrics struct {
	// omit leaves out what has a series for each object.
	omit bool

	latency prometheus.Histogram
	objects *objects

	apiCalls  *prometheus.CounterVec
	calls     *prometheus.HistogramVec
	documents *prometheus.CounterVec
	batched   *prometheus.CounterVec
}

// New returns Metrics in a registry, where they count on from an earlier one's, and show none of its objects. With omit there is no
// series for single objects. It fails when another metric has one of the names.
func New(registry prometheus.Registerer, omit bool) (*Metrics, error) {
	m := &Metrics{omit: omit}
	var failed []error
	counter := func(subsystem, name, help string, labels ...string) *prometheus.CounterVec {
		v, err := metrics.Register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{Subsystem: subsystem, Name: name, Help: help}, labels))
		failed = append(failed, err)
		return v
	}
	m.apiCalls = counter(externalSecret, "provider_api_calls_count", "Calls of the API of a provider.", "provider", "call", "status")
	m.documents = counter("sealbridge", "documents_total",
		"Documents that ExternalSecrets asked for: fetched from the backend, joined to a call that was under way, or reused from a short while before; and those that were fetched ahead.",
		"provider", "source")
	m.batched = counter("sealbridge", "batched_documents_total",
		"Documents that were asked for together with others, of backends that answer several in one request.", "provider")
	var err error
	m.calls, err = metrics.Register(registry, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Subsystem: "sealbridge", Name: "provider_call_duration_seconds", Help: "How long calls of a provider took: open (the login), fetch, check.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 13),
	}, []string{"provider", "call", "status"}))
	failed = append(failed, err)
	m.latency, err = metrics.Register(registry, prometheus.NewHistogram(prometheus.HistogramOpts{
		Subsystem: "sealbridge_externalsecret", Name: "refresh_latency_seconds",
		Help:    "Time from when a refresh fell due, or the ExternalSecret was made, until it was done.",
		Buckets: prometheus.ExponentialBuckets(0.05, 2.5, 12),
	}))
	failed = append(failed, err)
	m.objects = newObjects(time.Now)
	failed = append(failed, metrics.Replace(registry, m.objects))
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	return m, nil
}

// subject returns the kind and conditions of an object; an empty kind for one that is not observed here.
func subject(obj client.Object) (string, []esv1.Condition) {
	switch o := obj.(type) {
	case *esv1.ExternalSecret:
		return externalSecret, o.Status.Conditions
	case *esv1.ClusterExternalSecret:
		return clusterExternalSecret, o.Status.Conditions
	case *esv1.SecretStore:
		return secretStore, o.Status.Conditions
	case *esv1.ClusterSecretStore:
		return clusterSecretStore, o.Status.Conditions
	default:
		return "", nil
	}
}

// Ran implements flow.Observer.
func (m *Metrics) Ran(obj client.Object, o flow.Observation) {
	kind, list := subject(obj)
	if kind == "" {
		return
	}
	name, namespace := obj.GetName(), obj.GetNamespace()
	ready := conditions.Ready(list).Status
	failed := o.Outcome.State != flow.Ready && ready == metav1.ConditionFalse
	m.objects.ran(object{kind: kind, name: types.NamespacedName{Namespace: namespace, Name: name}},
		state{ready: ready, synced: o.Synced, took: o.Took, unnamed: m.omit}, failed)
	if !o.Due.IsZero() {
		m.latency.Observe(max(0, time.Since(o.Due).Seconds()))
	}
}

// Gone implements flow.Observer.
func (m *Metrics) Gone(obj client.Object, name types.NamespacedName) {
	kind, _ := subject(obj)
	if kind == "" {
		return
	}
	m.objects.remove(object{kind: kind, name: name})
}
