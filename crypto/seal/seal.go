package seal

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/sealbridge/sealbridge/crypto/agebox"
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

// IsFault says whether an error of opening is about a value that no key can open, whichever there may be.
func IsFault(err error) bool {
	for _, fault := range []error{
		ErrEncoding, ErrPlace, rsahybrid.ErrTooShort, rsahybrid.ErrTooLarge, rsahybrid.ErrMalformed,
		agebox.ErrTooLarge, agebox.ErrMalformed, agebox.ErrVersion, agebox.ErrPlace,
	} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}

// Keys is what opening asks of a keyring; *keyring.Ring is one.
type Keys interface {
	// Candidates returns the keys to try, most likely first; hint is the fingerprint of the likeliest, or "".
	Candidates(hint string) []keyring.Key
}

// DefaultLimit is how many private-key operations a value may cost: more than twenty years of monthly renewed keys, and
// under three seconds.
const DefaultLimit = 256

// Opener opens the values of one object. It tries the key that opened the object's last value first, because one run of
// the CLI seals all of them to the same key. It is for one goroutine.
type Opener struct {
	keys       Keys
	hint       string
	opened     string
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

// Hint returns the fingerprint of the key that is tried first for the next value: the last that opened one which does not
// say to whom it is sealed, or the hint the opener began with.
func (o *Opener) Hint() string { return o.hint }

// Opened returns the fingerprint of the key that opened the last value that opened, or "".
func (o *Opener) Opened() string { return o.opened }

// Operations returns how many private-key operations the opener has done.
func (o *Opener) Operations() int { return o.operations }

// Open returns the plaintext of a text of spec.encryptedData that was sealed for this scope, namespace and name. It
// returns an error that IsFault knows, ErrNoKey, ErrLimit, the error of ctx, or that of a key that was retired or could not
// be asked.
func (o *Opener) Open(ctx context.Context, scope Scope, namespace, name, text string) ([]byte, error) {
	value, err := decode(text)
	if err != nil {
		return nil, err
	}
	return o.OpenBytes(ctx, scope, namespace, name, value)
}

// OpenBytes is Open for a value that is not base64 any more, as the deprecated spec.data of a SealedSecret.
func (o *Opener) OpenBytes(ctx context.Context, scope Scope, namespace, name string, value []byte) ([]byte, error) {
	e, err := parse(scope, namespace, name, value)
	if err != nil {
		return nil, err
	}
	out, err := o.unlock(ctx, e)
	if err != nil {
		return nil, err
	}
	clear(out.sessionKey)
	return out.plaintext, nil
}

// unlocked is what came out of an envelope.
type unlocked struct {
	plaintext  []byte
	sessionKey []byte
	lock       int // which of the locks gave the session key
}

// unlock tries the keys, most likely first, at the locks that they fit. A key that could not be asked stands in the way of
// no other; if none opens the value, it is not known whether that one would have.
func (o *Opener) unlock(ctx context.Context, e envelope) (unlocked, error) {
	tried := 0
	var unasked error
	for _, key := range o.keys.Candidates(o.hint) {
		for i, lock := range e.locks() {
			if !key.Fits(lock) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return unlocked{}, err
			}
			if tried == o.limit {
				return unlocked{}, ErrLimit
			}
			tried++
			o.operations++
			sessionKey, err := key.Unwrap(ctx, lock)
			if errors.Is(err, keyring.ErrWrongKey) {
				continue
			}
			if err != nil {
				unasked = worse(unasked, err)
				continue
			}
			plaintext, err := e.open(sessionKey)
			if err != nil {
				// It was changed after sealing, and no other key helps. They are asked like for any other value that does not
				// open: whoever sends values and takes the time learns nothing that the answer does not say.
				clear(sessionKey)
				continue
			}
			o.opened = cmp.Or(lock.Key, key.Fingerprint()) // a key may stand for others, which the lock tells apart
			if lock.Key == "" {
				o.hint = o.opened
			}
			return unlocked{plaintext: plaintext, sessionKey: sessionKey, lock: i}, nil
		}
	}
	if unasked != nil {
		return unlocked{}, unasked
	}
	return unlocked{}, ErrNoKey
}

// worse returns the one of two errors of keys that decides: while a key can still answer, the value is not given up.
func worse(a, b error) error {
	if a == nil || errors.Is(a, keyring.ErrRetired) {
		return b
	}
	return a
}

// decode reads base64 as Sealed Secrets does, which skips line breaks (a value may stand in a YAML block), and stricter
// in one thing: the unused bits of the last character must be zero, so that a value has one text.
func decode(text string) ([]byte, error) {
	if len(text) > base64.StdEncoding.EncodedLen(max(rsahybrid.MaxSize, agebox.MaxSize))+strings.Count(text, "\n")+strings.Count(text, "\r") {
		return nil, rsahybrid.ErrTooLarge
	}
	value, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, ErrEncoding
	}
	return value, nil
}
