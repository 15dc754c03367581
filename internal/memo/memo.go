// Package memo remembers what was sealed, so that sealing the same again can leave the ciphertext as it is.
//
// It takes a secret key and the tags that were stored earlier, and answers whether a ciphertext holds a value or is sealed
// to a key. A tag is an HMAC-SHA-256 over ciphertext and value under a key that never leaves the user's machine: neither a
// reader of Git, who has no tags, nor whoever finds the tags without the key can test a guess of a value.
package memo

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

const (
	// KeySize is the size of a key in bytes.
	KeySize = 32
	// TagSize is the size of one tag in bytes.
	TagSize = sha256.Size
	// MaxTags bounds how many tags are kept; older ones are forgotten first.
	MaxTags = 100_000
)

// ErrKey says that the key has not KeySize bytes.
var ErrKey = errors.New("the key of the memo has not the right size")

// Memo is a set of tags. It is for one goroutine.
type Memo struct {
	key   []byte
	known map[[TagSize]byte]bool
	added []byte
}

// New returns the memo with the tags that an earlier one returned; a torn tag at the end is left out.
func New(key, stored []byte) (*Memo, error) {
	if len(key) != KeySize {
		return nil, ErrKey
	}
	m := &Memo{key: bytes.Clone(key), known: map[[TagSize]byte]bool{}}
	for ; len(stored) >= TagSize; stored = stored[TagSize:] {
		m.known[[TagSize]byte(stored)] = true
	}
	return m, nil
}

// Holds says whether a ciphertext is remembered to hold a value, sealed to the keys that recipient names for a place.
func (m *Memo) Holds(recipient, place, text string, value []byte) bool {
	return m.known[m.tag("value", []byte(recipient), []byte(place), []byte(text), value)]
}

// Remember notes that a ciphertext holds a value, to whom it is sealed, and for which place.
func (m *Memo) Remember(recipient, place, text string, value []byte) {
	m.add(m.tag("value", []byte(recipient), []byte(place), []byte(text), value))
	m.RememberTo(recipient, text)
}

// IsTo says whether a ciphertext is remembered to be sealed to the keys that recipient names.
func (m *Memo) IsTo(recipient, text string) bool {
	return m.known[m.tag("recipient", []byte(recipient), []byte(text))]
}

// RememberTo notes to whom a ciphertext is sealed.
func (m *Memo) RememberTo(recipient, text string) {
	m.add(m.tag("recipient", []byte(recipient), []byte(text)))
}

// Added returns the tags to store behind those that were, and forgets that they are new.
func (m *Memo) Added() []byte {
	out := m.added
	m.added = nil
	return out
}

func (m *Memo) add(tag [TagSize]byte) {
	if !m.known[tag] {
		m.known[tag] = true
		m.added = append(m.added, tag[:]...)
	}
}

// tag is unambiguous: every part is preceded by its length.
func (m *Memo) tag(kind string, parts ...[]byte) [TagSize]byte {
	mac := hmac.New(sha256.New, m.key)
	for _, part := range append([][]byte{[]byte(kind)}, parts...) {
		_, _ = mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part)))) // a hash takes everything
		_, _ = mac.Write(part)
	}
	return [TagSize]byte(mac.Sum(nil))
}
