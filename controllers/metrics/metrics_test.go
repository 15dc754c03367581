package metrics_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealbridge/sealbridge/controllers/metrics"
)

func TestAMetricGoesOnWhereAnEarlierOneStopped(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	of := func(help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: help})
	}
	first, err := metrics.Register(registry, of("Things."))
	if err != nil {
		t.Fatal(err)
	}
	second, err := metrics.Register(registry, of("Things."))
	if err != nil || second != first {
		t.Errorf("another counter, %v", err)
	}
	if _, err := metrics.Register(registry, prometheus.NewGauge(prometheus.GaugeOpts{Name: "things_total", Help: "Things."})); err == nil {
		t.Error("a gauge took the name of a counter")
	}
	if _, err := metrics.Register(registry, of("Others.")); err == nil {
		t.Error("a metric took the name of another")
	}
}
