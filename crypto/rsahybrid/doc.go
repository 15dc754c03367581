// Package rsahybrid reads and writes the wire format of Sealed Secrets (bitnami/sealed-secrets v0.40.0, pkg/crypto).
//
// It takes a plaintext, a label and an RSA public key and returns one sealed value, or takes a sealed value apart and
// opens it with the session key that a private key unwrapped. The label is authenticated and not stored: a value that
// is opened under another label than it was sealed under fails like one that was tampered with.
//
// A sealed value is, with every length in bytes:
//
//	uint16be(len(wrapped)) || wrapped || AES-256-GCM(session key, nonce = 12 zero bytes, plaintext, no additional data)
//	wrapped = RSA-OAEP(hash = MGF1 hash = SHA-256, label, 32 random bytes = session key)
//
// The zero nonce is safe because a session key encrypts exactly one message.
package rsahybrid
