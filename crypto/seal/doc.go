// Package seal seals and opens single values of SealedSecrets.
//
// It takes a plaintext and where the value may be opened (scope, namespace, name) and returns the text that stands in
// spec.encryptedData, or takes such a text and a keyring and returns the plaintext. It knows no Kubernetes types, so that
// the controller, the CLI and the decryption plugins share it.
package seal
