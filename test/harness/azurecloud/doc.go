// Package azurecloud is a small Azure on loopback: Entra ID's token endpoints, the endpoint for managed identities, and key
// vaults that answer as the documented API of Key Vault does.
//
// No emulator of Entra ID exists, and the one of Key Vault (Lowkey Vault) could not be had from Maven Central. What is
// here speaks HTTPS under the real names: a program reaches it through HTTPS_PROXY and trusts it by SSL_CERT_FILE, so that it runs
// unmodified and with its usual settings. Entra ID verifies what the real one verifies: client secrets, assertions that are signed
// with a registered certificate, and tokens of ServiceAccounts against the keys of their issuer. Vaults verify who issued a token
// and for what, and what its identity may do.
package azurecloud
