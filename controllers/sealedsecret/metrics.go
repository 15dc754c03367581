package sealedsecret

import (
	"errors"
	"maps"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/metrics"
)

// metricsNamespace begins the names of the metrics that Sealed Secrets has too; their labels and values are its own.
const metricsNamespace = "sealed_secrets_controller"

// The reasons of unseal_errors_total.
const (
	causeFetch     = "fetch"
	causeStatus    = "status"
	causeUnmanaged = "unmanaged"
	causeUnseal    = "unseal"
	causeUpdate    = "update"
)

// instanceLabel of a SealedSecret is a label of its metric.
const instanceLabel = "app.kubernetes.io/instance"

// meters are the metrics of the controller.
type meters struct {
	operations prometheus.Counter
	requests   prometheus.Counter
	errors     *prometheus.CounterVec
	conditions *conditionInfo
	// omit keeps the names of objects out of the metrics.
	omit bool
}

func newMeters(registry prometheus.Registerer, omit bool) (*meters, error) {
	m := &meters{omit: omit, conditions: newConditionInfo(), errors: prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: metricsNamespace, Name: "unseal_errors_total", Help: "Total number of sealed secret unseal errors by reason",
	}, []string{"reason", "namespace"})}
	var err error
	if m.operations, err = metrics.Register(registry, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "sealbridge_sealedsecret_private_key_operations_total",
		Help: "Private-key operations done to open sealed values.",
	})); err != nil {
		return nil, err
	}
	if m.requests, err = metrics.Register(registry, prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: metricsNamespace, Name: "unseal_requests_total", Help: "Total number of sealed secret unseal requests",
	})); err != nil {
		return nil, err
	}
	return m, errors.Join(metrics.Replace(registry, m.errors), metrics.Replace(registry, m.conditions))
}

// failed counts a run that ended with a reason of the conditions.
func (m *meters) failed(reason, namespace string) {
	cause := causeUnseal
	switch reason {
	case v1alpha1.ReasonNotManaged:
		cause = causeUnmanaged
	case v1alpha1.ReasonUpdateFailed:
		cause = causeUpdate
	}
	m.errors.WithLabelValues(cause, namespace).Inc()
}

// observe shows the condition Synced of an object. Ready says the same, and would make sums over the metric count twice.
func (m *meters) observe(obj *v1alpha1.SealedSecret) {
	condition := find(obj.Status.Conditions, v1alpha1.ConditionSynced)
	if m.omit || condition.Type == "" {
		return
	}
	value := map[metav1.ConditionStatus]int8{metav1.ConditionTrue: 1, metav1.ConditionFalse: -1}[condition.Status]
	m.conditions.set(types.NamespacedName{Namespace: obj.Namespace, Name: obj.Name}, shown{instance: obj.Labels[instanceLabel], value: value})
}

// forget removes what is shown of an object that is gone.
func (m *meters) forget(name types.NamespacedName) { m.conditions.remove(name) }

// forgetNamespace removes the failures of a namespace in which no object is left: namespaces come and go.
func (m *meters) forgetNamespace(namespace string) {
	m.errors.DeletePartialMatch(prometheus.Labels{"namespace": namespace})
}

// conditionInfo shows a condition of each object. The series are made when they are asked for: a Prometheus vector would
// keep half a kilobyte for each.
type conditionInfo struct {
	desc *prometheus.Desc

	mu      sync.Mutex
	objects map[types.NamespacedName]shown
}

// shown is what the metric says of an object.
type shown struct {
	instance string
	value    int8
}

func newConditionInfo() *conditionInfo {
	return &conditionInfo{objects: map[types.NamespacedName]shown{}, desc: prometheus.NewDesc(metricsNamespace+"_condition_info",
		"Current SealedSecret condition status. Values are -1 (false), 0 (unknown or absent), 1 (true)",
		[]string{"namespace", "name", "condition", "ss_app_kubernetes_io_instance"}, nil)}
}

func (c *conditionInfo) set(name types.NamespacedName, s shown) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[name] = s
}

func (c *conditionInfo) remove(name types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.objects, name)
}

// Describe implements prometheus.Collector.
func (c *conditionInfo) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector.
func (c *conditionInfo) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	objects := maps.Clone(c.objects)
	c.mu.Unlock()
	for name, s := range objects {
		metric, err := prometheus.NewConstMetric(c.desc, prometheus.GaugeValue, float64(s.value),
			name.Namespace, name.Name, string(v1alpha1.ConditionSynced), s.instance)
		if err != nil {
			metric = prometheus.NewInvalidMetric(c.desc, err)
		}
		ch <- metric
	}
}
