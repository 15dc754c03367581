// Package transit are the sealing keys that Vault's transit engine holds.
//
// It takes where Vault is, which of its keys to use and how to log in, and gives keys for a keyring: one for each version of
// the transit key that Vault still decrypts with. Values are sealed to their public halves without asking Vault; opening one
// is one request. What fails is said in texts for people that are the same for the same cause and hold no token and no value.
//
//	login (auth/kubernetes, with the controller's own ServiceAccount token)
//	  ├─ read   MOUNT/keys/KEY       the versions and their public keys
//	  └─ update MOUNT/decrypt/KEY    one file key
package transit
