// Package vault is the provider for KV secrets engines, versions 1 and 2, of HashiCorp Vault and what speaks its API.
//
// It takes *stores.Vault, logs in by one of its methods (with an identity of a cluster or cloud, too), and gives back sessions that read
// documents by path. A session logs in once, knows when its login ends (providers.Expirer) and revokes the token that it
// was given when it is closed. It speaks the HTTP API itself (docs/design/0003-vault-over-http.md): five requests, one
// attempt each.
package vault
