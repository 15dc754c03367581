package agebox

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"
)

const (
	// LockType is the type of a lock: HPKE with the hybrid KEM of ML-KEM-768 and X25519.
	LockType = "mlkem768x25519"
	// keysType is the type of the stanza that says which keys the locks are for.
	keysType = "sealbridge.dev/keys"

	magic       = "age-encryption.org/"
	footer      = "\n---"
	fileKeySize = 16
	nonceSize   = 16
	tagSize     = 16
	chunkSize   = 64 << 10
	// shareSize is of an ML-KEM-768 ciphertext and an X25519 share, lockSize of a file key with its tag.
	shareSize = 1088 + 32
	lockSize  = fileKeySize + tagSize

	// MaxHeader bounds the header, so that no more than that is read before a key has spoken for a value.
	MaxHeader = 64 << 10
	// MaxPlaintext bounds what one value holds; it is that of the compat format.
	MaxPlaintext = 2 << 20
	// maxInside is the largest sealed plaintext.
	maxInside = MaxPlaintext + len(domain) + 3 + 2*255
	// MaxSize is the size of the largest value that Parse accepts.
	MaxSize = MaxHeader + nonceSize + maxInside + (maxInside/chunkSize+1)*tagSize
)

// What can be wrong with a sealed value. None says more about a value that does not open than that it does not.
var (
	// ErrTooLarge: the value or its header is larger than the format allows.
	ErrTooLarge = errors.New("sealed value is too large for a Secret")
	// ErrMalformed: no age file, or one that is no sealed value: its locks are of another type than ours, or mixed.
	ErrMalformed = errors.New("not a sealed value of the native format (an age file to post-quantum recipients, or to keys that a KMS or Vault holds)")
	// ErrVersion: an age file of a version that came later.
	ErrVersion = errors.New("an age file of another version than age-encryption.org/v1")
	// ErrDecrypt: wrong key, wrong place, or changed bytes; which of them is not said.
	ErrDecrypt = errors.New("cannot decrypt the sealed value")
)

// Lock is the file key of a value for one recipient: one stanza of age's header.
type Lock struct {
	Type string
	Args []string
	Body []byte
	// Key is the fingerprint of the recipient, "" when the value does not say.
	Key string
}

// Is says whether bytes are meant as an age file, by age's version line. No value of the compat format begins so.
func Is(value []byte) bool { return bytes.HasPrefix(value, []byte(magic)) }

// Box is a sealed value taken apart. It shares memory with the bytes it was parsed from.
type Box struct {
	raw   []byte
	end   int // where the header ends
	locks []Lock
	named bool
	kind  string // the type of the locks
}

// Parse takes a sealed value apart without any key; it reads its header and nothing else. It returns ErrTooLarge,
// ErrVersion or ErrMalformed.
func Parse(value []byte) (*Box, error) {
	switch {
	case len(value) > MaxSize:
		return nil, ErrTooLarge
	case !Is(value):
		return nil, ErrMalformed
	case !bytes.HasPrefix(value, []byte(magic+"v1\n")):
		return nil, ErrVersion
	}
	end, err := headerEnd(value)
	if err != nil {
		return nil, err
	}
	var read stanzas
	// The stanzas come out on the way; that they open nothing is no news.
	_, _ = age.DecryptHeader(value[:end], &read)
	b := &Box{raw: value, end: end}
	if len(read) > 0 && read[0].Type == keysType {
		b.named = true
		if len(read[0].Args) != len(read)-1 || len(read[0].Body) != 0 {
			return nil, ErrMalformed
		}
	}
	seen := map[string]bool{}
	for i, s := range read {
		if i == 0 && b.named {
			continue
		}
		lock := Lock{Type: s.Type, Args: s.Args, Body: s.Body}
		if b.named {
			lock.Key = read[0].Args[i-1]
		}
		if !lock.ok() || lock.Key != "" && seen[lock.Key] {
			return nil, ErrMalformed
		}
		if b.kind == "" {
			b.kind = lock.Type
		}
		if lock.Type != b.kind {
			return nil, ErrMalformed
		}
		seen[lock.Key] = true
		b.locks = append(b.locks, lock)
	}
	if len(b.locks) == 0 || len(b.locks) > MaxRecipients {
		return nil, ErrMalformed
	}
	return b, nil
}

// headerEnd returns where the payload begins.
func headerEnd(value []byte) (int, error) {
	head := value[:min(len(value), MaxHeader)]
	last := bytes.Index(head, []byte(footer))
	if last >= 0 {
		if line := bytes.IndexByte(head[last+1:], '\n'); line >= 0 {
			return last + 1 + line + 1, nil
		}
	}
	if len(value) > MaxHeader {
		return 0, ErrTooLarge
	}
	return 0, ErrMalformed
}

// Held says whether the value is sealed to keys that a KMS or Vault holds, and so not post-quantum.
func (b *Box) Held() bool { return b.kind == HeldLockType }

// ok says whether a lock has the form of its type.
func (l Lock) ok() bool {
	if l.Type == HeldLockType {
		return l.heldOK()
	}
	if l.Type != LockType || len(l.Args) != 1 || len(l.Body) != lockSize {
		return false
	}
	share, err := base64.RawStdEncoding.Strict().DecodeString(l.Args[0])
	return err == nil && len(share) == shareSize
}

// stanzas is an identity that takes down what it is asked and knows no key.
type stanzas []*age.Stanza

// Unwrap implements age.Identity.
func (s *stanzas) Unwrap(asked []*age.Stanza) ([]byte, error) {
	*s = asked
	return nil, age.ErrIncorrectIdentity
}

// Locks returns the locks of a value, in their order. A file key comes out of any of them.
func (b *Box) Locks() []Lock { return b.locks }

// Open returns the value (not nil, also when it is empty) with the file key that a lock gave, or ErrDecrypt. Once a lock
// has given a file key, a failure here is final: the value was changed, or sealed for another place.
func (b *Box) Open(fileKey []byte, place Place) ([]byte, error) {
	header, err := place.header()
	if err != nil {
		return nil, err
	}
	inside, err := b.inside(fileKey)
	if err != nil || !bytes.HasPrefix(inside, header) {
		return nil, ErrDecrypt
	}
	return inside[len(header):], nil
}

// inside returns the sealed plaintext after age has verified the header and every chunk.
func (b *Box) inside(fileKey []byte) ([]byte, error) {
	if len(fileKey) != fileKeySize {
		return nil, ErrDecrypt
	}
	// What reads from an offset makes one buffer of the size of a chunk, where what reads a stream makes two.
	r, size, err := age.DecryptReaderAt(bytes.NewReader(b.raw), int64(len(b.raw)), age.NewInjectedFileKeyIdentity(slices.Clone(fileKey)))
	if err != nil || size > int64(maxInside) {
		return nil, ErrDecrypt
	}
	out := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, size), out); err != nil {
		return nil, ErrDecrypt
	}
	return out, nil
}

// Seal encrypts a value to recipients, of which each can open it, for one place. A recipient that is given twice counts
// once. It returns ErrTooLarge when the value is over MaxPlaintext, ErrPlace, ErrNone, ErrTooMany or ErrMixed.
func Seal(to []*Recipient, place Place, value []byte) ([]byte, error) {
	header, err := place.header()
	switch to = distinct(to); {
	case err != nil:
		return nil, err
	case len(value) > MaxPlaintext:
		return nil, ErrTooLarge
	case len(to) == 0:
		return nil, ErrNone
	case len(to) > MaxRecipients:
		return nil, ErrTooMany
	case mixed(to):
		return nil, ErrMixed
	}
	recipients := []age.Recipient{names(to)}
	for _, r := range to {
		recipients = append(recipients, r.age)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipients...)
	if err != nil {
		return nil, fmt.Errorf("seal with age: %w", err)
	}
	for _, part := range [][]byte{header, value} {
		if _, err := w.Write(part); err != nil {
			return nil, fmt.Errorf("seal with age: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal with age: %w", err)
	}
	return out.Bytes(), nil
}

// names is a recipient that nobody opens: its stanza says which keys the locks are for.
type names []*Recipient

// Wrap implements age.Recipient.
func (n names) Wrap([]byte) ([]*age.Stanza, error) {
	s := &age.Stanza{Type: keysType}
	for _, r := range n {
		s.Args = append(s.Args, r.fingerprint)
	}
	return []*age.Stanza{s}, nil
}

// WrapWithLabels implements age.RecipientWithLabels: it has the label of the recipients that it names, so that age itself
// refuses to mix post-quantum ones with others.
func (n names) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	s, err := n.Wrap(fileKey)
	if n[0].held != nil {
		return s, nil, err
	}
	return s, []string{"postquantum"}, err
}
