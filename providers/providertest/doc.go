// Package providertest is the conformance suite that every provider passes: the doc comments of package providers, as tests.
//
// It takes a Harness, which knows how to configure the provider and how to put documents into its backend, and runs one
// subtest for each promise: order and duplicates, error classes, cancellation, concurrency, isolation of identities,
// no identity of the controller's own unless it is lent, nothing leaked (values, goroutines), documents of any size and content.
package providertest
