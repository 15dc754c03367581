// Package keyring holds the cluster's sealing keys: key pairs and the immutable, ordered set of them.
//
// It takes certificates and private keys in PEM, as kubernetes.io/tls Secrets hold them, or generates a new pair the way
// Sealed Secrets does, and returns rings that answer which keys may open a value, most likely first. A ring never
// changes: whoever adds or retires a key builds another, so readers need no lock.
package keyring
