// Package gcp is the provider for Google Cloud Secret Manager (spec.provider.gcpsm).
//
// It takes *stores.GCPSM, gets one access token (from the key of a service account, the identity of a ServiceAccount in GKE,
// workload identity federation or Application Default Credentials), and gives back sessions that read secrets over one gRPC
// connection. A session keeps the token that it was opened with and says when it ends (providers.Expirer): nothing is
// renewed behind its back. Whatever a store names is sent to addresses of Google alone, but for the one external address that
// federation may ask for a token.
package gcp
