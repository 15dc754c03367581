package rsahybrid

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	sessionKeySize = 32
	lengthSize     = 2
	tagSize        = 16

	// MinWrapped is the size of the smallest wrapped session key, which is that of the RSA modulus: 1024 bits. crypto/rsa
	// refuses smaller keys.
	MinWrapped = 1024 / 8
	// MaxWrapped is the size of the largest: 16384 bits. Larger keys would cost seconds an operation.
	MaxWrapped = 16384 / 8

	// MaxPlaintext bounds what one value holds. Kubernetes stops at 1 MiB a Secret; the deprecated spec.data of a
	// SealedSecret holds a whole Secret as JSON, where 1 MiB of data is 1.4 MiB of base64.
	MaxPlaintext = 2 << 20

	// MaxSize is the size of the largest sealed value that Parse accepts.
	MaxSize = lengthSize + MaxWrapped + MaxPlaintext + tagSize
)

// What can be wrong with a sealed value. None says more about a value that does not open than that it does not.
var (
	// ErrTooShort: the value ends before its own length says, or has no room for an authenticated plaintext.
	ErrTooShort = errors.New("sealed value is too short; it was cut off")
	// ErrTooLarge: the value is larger than anything a Secret can hold.
	ErrTooLarge = errors.New("sealed value is too large for a Secret")
	// ErrMalformed: the value does not begin with the wrapped session key of an RSA key.
	ErrMalformed = errors.New("not a sealed value of the Sealed Secrets format")
	// ErrDecrypt: wrong key, wrong label (namespace, name or scope), or changed bytes; which of them is not said.
	ErrDecrypt = errors.New("cannot decrypt the sealed value")
)

// Envelope is a sealed value taken apart. It shares memory with the bytes it was parsed from.
type Envelope struct {
	wrapped []byte
	sealed  []byte
}

// Parse takes a sealed value apart without any key. It returns ErrTooShort, ErrTooLarge or ErrMalformed.
func Parse(value []byte) (Envelope, error) {
	if len(value) > MaxSize {
		return Envelope{}, ErrTooLarge
	}
	if len(value) < lengthSize {
		return Envelope{}, ErrTooShort
	}
	size := int(binary.BigEndian.Uint16(value))
	if size < MinWrapped || size > MaxWrapped {
		return Envelope{}, ErrMalformed
	}
	if len(value) < lengthSize+size+tagSize {
		return Envelope{}, ErrTooShort
	}
	if len(value) > lengthSize+size+tagSize+MaxPlaintext {
		return Envelope{}, ErrTooLarge
	}
	return Envelope{wrapped: value[lengthSize : lengthSize+size], sealed: value[lengthSize+size:]}, nil
}

// Wrapped returns the wrapped session key. Only a key whose modulus has exactly this many bytes can unwrap it.
func (e Envelope) Wrapped() []byte { return e.wrapped }

// Decrypt returns the plaintext (not nil, also when it is empty) under the session key that Unwrap returned, or
// ErrDecrypt. Once a key has unwrapped the session key, a failure here is final: no other key opens the value.
func (e Envelope) Decrypt(sessionKey []byte) ([]byte, error) {
	aead, err := newAEAD(sessionKey)
	if err != nil {
		return nil, ErrDecrypt
	}
	plaintext, err := aead.Open([]byte{}, make([]byte, aead.NonceSize()), e.sealed, nil)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plaintext, nil
}

// Unwrap does one private-key operation: it returns the session key of a wrapped one, or ErrDecrypt. size is the size
// of the key's modulus in bytes; a wrapped key of another size is refused without an operation, as an encryption under
// this key always has exactly that size.
func Unwrap(key crypto.Decrypter, size int, wrapped, label []byte) ([]byte, error) {
	if len(wrapped) != size {
		return nil, ErrDecrypt
	}
	sessionKey, err := key.Decrypt(rand.Reader, wrapped, &rsa.OAEPOptions{Hash: crypto.SHA256, Label: label})
	if err != nil || len(sessionKey) != sessionKeySize {
		return nil, ErrDecrypt
	}
	return sessionKey, nil
}

// Seal encrypts a plaintext to a public key under a label, with a fresh session key from random (crypto/rand.Reader
// outside of tests). It returns ErrTooLarge when the plaintext is over MaxPlaintext, and an error when the key is
// smaller or larger than the format's bounds or random fails.
func Seal(random io.Reader, key *rsa.PublicKey, label, plaintext []byte) ([]byte, error) {
	if len(plaintext) > MaxPlaintext {
		return nil, ErrTooLarge
	}
	if size := key.Size(); size < MinWrapped || size > MaxWrapped {
		return nil, fmt.Errorf("seal to an RSA key of %d bits: the key must have %d to %d", size*8, MinWrapped*8, MaxWrapped*8)
	}
	sessionKey := make([]byte, sessionKeySize)
	defer clear(sessionKey)
	if _, err := io.ReadFull(random, sessionKey); err != nil {
		return nil, fmt.Errorf("draw a session key: %w", err)
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), random, key, sessionKey, label)
	if err != nil {
		return nil, fmt.Errorf("wrap the session key: %w", err)
	}
	aead, err := newAEAD(sessionKey)
	if err != nil {
		return nil, err
	}
	out := make([]byte, lengthSize, lengthSize+len(wrapped)+len(plaintext)+tagSize)
	binary.BigEndian.PutUint16(out, uint16(len(wrapped))) //nolint:gosec // bounded by MaxWrapped above
	out = append(out, wrapped...)
	return aead.Seal(out, make([]byte, aead.NonceSize()), plaintext, nil), nil //nolint:gosec // G407: the format has a zero nonce; the key is used once
}

func newAEAD(sessionKey []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(sessionKey)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
