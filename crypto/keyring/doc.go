// Package keyring holds the cluster's sealing keys: RSA key pairs of the compat format, age identities of the native one,
// keys that somebody else holds, and the immutable, ordered set of them.
//
// It takes certificates and private keys in PEM, as kubernetes.io/tls Secrets hold them, and identity files of age, or
// generates new keys, and returns rings that answer which keys may open a value, most likely first. A ring never changes:
// whoever adds or retires a key builds another, so readers need no lock.
package keyring
