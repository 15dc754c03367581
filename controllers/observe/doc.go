// Package observe makes metrics of what the reconciler engine and the pool of sessions do.
//
// It takes runs of objects (flow.Observer) and calls of providers (sessions.Observer), and gives back, in a Prometheus
// registry, the metrics of External Secrets Operator under its names, beside histograms and counters of our own. Labels hold
// names of objects, kinds, providers and states, never anything that a store has answered; a series of an object goes with
// the object.
package observe
