// Package googleidentity logs in to Google for the providers that need an identity there.
//
// Login takes what a store names (the key of a service account, a ServiceAccount of a cluster of GKE, workload identity
// federation, or nothing for the controller's own identity) and gives back an access token, or a token (JWT) in which a service
// account says who it is, once: nothing is kept or renewed here. Whatever a store names is sent to addresses of Google alone, but
// for the one external address that federation may ask for a token. Its errors are made from the status and the code of Google's
// answer and never from its text, and of a class of package providers.
package googleidentity
