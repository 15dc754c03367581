// Package kubernetes is the provider whose documents are Secrets of a Kubernetes cluster, this one or another.
//
// It takes *stores.Kubernetes, authenticates with a token, a client certificate, a ServiceAccount of this cluster or what a
// kubeconfig holds of these, and gives back sessions that read Secrets of one namespace by name. It asks the API server with one HTTP request for each
// Secret, because client-go would repeat requests by itself, share connections between identities and read answers of any
// size.
package kubernetes
