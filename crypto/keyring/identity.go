package keyring

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/crypto/agebox"
)

// ErrSeveral says that a stored identity file holds more than one identity.
var ErrSeveral = errors.New("more than one age identity; a key Secret holds one")

// createdPrefix begins the line in which age-keygen notes when it made a key.
const createdPrefix = "# created: "

// Identity is one sealing key of the native format: a post-quantum age identity. It is immutable and safe for concurrent
// use; every way to print it shows its fingerprint alone.
type Identity struct {
	key     *agebox.Identity
	created time.Time
	order   time.Time
}

// GenerateIdentity makes a new identity that counts as made at a time, which is kept to the second.
func GenerateIdentity(created time.Time) (*Identity, error) {
	key, err := agebox.Generate()
	if err != nil {
		return nil, err
	}
	return NewIdentity(key, created.UTC().Truncate(time.Second)), nil
}

// NewIdentity returns an identity that was made at a time, which may be zero.
func NewIdentity(key *agebox.Identity, created time.Time) *Identity {
	return &Identity{key: key, created: created, order: created}
}

// ParseIdentity reads an identity file of age that holds one identity, as age-keygen -pq writes it. When the file does not
// say when the key was made, it counts as made at created. Its errors are those of agebox.ParseIdentities, or ErrSeveral.
func ParseIdentity(text []byte, created time.Time) (*Identity, error) {
	keys, err := agebox.ParseIdentities(text)
	if err != nil {
		return nil, err
	}
	if len(keys) != 1 {
		return nil, ErrSeveral
	}
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for scanner.Scan() {
		if at, ok := strings.CutPrefix(scanner.Text(), createdPrefix); ok {
			if t, err := time.Parse(time.RFC3339, strings.TrimSpace(at)); err == nil {
				created = t.UTC()
			}
			break
		}
	}
	return NewIdentity(keys[0], created), nil
}

// Text returns the identity file, as age-keygen writes it and age -i reads it. It is the private key.
func (i *Identity) Text() []byte {
	return fmt.Appendf(nil, "%s%s\n# public key: %s\n%s\n", createdPrefix, i.created.Format(time.RFC3339), i.key.Recipient(), i.key.Secret())
}

// Recipient returns the public half, which values are sealed to.
func (i *Identity) Recipient() *agebox.Recipient { return i.key.Recipient() }

// Ordered returns the same identity with another place in the order of a ring.
func (i *Identity) Ordered(at time.Time) *Identity {
	return &Identity{key: i.key, created: i.created, order: at}
}

// NotBefore returns when the identity was made.
func (i *Identity) NotBefore() time.Time { return i.created }

// Since returns the identity's place in the order of a ring: when it was made, unless Ordered said something else.
func (i *Identity) Since() time.Time { return i.order }

// Fingerprint names the key, as agebox.Recipient.Fingerprint.
func (i *Identity) Fingerprint() string { return i.key.Fingerprint() }

// Fits says whether a lock is for this identity, or does not say for whom it is.
func (i *Identity) Fits(l Lock) bool {
	return l.Type == agebox.LockType && (l.Key == "" || l.Key == i.Fingerprint())
}

// Unwrap does one private-key operation and returns the file key, or ErrWrongKey when the lock is not for this identity.
func (i *Identity) Unwrap(_ context.Context, l Lock) ([]byte, error) {
	fileKey, err := i.key.Unwrap(agebox.Lock{Type: l.Type, Args: l.Args, Body: l.Body})
	if err != nil {
		return nil, ErrWrongKey
	}
	return fileKey, nil
}

// Format prints the fingerprint for every verb, so that no log or error can hold the private key.
func (i *Identity) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "sealing key %s", i.Fingerprint())
}

// LogValue is Format for structured logs.
func (i *Identity) LogValue() slog.Value { return slog.StringValue("sealing key " + i.Fingerprint()) }
