// Package gcp is Google Cloud, as far as Secret Manager and getting tokens for it go, on loopback.
//
// It takes secrets, service accounts and who may what, and answers as Google's APIs do: Secret Manager by the interface of its
// published protocol, over gRPC and TLS, the exchange of keys, of tokens of ServiceAccounts and of signed requests of AWS for
// access tokens, all verified, the signing of tokens for service accounts, what those ask who verify such tokens (keys, service
// accounts and machines), and the metadata server. Programs reach it unmodified, by their environment (Env): a proxy to
// which they connect for each host of googleapis.com, a certificate authority of its own, and the address of the metadata server. Any other
// host is refused and remembered. There is no emulator of Google's for this; what it answers in words is taken from Google's documentation.
package gcp
