package agebox

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"filippo.io/age"
)

// What can be wrong with a recipient or an identity. The texts never quote what was read.
var (
	// ErrClassic: a key that quantum computers will break. One such recipient among others would make the whole value
	// readable to whoever has one, so that none is taken.
	ErrClassic = errors.New("an age key that is not post-quantum; make one with age-keygen -pq (age1pq1..., AGE-SECRET-KEY-PQ-1...)")
	// ErrPlugin: a key that an age plugin has. A plugin is a program to run.
	ErrPlugin = errors.New("age plugins are refused, because a plugin is a program to run; use a native age key (age-keygen -pq)")
	// ErrRecipient: no recipient.
	ErrRecipient = errors.New("not a post-quantum age recipient (age1pq1...), nor one of a key that a KMS or Vault holds (" + HeldLockType + " ...)")
	// ErrMixed: recipients of which some are post-quantum and others are not.
	ErrMixed = errors.New("post-quantum recipients (age1pq1...) and keys that a KMS or Vault holds (RSA) cannot be mixed: the weaker would decide for the whole value")
	// ErrIdentity: no identity.
	ErrIdentity = errors.New("not a post-quantum age identity (AGE-SECRET-KEY-PQ-1...)")
	// ErrPrivate: a private key where a recipient is expected.
	ErrPrivate = errors.New("a private key stands where recipients (age1pq1...) belong; if anybody else has seen this text, replace the key")
	// ErrNone: a text without any key.
	ErrNone = errors.New("holds no age key")
	// ErrTooMany: more recipients than a value may have.
	ErrTooMany = fmt.Errorf("a value has at most %d recipients", MaxRecipients)
)

const (
	// MaxRecipients is how many recipients a value may have; each costs 1.6 KB of its header.
	MaxRecipients = 32
	// maxLine is longer than any key: a recipient has 1960 characters.
	maxLine = 8 << 10
)

// Recipient is a public key that values are sealed to: a post-quantum one of age, or an RSA key whose private half a KMS or
// Vault holds. It is immutable and safe for concurrent use.
type Recipient struct {
	age         age.Recipient
	held        *held // nil for one of age
	text        string
	fingerprint string
}

func newRecipient(r *age.HybridRecipient) *Recipient {
	text := r.String()
	sum := sha256.Sum256([]byte(text))
	return &Recipient{age: r, text: text, fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])}
}

// String returns the recipient as age writes it, age1pq1 and what follows, in lower case; or the line of a held key.
func (r *Recipient) String() string { return r.text }

// Fingerprint names the key: "SHA256:" and the unpadded base64 of the SHA-256 of the recipient's text; of a held key, of the
// RSA key, as OpenSSH has it.
func (r *Recipient) Fingerprint() string { return r.fingerprint }

// Held says whether a KMS or Vault holds the key, which so is not post-quantum.
func (r *Recipient) Held() bool { return r.held != nil }

// mixed says whether some recipients are post-quantum and others are not.
func mixed(to []*Recipient) bool {
	return slices.ContainsFunc(to, func(r *Recipient) bool { return r.Held() != to[0].Held() })
}

// ParseRecipient reads one recipient. It returns ErrClassic, ErrPlugin, ErrPrivate or ErrRecipient.
func ParseRecipient(text string) (*Recipient, error) {
	lower := strings.ToLower(text)
	switch {
	case strings.HasPrefix(text, HeldLockType+" "):
		return parseHeld(text)
	case strings.HasPrefix(lower, "age1pq1"):
		r, err := age.ParseHybridRecipient(text)
		if err != nil {
			return nil, ErrRecipient
		}
		return newRecipient(r), nil
	case strings.HasPrefix(lower, "age-secret-key-"), strings.HasPrefix(lower, "age-plugin-"):
		return nil, ErrPrivate
	case strings.HasPrefix(lower, "age1") && !strings.Contains(lower[len("age1"):], "1"), strings.HasPrefix(lower, "ssh-"),
		strings.HasPrefix(lower, "age1tag1"):
		return nil, ErrClassic
	case strings.HasPrefix(lower, "age1"): // age1 NAME 1 ...
		return nil, ErrPlugin
	default:
		return nil, ErrRecipient
	}
}

// ParseRecipients reads a recipients file of age: one recipient a line, empty lines and lines that begin with # left out.
// A recipient that stands there twice counts once. Its errors name the line, and are those of ParseRecipient, ErrNone,
// ErrTooMany or ErrMixed.
func ParseRecipients(text []byte) ([]*Recipient, error) {
	var out []*Recipient
	err := eachLine(text, func(line string) error {
		r, err := ParseRecipient(line)
		if err == nil {
			out = append(out, r)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(out) == 0:
		return nil, ErrNone
	}
	switch out = distinct(out); {
	case len(out) > MaxRecipients:
		return nil, ErrTooMany
	case mixed(out):
		return nil, ErrMixed
	}
	return out, nil
}

// distinct returns recipients without repetition, in their order.
func distinct(recipients []*Recipient) []*Recipient {
	seen := make(map[string]bool, len(recipients))
	var out []*Recipient
	for _, r := range recipients {
		if !seen[r.fingerprint] {
			out = append(out, r)
		}
		seen[r.fingerprint] = true
	}
	return out
}

// Identity is a private key. It is immutable and safe for concurrent use; every way to print it shows its fingerprint
// alone.
type Identity struct {
	age       *age.HybridIdentity
	recipient *Recipient
}

func newIdentity(i *age.HybridIdentity) *Identity {
	return &Identity{age: i, recipient: newRecipient(i.Recipient())}
}

// Generate makes a new identity.
func Generate() (*Identity, error) {
	i, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, fmt.Errorf("generate an age identity: %w", err)
	}
	return newIdentity(i), nil
}

// ParseIdentities reads an identity file of age: one identity a line, empty lines and lines that begin with # left out. Its
// errors name the line and are ErrClassic, ErrPlugin, ErrIdentity or ErrNone.
func ParseIdentities(text []byte) ([]*Identity, error) {
	var out []*Identity
	err := eachLine(text, func(line string) error {
		i, err := parseIdentity(line)
		if err == nil {
			out = append(out, i)
		}
		return err
	})
	if err == nil && len(out) == 0 {
		err = ErrNone
	}
	return out, err
}

func parseIdentity(line string) (*Identity, error) {
	switch {
	case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
		i, err := age.ParseHybridIdentity(line)
		if err != nil {
			return nil, ErrIdentity
		}
		return newIdentity(i), nil
	case strings.HasPrefix(line, "AGE-SECRET-KEY-1"):
		return nil, ErrClassic
	case strings.HasPrefix(line, "AGE-PLUGIN-"):
		return nil, ErrPlugin
	default:
		return nil, ErrIdentity
	}
}

// eachLine gives the lines that hold something to read, and adds the line's number to its error.
func eachLine(text []byte, read func(line string) error) error {
	scanner := bufio.NewScanner(bytes.NewReader(text))
	scanner.Buffer(nil, maxLine)
	n := 0
	for scanner.Scan() {
		n++
		line := strings.TrimSpace(scanner.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := read(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if scanner.Err() != nil {
		return fmt.Errorf("line %d is longer than any age key", n+1)
	}
	return nil
}

// Recipient returns the public half.
func (i *Identity) Recipient() *Recipient { return i.recipient }

// Fingerprint is that of the recipient.
func (i *Identity) Fingerprint() string { return i.recipient.fingerprint }

// Secret returns the private key as age writes it: AGE-SECRET-KEY-PQ-1 and what follows.
func (i *Identity) Secret() string { return i.age.String() }

// Unwrap does one private-key operation: it returns the file key of a lock, or ErrDecrypt when the lock is not for this
// identity or damaged.
func (i *Identity) Unwrap(lock Lock) ([]byte, error) {
	fileKey, err := i.age.Unwrap([]*age.Stanza{{Type: lock.Type, Args: lock.Args, Body: lock.Body}})
	if err != nil || len(fileKey) != fileKeySize {
		return nil, ErrDecrypt
	}
	return fileKey, nil
}

// Format prints the fingerprint for every verb, so that no log or error can hold the private key.
func (i *Identity) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "age identity %s", i.Fingerprint())
}

// LogValue is Format for structured logs.
func (i *Identity) LogValue() slog.Value { return slog.StringValue("age identity " + i.Fingerprint()) }
