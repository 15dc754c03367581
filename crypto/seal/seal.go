package seal

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
)

// MaxValue is the size of the largest value that can be sealed: all a Kubernetes Secret may hold.
const MaxValue = 1 << 20

// What can be wrong with a value. The texts carry nothing of the value.
var (
	// ErrTooLarge: the plaintext does not fit into a Secret.
	ErrTooLarge = fmt.Errorf("the value is over %d bytes, more than a Secret can hold", MaxValue)
	// ErrEncoding: the text is not standard base64 with padding.
	ErrEncoding = errors.New("the sealed value is not base64")
	// ErrPlace: the scope needs a namespace, or a namespace and a name, that is missing. Without it the value would be
	// bound to less than its scope says: a namespace-wide label without a namespace is the cluster-wide one.
	ErrPlace = errors.New("the scope needs a namespace, and the strict scope a name too")
	// ErrNoKey: no key opens the value under this scope, namespace and name. Sealed Secrets' text, which people grep.
	ErrNoKey = errors.New("no key could decrypt secret")
	// ErrLimit: the value was given up before every key was tried.
	ErrLimit = errors.New("gave up before every sealing key was tried")
)

// Seal seals a value to a public key and returns the text for spec.encryptedData. random is crypto/rand.Reader outside
// of tests. It returns ErrTooLarge for a value over MaxValue and ErrPlace when the scope needs a namespace or name that
// is empty.
func Seal(random io.Reader, key *rsa.PublicKey, scope Scope, namespace, name string, value []byte) (string, error) {
	if len(value) > MaxValue {
		return "", ErrTooLarge
	}
	if !complete(scope, namespace, name) {
		return "", ErrPlace
	}
	sealed, err := rsahybrid.Seal(random, key, Label(scope, namespace, name), value)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// Keys is what opening asks of a keyring; *keyring.Ring is one.
type Keys interface {
	// Candidates returns the keys that can unwrap a session key of size bytes, most likely first; hint is the
	// fingerprint of the likeliest, or "".
	Candidates(size int, hint string) []keyring.Key
}

// DefaultLimit is how many private-key operations a value may cost: more than twenty years of monthly renewed keys, and
// under three seconds.
const DefaultLimit = 256

// Opener opens the values of one object. It tries the key that opened the object's last value first, because one run of
// the CLI seals all of them to the same key. It is for one goroutine.
type Opener struct {
	keys       Keys
	hint       string
	limit      int
	operations int
}

// NewOpener returns an opener over some keys. hint is the fingerprint of the key that opened this object before, or "".
// limit bounds the private-key operations of each value; zero means DefaultLimit.
func NewOpener(keys Keys, hint string, limit int) *Opener {
	if limit <= 0 {
		limit = DefaultLimit
	}
	return &Opener{keys: keys, hint: hint, limit: limit}
}

// Hint returns the fingerprint of the key that opened the last value that opened, or the hint the opener began with.
func (o *Opener) Hint() string { return o.hint }

// Operations returns how many private-key operations the opener has done.
func (o *Opener) Operations() int { return o.operations }

// Open returns the plaintext of a text of spec.encryptedData that was sealed for this scope, namespace and name. It
// returns ErrEncoding, ErrPlace, the errors of rsahybrid.Parse, ErrNoKey, ErrLimit, the error of ctx, or that of a key
// that could not be asked.
func (o *Opener) Open(ctx context.Context, scope Scope, namespace, name, text string) ([]byte, error) {
	value, err := decode(text)
	if err != nil {
		return nil, err
	}
	return o.OpenBytes(ctx, scope, namespace, name, value)
}

// OpenBytes is Open for a value that is not base64 any more, as the deprecated spec.data of a SealedSecret.
func (o *Opener) OpenBytes(ctx context.Context, scope Scope, namespace, name string, value []byte) ([]byte, error) {
	if !complete(scope, namespace, name) {
		return nil, ErrPlace
	}
	envelope, err := rsahybrid.Parse(value)
	if err != nil {
		return nil, err
	}
	label := Label(scope, namespace, name)
	for tried, key := range o.keys.Candidates(len(envelope.Wrapped()), o.hint) {
		if tried == o.limit {
			return nil, ErrLimit
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		o.operations++
		sessionKey, err := key.Unwrap(ctx, envelope.Wrapped(), label)
		if errors.Is(err, rsahybrid.ErrDecrypt) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ask sealing key %s: %w", key.Fingerprint(), err)
		}
		// The session key is this key's: whatever fails now was changed after sealing and no other key helps.
		plaintext, err := envelope.Decrypt(sessionKey)
		clear(sessionKey)
		if err != nil {
			return nil, ErrNoKey
		}
		o.hint = key.Fingerprint()
		return plaintext, nil
	}
	return nil, ErrNoKey
}

// decode reads base64 as Sealed Secrets does, which skips line breaks (a value may stand in a YAML block), and stricter
// in one thing: the unused bits of the last character must be zero, so that a value has one text.
func decode(text string) ([]byte, error) {
	if len(text) > base64.StdEncoding.EncodedLen(rsahybrid.MaxSize)+strings.Count(text, "\n")+strings.Count(text, "\r") {
		return nil, rsahybrid.ErrTooLarge
	}
	value, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, ErrEncoding
	}
	return value, nil
}
