package setup

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sealbridge/sealbridge/controllers/metrics"
)

// registerBuild shows which version runs, as Sealed Secrets does (its own value is always 0).
func registerBuild(registry prometheus.Registerer, version string) error {
	build, err := metrics.Register(registry, prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "sealed_secrets_controller", Name: "build_info", Help: "Build information.",
		ConstLabels: prometheus.Labels{"revision": version},
	}))
	if err != nil {
		return fmt.Errorf("show the version: %w", err)
	}
	build.Set(1)
	if _, err := metrics.Register(registry, collectors.NewBuildInfoCollector()); err != nil {
		return fmt.Errorf("show the version: %w", err)
	}
	return nil
}
