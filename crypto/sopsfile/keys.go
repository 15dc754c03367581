package sopsfile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/getsops/sops/v3"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keyservice"
)

const (
	// maxKeys bounds the master keys of one file: each costs a try with every identity.
	maxKeys = 100
	// maxDataKey bounds what an encrypted data key may unfold to; a data key has 32 bytes, a Shamir part one more.
	maxDataKey = 1 << 10
	// listedKeys is how many recipients an error names.
	listedKeys = 4
	// maxRecipient is longer than any recipient: a post-quantum one has two thousand characters.
	maxRecipient = 4 << 10
)

// ParseIdentities reads age private keys, one per line, as age-keygen writes them: X25519 (AGE-SECRET-KEY-1...) and
// post-quantum hybrid (AGE-SECRET-KEY-PQ-1...). Empty lines and lines that start with "#" are ignored. Plugin and SSH
// identities are refused: a plugin is a program to run. Errors name the line's number, never its content.
func ParseIdentities(text []byte) ([]age.Identity, error) {
	var identities []age.Identity
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		identity, err := parseIdentity(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		identities = append(identities, identity)
	}
	if scanner.Err() != nil {
		return nil, errors.New("not a list of age identities: a line is too long")
	}
	if len(identities) == 0 {
		return nil, errors.New("holds no age identity")
	}
	return identities, nil
}

func parseIdentity(line string) (age.Identity, error) {
	damaged := errors.New("the age identity is damaged")
	switch {
	case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
		identity, err := age.ParseHybridIdentity(line)
		if err != nil {
			return nil, damaged
		}
		return identity, nil
	case strings.HasPrefix(line, "AGE-SECRET-KEY-1"):
		identity, err := age.ParseX25519Identity(line)
		if err != nil {
			return nil, damaged
		}
		return identity, nil
	case strings.HasPrefix(line, "AGE-PLUGIN-"):
		return nil, errors.New("age plugin identities are refused, because a plugin is a program to run; use a native age identity")
	default:
		return nil, errors.New("not an age identity (AGE-SECRET-KEY-1... or AGE-SECRET-KEY-PQ-1...)")
	}
}

// keyServer is the key service that the library asks to unwrap data keys: the caller's identities and nothing else.
type keyServer struct {
	ctx        context.Context //nolint:containedctx // the library's interface hands over its own background context; this is the caller's
	identities []age.Identity
}

var (
	errNotAge     = errors.New("only age keys can be used")
	errNotWrapped = errors.New("this server only unwraps data keys")
	errUnwrap     = errors.New("no identity opens this data key")
)

// Encrypt implements keyservice.KeyServiceServer: it refuses.
func (*keyServer) Encrypt(context.Context, *keyservice.EncryptRequest) (*keyservice.EncryptResponse, error) {
	return nil, errNotWrapped
}

// Decrypt implements keyservice.KeyServiceServer for age keys.
func (s *keyServer) Decrypt(_ context.Context, req *keyservice.DecryptRequest) (*keyservice.DecryptResponse, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	if _, ok := req.GetKey().GetKeyType().(*keyservice.Key_AgeKey); !ok {
		return nil, errNotAge
	}
	// Only native identities are in the list, so that nothing in the file can make age start a plugin.
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(req.GetCiphertext())), s.identities...)
	if err != nil {
		return nil, errUnwrap
	}
	key, err := io.ReadAll(io.LimitReader(r, maxDataKey))
	if err != nil {
		return nil, errUnwrap
	}
	return &keyservice.DecryptResponse{Plaintext: key}, nil
}

// dataKey unwraps the file's data key.
func dataKey(ctx context.Context, metadata *sops.Metadata, identities []age.Identity) ([]byte, error) {
	if metadata.MasterKeyCount() > maxKeys {
		return nil, fmt.Errorf("%w: it names more than %d keys", ErrMalformed, maxKeys)
	}
	if len(identities) == 0 {
		return nil, noKey(metadata)
	}
	client := keyservice.NewCustomLocalClient(&keyServer{ctx: ctx, identities: identities})
	key, err := metadata.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{client}, []string{sopsage.KeyTypeIdentifier})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, noKey(metadata)
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("%w: its data key has not 32 bytes", ErrMalformed)
	}
	return key, nil
}

// maxPlain is how long a path is that is shown. An expression that counts so far would take half a megabyte.
const maxPlain = 256

var plainName = regexp.MustCompile(`^[A-Za-z0-9:/._@+-]+$`)

// noKey says for whom the file is encrypted: recipients are public.
func noKey(metadata *sops.Metadata) error {
	var names []string
	rest := 0
	for _, group := range metadata.KeyGroups {
		for _, key := range group {
			name := key.ToString()
			if len(names) == listedKeys || len(name) > maxRecipient || !plainName.MatchString(name) {
				rest++
				continue
			}
			names = append(names, key.TypeToIdentifier()+" "+shorten(name))
		}
	}
	text := strings.Join(names, ", ")
	if rest > 0 {
		text = strings.TrimPrefix(fmt.Sprintf("%s and %d more", text, rest), " and ")
	}
	return fmt.Errorf("%w: this file is encrypted for %s; give one of their age keys", ErrNoKey, text)
}

// shorten keeps enough of a recipient to tell it.
func shorten(name string) string {
	if len(name) > 80 {
		return name[:64] + "..."
	}
	return name
}
