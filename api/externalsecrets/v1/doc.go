// Package v1 holds the kinds of external-secrets.io/v1: ExternalSecret, SecretStore, ClusterSecretStore and
// ClusterExternalSecret, the version that is stored.
//
// It takes the manifests of External Secrets Operator 2.9 as they are: the same fields, casing, enum values, printer
// columns, short names, conditions and reasons, plus status.target of our own. It gives typed objects to the controllers
// and, through controller-gen, the schemas in config/crd. Nothing in a spec has a default in the schema: what an empty
// field means is said in its comment and decided in code, so that a GitOps tool finds stored what it applied.
//
// +kubebuilder:object:generate=true
// +groupName=external-secrets.io
package v1
