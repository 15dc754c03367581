// Package agebox reads and writes the native format of sealed values: an age file to post-quantum recipients, or to RSA keys
// that a KMS or Vault holds.
//
// It takes a plaintext, where it may be opened, and any number of recipients, and returns one sealed value; or takes a
// sealed value apart into its locks, of which each holds the file key for one recipient, and opens it with the file key
// that an identity unwrapped. Where a value may be opened stands inside the sealed plaintext, so that a value that is
// opened elsewhere fails like one that was tampered with.
//
// A sealed value is a binary age file (age-encryption.org/v1) whose header holds
//
//	-> sealbridge.dev/keys FINGERPRINT...    which keys the locks are for, in their order; other tools skip it
//	-> mlkem768x25519 ...                    one lock for each recipient, 1 to 32, and none of another type; or so for held keys
//	-> sealbridge.dev/rsa-oaep-sha256 ...
//
// and whose plaintext is, with every length in bytes:
//
//	"sealbridge.dev/1" || scope (1) || len(namespace) (1) || namespace || len(name) (1) || name || value
//
// docs/spec/sealed-formats.md is the specification, testdata/*vectors.json are values for other implementations.
package agebox
