package seal

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
)

// ErrNoRecipient says that there is no key of the value's format that it could be sealed to anew.
var ErrNoRecipient = errors.New("there is no sealing key of the value's format")

// Recipient is whom values are sealed to, and so in which format.
type Recipient interface {
	// Seal returns the bytes of one sealed value. The place has all that the scope needs, and the value fits a Secret.
	Seal(random io.Reader, scope Scope, namespace, name string, value []byte) ([]byte, error)
	// Fingerprint names the keys that open what is sealed: the fingerprint of one, or those of several in their order,
	// with spaces between them.
	Fingerprint() string
}

// Compat returns the recipient with an RSA key, in the format of Sealed Secrets.
func Compat(key *rsa.PublicKey) Recipient { return rsaRecipient{key} }

type rsaRecipient struct{ key *rsa.PublicKey }

// Seal implements Recipient.
func (r rsaRecipient) Seal(random io.Reader, scope Scope, namespace, name string, value []byte) ([]byte, error) {
	return rsahybrid.Seal(random, r.key, Label(scope, namespace, name), value)
}

// Fingerprint implements Recipient.
func (r rsaRecipient) Fingerprint() string { return keyring.Fingerprint(r.key) }

// Native returns the recipient that stands for one or several recipients of the native format, of which each can open what
// is sealed; they are of one kind. Values are sealed with age's own source of randomness.
func Native(to ...*agebox.Recipient) Recipient { return ageRecipients(to) }

type ageRecipients []*agebox.Recipient

// Seal implements Recipient.
func (r ageRecipients) Seal(_ io.Reader, scope Scope, namespace, name string, value []byte) ([]byte, error) {
	return agebox.Seal(r, placeOf(scope, namespace, name), value)
}

// Fingerprint implements Recipient.
func (r ageRecipients) Fingerprint() string {
	names := make([]string, 0, len(r))
	for _, recipient := range r {
		names = append(names, recipient.Fingerprint())
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

// Seal seals a value and returns the text for spec.encryptedData. random is crypto/rand.Reader outside of tests. It
// returns ErrTooLarge for a value over MaxValue and ErrPlace when the scope needs a namespace or name that is empty.
func Seal(random io.Reader, to Recipient, scope Scope, namespace, name string, value []byte) (string, error) {
	if len(value) > MaxValue {
		return "", ErrTooLarge
	}
	if !complete(scope, namespace, name) {
		return "", ErrPlace
	}
	sealed, err := to.Seal(random, scope, namespace, name, value)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// Newest are the keys that values are sealed to anew, one for each kind; nil where there is none.
type Newest struct {
	Compat *rsa.PublicKey
	// Native is post-quantum, Held the key that a KMS or Vault holds.
	Native, Held *agebox.Recipient
	// KeepCurrent leaves a value of the compat format that is sealed to the newest key already as it is, as one of the
	// native format always is.
	KeepCurrent bool
}

// of returns the key of the native format for a value: a value never changes from one kind to the other by itself, because
// one of them is weaker.
func (n Newest) of(box *agebox.Box) *agebox.Recipient {
	if box.Held() {
		return n.Held
	}
	return n.Native
}

// Reseal opens a text of spec.encryptedData, as Open does, and returns it sealed to the newest key of its own kind, for
// the same place. A value of the compat format is sealed anew, unless to.KeepCurrent says otherwise. Of one of the native
// format only the lock that opened it is replaced: other clusters and recovery keys still open it. When it is sealed to the
// newest key already it stays as it is. What stays has the text that it had. It returns the errors of Open, ErrTooLarge or
// ErrNoRecipient.
func (o *Opener) Reseal(ctx context.Context, random io.Reader, to Newest, scope Scope, namespace, name, text string) (string, error) {
	value, err := decode(text)
	if err != nil {
		return "", err
	}
	again, err := o.ResealBytes(ctx, random, to, scope, namespace, name, value)
	if err != nil {
		return "", err
	}
	if bytes.Equal(again, value) {
		return text, nil // which may have line breaks
	}
	return base64.StdEncoding.EncodeToString(again), nil
}

// ResealBytes is Reseal for a value that is not base64 any more.
func (o *Opener) ResealBytes(ctx context.Context, random io.Reader, to Newest, scope Scope, namespace, name string, value []byte) ([]byte, error) {
	e, err := parse(scope, namespace, name, value)
	if err != nil {
		return nil, err
	}
	out, err := o.unlock(ctx, e)
	if err != nil {
		return nil, err
	}
	defer clear(out.sessionKey)
	n, ok := e.(*native)
	switch {
	case !ok && to.Compat == nil, ok && to.of(n.box) == nil:
		return nil, ErrNoRecipient
	case !ok && to.KeepCurrent && o.opened == keyring.Fingerprint(to.Compat):
		return value, nil
	case !ok && len(out.plaintext) > MaxValue:
		return nil, ErrTooLarge
	case !ok:
		value, err = Compat(to.Compat).Seal(random, scope, namespace, name, out.plaintext)
	case n.box.Locks()[out.lock].Key != to.of(n.box).Fingerprint():
		value, err = n.box.Relock(out.sessionKey, out.lock, to.of(n.box))
	}
	if err != nil {
		return nil, fmt.Errorf("seal again: %w", err)
	}
	return value, nil
}
