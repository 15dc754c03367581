// Package sealhttp serves the cluster's sealing certificate over HTTP, and judges and reseals SealedSecrets, as Sealed
// Secrets does.
//
// It takes the current ring of sealing keys and answers GET /v1/cert.pem with the newest key's certificate, GET
// /v1/recipients with the newest recipient of the native format, POST /v1/verify with whether a SealedSecret can be opened,
// POST /v1/rotate with the SealedSecret sealed to the newest key of each value's format, GET /healthz with "ok" and GET
// /readyz with "ok" once the keys were read. It changes nothing, so that every replica
// serves it, and kubeseal reaches it through the API server's service proxy; nobody has to say who he is, so it tells
// nothing but whether all values of what was sent open, and bounds what it does for all callers together.
package sealhttp
