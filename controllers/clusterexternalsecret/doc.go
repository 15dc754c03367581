// Package clusterexternalsecret keeps an ExternalSecret of one spec in each of the namespaces that a ClusterExternalSecret
// selects.
//
// It takes a ClusterExternalSecret, the metadata of all namespaces and the ExternalSecrets that it controls (all from caches),
// creates what is missing, applies what differs and deletes what is in no selected namespace or has another name. It gives
// back the condition Ready and the lists of provisioned and failed namespaces in the status.
//
//	cache: ClusterExternalSecrets, ExternalSecrets, metadata of namespaces
//	   │
//	   ▼
//	release ─► select ─► observe ─► prune ─► provision ─► free namespaces ─► judge
//	        (plan.go)                      (provision.go)  (takeover.go)
//
// What is selected is found by owner reference, not by what the status says, so that a controller which is killed anywhere
// converges. It sets no finalizer: ExternalSecrets go with their owner by the garbage collector. Those that External
// Secrets Operator has set are removed.
package clusterexternalsecret
