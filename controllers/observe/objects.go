package observe

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// objects is what is said of objects, made when it is asked for: so it holds also while nothing happens, and an object costs
// its state and not the half a kilobyte that each series of a Prometheus vector keeps. There are series that count all
// objects, as many however many objects there are, and those of single objects, as External Secrets Operator has them.
type objects struct {
	now          func() time.Time
	counts, ages *prometheus.Desc
	// Of single objects: syncs and failures of ExternalSecrets, conditions and durations by kind.
	syncs, failures       *prometheus.Desc
	conditions, durations map[string]*prometheus.Desc

	mu     sync.Mutex
	states map[object]state
}

type object struct {
	kind string
	name types.NamespacedName
}

type state struct {
	ready metav1.ConditionStatus
	// synced is when the values of the object were last known to be true; zero where that says nothing.
	synced time.Time
	// took is how long the last run took.
	took time.Duration
	// runs counts them, and failures those that failed.
	runs, failures uint32
	// unnamed has no series of its own.
	unnamed bool
}

func newObjects(now func() time.Time) *objects {
	o := &objects{
		now: now, states: map[object]state{}, conditions: map[string]*prometheus.Desc{}, durations: map[string]*prometheus.Desc{},
		counts: prometheus.NewDesc("sealbridge_objects", "Objects by kind and status of their condition Ready.", []string{"kind", "ready"}, nil),
		ages: prometheus.NewDesc("sealbridge_externalsecret_staleness_seconds",
			"How long ago the values of each periodically refreshed ExternalSecret were read last, at the time of the scrape: a histogram over all objects.", nil, nil),
	}
	of := func(kind, name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName("", kind, name), help, append([]string{"name", "namespace"}, labels...), nil)
	}
	o.syncs = of(externalSecret, "sync_calls_total", "Reconciliations of an ExternalSecret.")
	o.failures = of(externalSecret, "sync_calls_error", "Reconciliations of an ExternalSecret that failed.")
	for _, kind := range kinds() {
		o.conditions[kind] = of(kind, "status_condition", "1 for the status that a condition of the object has, 0 for the other.", "condition", "status")
		o.durations[kind] = of(kind, "reconcile_duration", "Nanoseconds that the last reconciliation of the object took.")
	}
	return o
}

// ran notes a run of an object that left it in a state; failed says that the run failed.
func (o *objects) ran(of object, s state, failed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.states[of]
	s.runs, s.failures = before.runs+1, before.failures
	if failed {
		s.failures++
	}
	o.states[of] = s
}

func (o *objects) remove(of object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.states, of)
}

// Describe implements prometheus.Collector.
func (o *objects) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{o.counts, o.ages, o.syncs, o.failures} {
		ch <- desc
	}
	for _, kind := range kinds() {
		ch <- o.conditions[kind]
		ch <- o.durations[kind]
	}
}

// bounds are the upper bounds of the ages, in seconds.
func bounds() []float64 {
	return []float64{30, 60, 120, 300, 600, 900, 1800, 3600, 2 * 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600}
}

// Collect implements prometheus.Collector.
func (o *objects) Collect(ch chan<- prometheus.Metric) {
	type count struct{ kind, ready string }
	counts, ages := map[count]float64{}, map[float64]uint64{}
	for _, bound := range bounds() {
		ages[bound] = 0
	}
	var sum float64
	var n uint64
	now := o.now()
	o.mu.Lock()
	states := maps.Clone(o.states)
	o.mu.Unlock()
	for of, s := range states {
		o.collectOne(ch, of, s)
		ready := s.ready
		if ready == "" {
			ready = metav1.ConditionUnknown
		}
		counts[count{of.kind, string(ready)}]++
		if of.kind != externalSecret || s.synced.IsZero() {
			continue
		}
		age := max(0, now.Sub(s.synced).Seconds())
		sum, n = sum+age, n+1
		for bound := range ages {
			if age <= bound {
				ages[bound]++
			}
		}
	}
	for c, value := range counts {
		emit(ch, o.counts, prometheus.GaugeValue, value, c.kind, c.ready)
	}
	metric, err := prometheus.NewConstHistogram(o.ages, n, sum, ages)
	if err != nil {
		metric = prometheus.NewInvalidMetric(o.ages, err)
	}
	ch <- metric
}

// collectOne gives the series of one object.
func (o *objects) collectOne(ch chan<- prometheus.Metric, of object, s state) {
	if s.unnamed {
		return
	}
	name, namespace := of.name.Name, of.name.Namespace
	if of.kind == externalSecret {
		emit(ch, o.syncs, prometheus.CounterValue, float64(s.runs), name, namespace)
		emit(ch, o.failures, prometheus.CounterValue, float64(s.failures), name, namespace) // is there, with 0, from the first run
	}
	emit(ch, o.durations[of.kind], prometheus.GaugeValue, float64(s.took.Nanoseconds()), name, namespace)
	for _, status := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse} {
		value := 0.0
		if status == s.ready {
			value = 1
		}
		emit(ch, o.conditions[of.kind], prometheus.GaugeValue, value, name, namespace, string(esv1.ConditionReady), string(status))
	}
}

func emit(ch chan<- prometheus.Metric, desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
	metric, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(desc, err)
	}
	ch <- metric
}
