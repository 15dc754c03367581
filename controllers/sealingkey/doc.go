// Package sealingkey keeps the cluster's sealing keys.
//
// It takes the key Secrets of the controller's own namespace, of two kinds: RSA keys (label
// sealedsecrets.bitnami.com/sealed-secrets-key=active, and the unlabelled one of old releases of Sealed Secrets), and the
// age identities of the native format (label sealbridge.dev/sealing-key=active); and the keys that a Holder has, if there is
// one. It gives out an immutable ring of them, replaced as a whole whenever a key is added, changed or removed. On the leader
// it creates the first key of a kind when there is none at all, and another when the newest is as old as its Renewal says; a
// key Secret that cannot be used is left out with a warning and never stops the others.
package sealingkey
