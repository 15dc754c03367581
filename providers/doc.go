// Package providers is the contract between SealBridge and the places where secret values live.
//
// It takes a store's configuration and an Env (what the host lends to a store: credentials, tokens, CA bundles), and
// gives back a Session that fetches documents by key. A provider under providers/<name> implements Provider and
// Session and whatever optional capability its backend has; everything that is the same for all of them (pooling,
// caching, coalescing, retries, limits, timeouts, metrics) lives in controllers/sessions and nowhere else.
//
// Only the standard library is imported here, so that the contract survives API versions and works in the CLI.
package providers
