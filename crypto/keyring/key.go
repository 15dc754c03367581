package keyring

import (
	"context"
	"crypto/rsa"
	"errors"
	"time"

	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
)

// ErrWrongKey is what a key says about a lock that is not for it, or was damaged.
var ErrWrongKey = errors.New("the sealed value is not for this key")

// TypeRSA is the type of the one lock of a value of the compat format: RSA-OAEP with SHA-256. The locks of the native
// format have the types of age's stanzas.
const TypeRSA = "rsa-oaep-sha256"

// Lock holds the session key of a sealed value for one key. A value has one or several, of which any will do.
type Lock struct {
	// Type says by what the session key is held.
	Type string
	// Args belong to the type; the compat format has none.
	Args []string
	// Body is the wrapped session key.
	Body []byte
	// Label is authenticated with the session key and not part of the value: where a value of the compat format may be
	// opened. It is nil in the native format.
	Label []byte
	// Key is the fingerprint of the key that the lock is for; "" when the value does not say.
	Key string
}

// Key is what opening a value asks of one sealing key. A Pair and an Identity are keys; one that a KMS, an HSM or Vault
// holds can be another. A key is safe for concurrent use.
type Key interface {
	// Fingerprint names the key: "SHA256:" and a hash of its public half.
	Fingerprint() string
	// Fits says, without a private-key operation, whether a lock can be for this key.
	Fits(l Lock) bool
	// Unwrap does one private-key operation: it returns the session key of a lock that fits. It returns ErrWrongKey when
	// the lock is not for this key, and any other error when the key could not be asked.
	Unwrap(ctx context.Context, l Lock) ([]byte, error)
}

// Member is a key with a place in a ring.
type Member interface {
	Key
	// Since is when the key was made. The newest key of a kind is the one that is sealed to.
	Since() time.Time
}

// NewPrivateKey returns the key of an RSA private key that has no certificate, as a backup may hold it.
func NewPrivateKey(key *rsa.PrivateKey) Key {
	return privateKey{key: key, fingerprint: Fingerprint(&key.PublicKey)}
}

type privateKey struct {
	key         *rsa.PrivateKey
	fingerprint string
}

func (p privateKey) Fingerprint() string { return p.fingerprint }
func (p privateKey) Fits(l Lock) bool    { return fitsRSA(p.key, l) }

func (p privateKey) Unwrap(ctx context.Context, l Lock) ([]byte, error) {
	return unwrapRSA(ctx, p.key, l)
}

func fitsRSA(key *rsa.PrivateKey, l Lock) bool {
	return l.Type == TypeRSA && len(l.Body) == key.Size()
}

func unwrapRSA(ctx context.Context, key *rsa.PrivateKey, l Lock) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if l.Type != TypeRSA {
		return nil, ErrWrongKey
	}
	sessionKey, err := rsahybrid.Unwrap(key, key.Size(), l.Body, l.Label)
	if err != nil {
		return nil, ErrWrongKey
	}
	return sessionKey, nil
}
