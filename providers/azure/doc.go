// Package azure is the provider for secrets, certificates and keys of Azure Key Vault.
//
// It takes *stores.AzureKV, logs in to Entra ID as a service principal, a managed identity or a federated ServiceAccount, and
// gives back sessions that read what a vault holds by the kind and name of an object. It uses Azure's SDK for Go; each request
// goes through one HTTP client that follows no redirect, bounds what it reads and checks what the SDK would take on trust.
package azure
