package sopsfile

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	dotenvstore "github.com/getsops/sops/v3/stores/dotenv"
	inistore "github.com/getsops/sops/v3/stores/ini"
	jsonstore "github.com/getsops/sops/v3/stores/json"
	yamlstore "github.com/getsops/sops/v3/stores/yaml"
)

// MaxSize is the size in bytes of the largest document that Decrypt accepts (5 MiB).
const MaxSize = 5 << 20

// What can be wrong with a document. Texts name keys and recipients, never values, and nothing of the library's own
// errors, which quote values.
var (
	// ErrNoKey: none of the identities opens the document.
	ErrNoKey = errors.New("no usable key")
	// ErrIntegrity: the document was changed after SOPS wrote it.
	ErrIntegrity = errors.New("the document was changed after it was encrypted")
	// ErrMalformed: this is not a document that SOPS writes, or more of one than is accepted.
	ErrMalformed = errors.New("not a well-formed SOPS document")
)

// Plain is a decrypted document.
type Plain struct {
	// Document is the document without SOPS metadata, in its own format (for Binary: the content itself).
	Document []byte

	sealed map[[sha256.Size]byte]struct{}
}

// Sealed says whether value was one of the encrypted values of the document, or is the whole of a document that has any.
func (p *Plain) Sealed(value []byte) bool {
	_, ok := p.sealed[sha256.Sum256(value)]
	return ok
}

// Decrypt opens a SOPS document with age identities. It returns nothing unless the whole document was decrypted and its
// MAC verified (also with mac_only_encrypted, as far as that covers). It fails with ErrNoKey, ErrIntegrity, ErrMalformed
// or the context's cause.
func Decrypt(ctx context.Context, format Format, doc []byte, identities []age.Identity) (plain *Plain, err error) {
	defer func() {
		if recover() != nil {
			// What the library panicked with can hold values, so nothing of it is passed on.
			plain, err = nil, fmt.Errorf("%w: the SOPS library cannot read it", ErrMalformed)
		}
	}()
	if len(doc) > MaxSize {
		return nil, fmt.Errorf("%w: larger than 5 MiB", ErrMalformed)
	}
	tree, err := load(format, doc)
	if err != nil {
		return nil, err
	}
	if err := checkTree(format, &tree); err != nil {
		return nil, err
	}
	key, err := dataKey(ctx, &tree.Metadata, identities)
	if err != nil {
		return nil, err
	}
	sealed, err := open(ctx, &tree, key)
	if err != nil {
		return nil, err
	}
	out, err := emit(format, tree.Branches)
	if err != nil {
		return nil, fmt.Errorf("%w: its content does not fit the format %s", ErrMalformed, format)
	}
	if len(sealed) > 0 {
		sealed[sha256.Sum256(out)] = struct{}{}
	}
	return &Plain{Document: out, sealed: sealed}, nil
}

func load(format Format, doc []byte) (sops.Tree, error) {
	if err := checkText(format, doc); err != nil {
		return sops.Tree{}, err
	}
	store, err := storeOf(format)
	if err != nil {
		return sops.Tree{}, err
	}
	tree, err := store.LoadEncryptedFile(doc)
	switch {
	case errors.Is(err, sops.MetadataNotFound):
		return sops.Tree{}, fmt.Errorf("%w: there is no SOPS metadata in its first document", ErrMalformed)
	case err != nil:
		return sops.Tree{}, fmt.Errorf("%w: its metadata or structure cannot be read as %s", ErrMalformed, format)
	}
	if tree.Metadata.MessageAuthenticationCode == "" {
		return sops.Tree{}, fmt.Errorf("%w: its mac is missing", ErrIntegrity)
	}
	return tree, nil
}

func storeOf(format Format) (sops.Store, error) {
	switch format {
	case YAML:
		return &yamlstore.Store{}, nil
	case JSON:
		return &jsonstore.Store{}, nil
	case Binary:
		return &jsonstore.BinaryStore{}, nil
	case Dotenv:
		return &dotenvstore.Store{}, nil
	case INI:
		return &inistore.Store{}, nil
	default:
		return nil, fmt.Errorf("%w: unknown format", ErrMalformed)
	}
}

// open decrypts the tree in place and verifies its MAC; it returns the digests of the values that were encrypted.
func open(ctx context.Context, tree *sops.Tree, key []byte) (map[[sha256.Size]byte]struct{}, error) {
	restore := hidePlainComments(tree)
	values := &valueCipher{ctx: ctx, aes: aes.NewCipher(), sealed: map[[sha256.Size]byte]struct{}{}}
	computed, err := tree.Decrypt(key, values)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, values.failure()
	}
	// The MAC is encrypted like a value, with the time of the last change in place of a path.
	recorded, err := aes.NewCipher().Decrypt(
		tree.Metadata.MessageAuthenticationCode, key, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return nil, fmt.Errorf("%w: its mac or lastmodified does not belong to it", ErrIntegrity)
	}
	if text, ok := recorded.(string); !ok || !hmac.Equal([]byte(text), []byte(computed)) {
		return nil, fmt.Errorf("%w: the mac does not match; encrypt it again from the original", ErrIntegrity)
	}
	restore()
	return values.sealed, nil
}

// valueCipher is SOPS's cipher, which in addition heeds the context, remembers what it opened (as digests) and at which
// key it failed, because the library's errors quote values and do not name keys.
type valueCipher struct {
	ctx    context.Context //nolint:containedctx // the library's interface has no context
	aes    aes.Cipher
	sealed map[[sha256.Size]byte]struct{}
	failed string
}

var errValue = errors.New("value cannot be decrypted")

// Decrypt implements sops.Cipher.
func (c *valueCipher) Decrypt(ciphertext string, key []byte, path string) (any, error) {
	if c.ctx.Err() != nil {
		return nil, errValue
	}
	value, err := c.aes.Decrypt(ciphertext, key, path)
	if err != nil {
		c.failed = path
		return nil, errValue
	}
	if raw, err := sops.ToBytes(value); err == nil && len(raw) > 0 {
		c.sealed[sha256.Sum256(raw)] = struct{}{}
	}
	return value, nil
}

// Encrypt implements sops.Cipher: it refuses.
func (*valueCipher) Encrypt(any, []byte, string) (string, error) { return "", errNotWrapped }

var plainPath = regexp.MustCompile(`^[A-Za-z0-9_.:/-]+$`)

func (c *valueCipher) failure() error {
	key := strings.TrimSuffix(c.failed, ":")
	if len(key) > maxPlain || !plainPath.MatchString(key) {
		return fmt.Errorf("%w: a value cannot be decrypted", ErrIntegrity)
	}
	return fmt.Errorf("%w: the value of %s cannot be decrypted", ErrIntegrity, strings.ReplaceAll(key, ":", "."))
}
