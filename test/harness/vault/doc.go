// Package vault runs a real Vault server on loopback, from bin/vault in its in-memory development mode, unsealed, with
// a random root token.
//
// Tests call New, which starts one server for the test binary the first time it is asked, and isolate by mount (KV);
// they pass their TestMain through Run. Commands call Start and Stop. Out come the address, the token and verbs for
// what tests set up: KV engines, policies, tokens, AppRole and Kubernetes logins, values, and the server's own audit
// log as a list of requests. Nothing outlives the process that started it (package process).
package vault
