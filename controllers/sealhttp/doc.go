// Package sealhttp serves the cluster's sealing certificate over HTTP, as Sealed Secrets does.
//
// It takes the current ring of sealing keys and answers GET /v1/cert.pem with the newest key's certificate and GET
// /healthz with "ok". It holds no state and changes nothing, so that every replica serves it, and kubeseal reaches it
// through the API server's service proxy.
package sealhttp
