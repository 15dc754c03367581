package googleidentity

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"cloud.google.com/go/auth"
	"github.com/go-jose/go-jose/v4"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/archive"
	"github.com/sealbridge/sealbridge/providers"
)

// accountKey is the key of a service account (Google, "Create and delete service account keys").
type accountKey struct {
	Type         string `json:"type"`
	ClientEmail  string `json:"client_email"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	TokenURI     string `json:"token_uri"`
}

const defaultTokenURI = "https://oauth2.googleapis.com/token" //nolint:gosec // an address, not a credential

// unreadable is what is wrong with a key whose private key is none.
const unreadable = "holds a private key that cannot be read"

// key reads the key of a service account. invalid makes errors that name where it is.
func (l *Login) key(ctx context.Context, sel stores.SecretKeySelector) (key accountKey, invalid func(why string) error, err error) {
	field := l.field + ".secretRef.secretAccessKeySecretRef"
	raw, err := l.creds.Secret(ctx, field, sel, "")
	if err != nil {
		return accountKey{}, nil, err
	}
	invalid = func(why string) error {
		return l.errorf(providers.ErrInvalid, "%s: key %q of Secret %s %s", field, sel.Key, sel.Name, why)
	}
	switch err := json.Unmarshal(raw, &key); { // its error would quote the key
	case err != nil || key.Type != "service_account" || key.ClientEmail == "" || key.PrivateKey == "":
		return accountKey{}, nil, invalid("does not hold the JSON key of a Google service account")
	case key.TokenURI == "":
		key.TokenURI = defaultTokenURI
	case !ofGoogle(key.TokenURI):
		return accountKey{}, nil, invalid("names a token_uri that is not Google's; it must begin with https://oauth2.googleapis.com/")
	}
	return key, invalid, nil
}

// who is how messages call the service account.
func (k accountKey) who() string {
	if !IsEmail(k.ClientEmail) {
		return "the service account of the key"
	}
	return named(k.ClientEmail)
}

// byKey signs an assertion with the key of a service account and has it exchanged.
func (l *Login) byKey(ctx context.Context, sel stores.SecretKeySelector) (Identity, error) {
	key, invalid, err := l.key(ctx, sel)
	if err != nil {
		return Identity{}, err
	}
	provider, err := auth.New2LOTokenProvider(&auth.Options2LO{
		Email: key.ClientEmail, PrivateKey: []byte(key.PrivateKey), PrivateKeyID: key.PrivateKeyID, TokenURL: key.TokenURI, Scopes: scopes(),
		Client: l.wire.client(), Logger: silence(),
	})
	if err != nil {
		return Identity{}, invalid("does not hold the JSON key of a Google service account")
	}
	id, err := l.obtain(ctx, provider, key.who(), invalid(unreadable))
	id.Email = key.ClientEmail
	return id, err
}

// sign returns a token (JWT, RFC 7519) with the claims that the key has signed by RS256.
func (k accountKey) sign(claims []byte) (string, error) {
	private, err := readRSA(k.PrivateKey)
	if err != nil {
		return "", err
	}
	key := jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: private, KeyID: k.PrivateKeyID}}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("take the key: %w", err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return signed.CompactSerialize()
}

// readRSA reads a private key of RSA in one of its two forms. Its errors quote nothing of the key.
func readRSA(text string) (*rsa.PrivateKey, error) {
	if len(text) > archive.MaxKey {
		return nil, fmt.Errorf("it has %d bytes, %d are allowed", len(text), archive.MaxKey)
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("it is not PEM")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if private, ok := key.(*rsa.PrivateKey); err == nil && ok {
		return private, nil
	}
	return nil, errors.New("it is no private key of RSA")
}

// ofGoogle reports whether an address is one of Google's, over TLS.
func ofGoogle(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.User == nil && (u.Port() == "" || u.Port() == "443") &&
		(strings.HasSuffix(u.Hostname(), ".googleapis.com") || u.Hostname() == "accounts.google.com")
}
