package keyring

import (
	"context"
	"crypto/rsa"
	"errors"
	"time"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
)

var (
	// ErrWrongKey is what a key says about a lock that is not for it, or was damaged.
	ErrWrongKey = errors.New("the sealed value is not for this key")
	// ErrRetired is what a key says that its holder has taken out of use: asking again changes nothing.
	ErrRetired = errors.New("the sealing key was taken out of use")
)

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
// holds is a Remote. A key is safe for concurrent use.
type Key interface {
	// Fingerprint names the key: "SHA256:" and a hash of its public half.
	Fingerprint() string
	// Fits says, without a private-key operation, whether a lock can be for this key.
	Fits(l Lock) bool
	// Unwrap does one private-key operation: it returns the session key of a lock that fits. It returns ErrWrongKey when
	// the lock is not for this key, an error that matches ErrRetired when it is for a key that is out of use, and any other
	// error when the key could not be asked now, which says nothing of the lock. The texts of the last two are for people,
	// and are the same for the same cause.
	Unwrap(ctx context.Context, l Lock) ([]byte, error)
}

// Member is a key with a place in a ring.
type Member interface {
	Key
	// Since is when the key was made. The newest key of a kind is the one that is sealed to.
	Since() time.Time
}

// Remote is a key whose private half somebody else holds and never gives: a KMS, an HSM, Vault. Its Unwrap is a request,
// which may take seconds, fail and be refused.
type Remote interface {
	Member
	// Recipient is the public half, which values are sealed to without asking the holder.
	Recipient() *agebox.Recipient
	// Holder says in a few words, for people, who holds the key.
	Holder() string
}

// NewPrivateKey returns the key of an RSA private key that has no certificate, as a backup may hold it. It opens values of
// the compat format and, when it is the export of a Remote's, of the native one.
func NewPrivateKey(key *rsa.PrivateKey) Key {
	return privateKey{key: key, fingerprint: Fingerprint(&key.PublicKey)}
}

type privateKey struct {
	key         *rsa.PrivateKey
	fingerprint string
}

func (p privateKey) Fingerprint() string { return p.fingerprint }

func (p privateKey) Fits(l Lock) bool {
	return fitsRSA(p.key, l) || l.Type == agebox.HeldLockType && l.Key == p.fingerprint
}

func (p privateKey) Unwrap(_ context.Context, l Lock) ([]byte, error) {
	if l.Type != agebox.HeldLockType {
		return unwrapRSA(p.key, l)
	}
	fileKey, err := agebox.UnwrapHeld(p.key, agebox.Lock{Type: l.Type, Args: l.Args, Body: l.Body, Key: l.Key})
	if err != nil {
		return nil, ErrWrongKey
	}
	return fileKey, nil
}

func fitsRSA(key *rsa.PrivateKey, l Lock) bool {
	return l.Type == TypeRSA && len(l.Body) == key.Size()
}

func unwrapRSA(key *rsa.PrivateKey, l Lock) ([]byte, error) {
	if l.Type != TypeRSA {
		return nil, ErrWrongKey
	}
	sessionKey, err := rsahybrid.Unwrap(key, key.Size(), l.Body, l.Label)
	if err != nil {
		return nil, ErrWrongKey
	}
	return sessionKey, nil
}
