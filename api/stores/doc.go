// Package stores holds the configuration type of every provider, defined once.
//
// It takes what a user writes under spec.provider of a SecretStore or ClusterSecretStore, in the field names, casing and
// enum values of External Secrets Operator 2.9, and gives the typed value that the provider under providers/<name> reads
// as providers.Config.Spec. A provider that is not built in is kept verbatim in Provider.Other, so that it can be named
// in a condition and survives a round trip. No schema here has a default: an empty field means what its comment says,
// and code decides it, so that what is stored is what was applied.
//
// +kubebuilder:object:generate=true
package stores
