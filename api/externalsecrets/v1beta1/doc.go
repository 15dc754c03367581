// Package v1beta1 holds the kinds of external-secrets.io/v1beta1: ExternalSecret, SecretStore,
// ClusterSecretStore and ClusterExternalSecret.
//
// It takes the manifests that were written for External Secrets Operator before its v1. The version is served beside v1,
// converted by changing apiVersion alone, so both have one schema: the one of v1, which accepts everything that v1beta1
// did. A field that one version knew and the other did not would be lost when a client of the other writes the object.
//
// +kubebuilder:object:generate=true
// +groupName=external-secrets.io
package v1beta1
