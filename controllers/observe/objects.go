package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// objects counts all objects when it is asked, so that what is said of them holds also while nothing happens, and has as
// many series however many objects there are.
type objects struct {
	now    func() time.Time
	counts *prometheus.Desc
	ages   *prometheus.Desc

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
}

func newObjects(now func() time.Time) *objects {
	return &objects{
		now: now, states: map[object]state{},
		counts: prometheus.NewDesc("sealbridge_objects", "Objects by kind and status of their condition Ready.", []string{"kind", "ready"}, nil),
		ages: prometheus.NewDesc("sealbridge_externalsecret_staleness_seconds",
			"How long ago the values of each periodically refreshed ExternalSecret were read last, at the time of the scrape: a histogram over all objects.", nil, nil),
	}
}

func (o *objects) set(of object, s state) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.states[of] = s
}

func (o *objects) remove(of object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.states, of)
}

// Describe implements prometheus.Collector.
func (o *objects) Describe(ch chan<- *prometheus.Desc) {
	ch <- o.counts
	ch <- o.ages
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
	for of, s := range o.states {
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
	o.mu.Unlock()
	for c, value := range counts {
		metric, err := prometheus.NewConstMetric(o.counts, prometheus.GaugeValue, value, c.kind, c.ready)
		emit(ch, o.counts, metric, err)
	}
	metric, err := prometheus.NewConstHistogram(o.ages, n, sum, ages)
	emit(ch, o.ages, metric, err)
}

func emit(ch chan<- prometheus.Metric, desc *prometheus.Desc, metric prometheus.Metric, err error) {
	if err != nil {
		metric = prometheus.NewInvalidMetric(desc, err)
	}
	ch <- metric
}
