// Package metrics registers the controllers' own metrics.
//
// It takes a collector and a registry, and returns the collector that counts from now on: the new one, or the one that an
// earlier controller of the same process registered, so that a controller can be made more than once. What has series for
// objects takes the place of an earlier one: nobody tells it of those that went meanwhile. What is counted is the business of
// each controller.
package metrics

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Register adds a collector to a registry and returns it. Where the registry has one of the same names, kind and labels,
// it returns that one, which goes on where it stopped. It fails when another metric has one of the names.
func Register[T prometheus.Collector](registry prometheus.Registerer, collector T) (T, error) {
	err := registry.Register(collector)
	if err == nil {
		return collector, nil
	}
	var taken prometheus.AlreadyRegisteredError
	if errors.As(err, &taken) {
		if earlier, ok := taken.ExistingCollector.(T); ok {
			return earlier, nil
		}
	}
	var none T
	return none, fmt.Errorf("register a metric: %w", err)
}

// Replace adds a collector to a registry, in the place of one of the same names, kind and labels. It fails when another metric
// has one of the names.
func Replace(registry prometheus.Registerer, collector prometheus.Collector) error {
	registry.Unregister(collector)
	if err := registry.Register(collector); err != nil {
		return fmt.Errorf("register a metric: %w", err)
	}
	return nil
}
