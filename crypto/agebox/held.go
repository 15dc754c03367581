package agebox

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"

	"filippo.io/age"

	"github.com/sealbridge/sealbridge/crypto/rsahybrid"
)

// HeldLockType is the type of a lock for a key that a KMS or Vault holds: RSA-OAEP with SHA-256 and an empty label, which
// is what all of them decrypt. It also begins the line of such a recipient.
const HeldLockType = "sealbridge.dev/rsa-oaep-sha256"

// The bounds of what such a lock says about its key.
const (
	maxHeldName    = 255
	maxHeldVersion = 32
)

// held is an RSA key whose private half somebody else holds. It is a recipient of age without a label, as age's own classic
// recipients are, so that age refuses to mix it with post-quantum ones.
type held struct {
	name, version string
	key           *rsa.PublicKey
}

// NewHeld returns the recipient of an RSA key of 2048, 3072 or 4096 bits that its holder knows by a name (letters, digits
// and . _ - /) and the version (letters and digits). Both are shown, and authenticated, in what is sealed. It returns
// ErrRecipient for anything else.
func NewHeld(name, version string, key *rsa.PublicKey) (*Recipient, error) {
	if !isHeldName(name) || !isHeldVersion(version) || key == nil || key.N == nil || !isHeldSize(key.Size()) || key.N.BitLen() != 8*key.Size() {
		return nil, ErrRecipient
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, ErrRecipient
	}
	h := &held{name: name, version: version, key: key}
	text := strings.Join([]string{HeldLockType, name, version, base64.StdEncoding.EncodeToString(der)}, " ")
	return &Recipient{age: h, held: h, text: text, fingerprint: rsahybrid.Fingerprint(key)}, nil
}

// parseHeld reads the line that NewHeld's recipient is written as.
func parseHeld(text string) (*Recipient, error) {
	fields := strings.Split(text, " ")
	if len(fields) != 4 {
		return nil, ErrRecipient
	}
	der, err := base64.StdEncoding.Strict().DecodeString(fields[3])
	if err != nil {
		return nil, ErrRecipient
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, ErrRecipient
	}
	key, _ := public.(*rsa.PublicKey)
	r, err := NewHeld(fields[1], fields[2], key)
	if err != nil || r.text != text { // one key has one text
		return nil, ErrRecipient
	}
	return r, nil
}

// Wrap implements age.Recipient.
func (h *held) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	body, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, h.key, fileKey, nil)
	if err != nil {
		return nil, fmt.Errorf("encrypt to the key %s: %w", h.name, err)
	}
	return []*age.Stanza{{Type: HeldLockType, Args: []string{h.name, h.version}, Body: body}}, nil
}

// heldOK says whether a lock of this type has its form. It has to say which key it is for, because that is what decides
// whom to ask; what name and version say is for people.
func (l Lock) heldOK() bool {
	return len(l.Args) == 2 && isHeldName(l.Args[0]) && isHeldVersion(l.Args[1]) && isHeldSize(len(l.Body)) && l.Key != ""
}

func isHeldSize(bytes int) bool { return bytes == 256 || bytes == 384 || bytes == 512 }

// UnwrapHeld returns the file key of a lock for a held key whose private half is at hand after all, as an export of it, or
// ErrDecrypt.
func UnwrapHeld(key crypto.Decrypter, l Lock) ([]byte, error) {
	if l.Type != HeldLockType {
		return nil, ErrDecrypt
	}
	fileKey, err := key.Decrypt(rand.Reader, l.Body, &rsa.OAEPOptions{Hash: crypto.SHA256})
	if err != nil || len(fileKey) != fileKeySize {
		return nil, ErrDecrypt
	}
	return fileKey, nil
}

const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func isHeldName(s string) bool {
	return s != "" && len(s) <= maxHeldName && strings.Trim(s, alphanumeric+"._-/") == ""
}

func isHeldVersion(s string) bool {
	return s != "" && len(s) <= maxHeldVersion && strings.Trim(s, alphanumeric) == ""
}
