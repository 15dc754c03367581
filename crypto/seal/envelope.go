package seal

import (
	"crypto/rsa"
	"math/big"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
)

// envelope is a sealed value of one of the formats, taken apart and meant for one place.
type envelope interface {
	// locks hold the session key; any of them will do.
	locks() []keyring.Lock
	// open returns the plaintext under the session key that a lock gave.
	open(sessionKey []byte) ([]byte, error)
}

// parse takes a value apart. The formats cannot be mistaken for one another: what age's version line stands for in the
// compat format is a size that no key has.
func parse(scope Scope, namespace, name string, value []byte) (envelope, error) {
	if !complete(scope, namespace, name) {
		return nil, ErrPlace
	}
	if agebox.Is(value) {
		box, err := agebox.Parse(value)
		if err != nil {
			return nil, err
		}
		n := &native{box: box, place: placeOf(scope, namespace, name)}
		for _, l := range box.Locks() {
			n.all = append(n.all, keyring.Lock{Type: l.Type, Args: l.Args, Body: l.Body, Key: l.Key})
		}
		return n, nil
	}
	e, err := rsahybrid.Parse(value)
	if err != nil {
		return nil, err
	}
	lock := keyring.Lock{Type: keyring.TypeRSA, Body: e.Wrapped(), Label: Label(scope, namespace, name)}
	return &compat{envelope: e, all: []keyring.Lock{lock}}, nil
}

type compat struct {
	envelope rsahybrid.Envelope
	all      []keyring.Lock
}

func (c *compat) locks() []keyring.Lock { return c.all }

func (c *compat) open(sessionKey []byte) ([]byte, error) { return c.envelope.Decrypt(sessionKey) }

type native struct {
	box   *agebox.Box
	place agebox.Place
	all   []keyring.Lock
}

func (n *native) locks() []keyring.Lock { return n.all }

func (n *native) open(fileKey []byte) ([]byte, error) { return n.box.Open(fileKey, n.place) }

// placeOf is Label for the native format. A scope that is none of the three is taken as strict, the narrowest.
func placeOf(scope Scope, namespace, name string) agebox.Place {
	switch scope {
	case ClusterWide:
		return agebox.Place{Scope: agebox.ClusterWide}
	case NamespaceWide:
		return agebox.Place{Scope: agebox.NamespaceWide, Namespace: namespace}
	default:
		return agebox.Place{Scope: agebox.Strict, Namespace: namespace, Name: name}
	}
}

// Format is one of the formats of sealed values.
type Format string

// The formats.
const (
	// FormatCompat is that of Sealed Secrets.
	FormatCompat Format = "compat"
	// FormatNative is an age file to post-quantum recipients, or to keys that a KMS or Vault holds.
	FormatNative Format = "native"
)

// Info is what a value shows to whoever has no key.
type Info struct {
	Format Format
	// Bits is the size of the RSA key that a value of the compat format is sealed to.
	Bits int
	// Keys are the fingerprints of the keys that it was sealed to. They are nil for a value that does not say, as none of
	// the compat format does; and they are a claim, until a key has opened the value.
	Keys []string
	// Classic says that quantum computers will break the keys of the value: it is of the compat format, or a KMS or Vault
	// holds them.
	Classic bool

	wrapped []byte
}

// MayBeTo says whether a value of the compat format can have been sealed to an RSA key. It cannot when the key has another
// size, or when the wrapped session key is no number below the key's modulus, as some values of other keys of the same size are
// not. Nothing else can be told without the private key.
func (i Info) MayBeTo(key *rsa.PublicKey) bool {
	return i.Bits == 8*key.Size() && new(big.Int).SetBytes(i.wrapped).Cmp(key.N) < 0
}

// Inspect says what a text of spec.encryptedData shows without a key. It returns an error that IsFault knows.
func Inspect(text string) (Info, error) {
	value, err := decode(text)
	if err != nil {
		return Info{}, err
	}
	if !agebox.Is(value) {
		e, err := rsahybrid.Parse(value)
		return Info{Format: FormatCompat, Bits: 8 * len(e.Wrapped()), Classic: true, wrapped: e.Wrapped()}, err
	}
	box, err := agebox.Parse(value)
	if err != nil {
		return Info{}, err
	}
	info := Info{Format: FormatNative, Classic: box.Held()}
	for _, l := range box.Locks() {
		if l.Key != "" {
			info.Keys = append(info.Keys, l.Key)
		}
	}
	return info, nil
}
