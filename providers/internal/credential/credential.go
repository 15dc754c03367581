package credential

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/archive"
	"github.com/sealbridge/sealbridge/providers"
)

// Reader reads the credentials of one store.
type Reader struct {
	// Store names the store in messages.
	Store string
	Env   providers.Env
}

// Secret returns the bytes that sel names. defaultKey is the usual key, for a selector without one; field is the
// selector's path below spec.provider.<name>, for messages.
func (r Reader) Secret(ctx context.Context, field string, sel stores.SecretKeySelector, defaultKey string) ([]byte, error) {
	ref := providers.ObjectRef{Namespace: sel.Namespace, Name: sel.Name, Key: sel.Key}
	if ref.Key == "" {
		ref.Key = defaultKey
	}
	value, err := r.Env.Secret(ctx, ref)
	if err != nil {
		return nil, r.fail(field, err)
	}
	return value, nil
}

// Labeled returns all keys of the Secret that sel names, which must carry the label; sel.Key has no meaning.
func (r Reader) Labeled(ctx context.Context, field string, sel stores.SecretKeySelector, label, value string) (map[string][]byte, error) {
	data, err := r.Env.SecretData(ctx, providers.ObjectRef{Namespace: sel.Namespace, Name: sel.Name}, label, value)
	if err != nil {
		return nil, r.fail(field, err)
	}
	return data, nil
}

// Text returns what sel names as text without surrounding white space, which editors and base64 leave behind. It fails
// with ErrInvalid for an empty text and for characters that cannot be in an HTTP header.
func (r Reader) Text(ctx context.Context, field string, sel stores.SecretKeySelector, defaultKey string) (string, error) {
	raw, err := r.Secret(ctx, field, sel, defaultKey)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(raw))
	if !Printable(text) {
		return "", providers.Errorf(providers.ErrInvalid, "%s: %s: Secret %s holds no usable text: it is empty or has characters that are not printable ASCII",
			r.Store, field, sel.Name)
	}
	return text, nil
}

// Printable reports whether text is not empty and all of it may stand in an HTTP header.
func Printable(text string) bool {
	return text != "" && strings.IndexFunc(text, func(c rune) bool { return c < 0x20 || c > 0x7e }) < 0
}

// Token mints a token of the ServiceAccount for its audiences.
func (r Reader) Token(ctx context.Context, field string, sel stores.ServiceAccountSelector) (providers.Token, error) {
	token, err := r.Env.ServiceAccountToken(ctx, providers.AccountRef{Namespace: sel.Namespace, Name: sel.Name}, sel.Audiences...)
	if err != nil {
		return providers.Token{}, r.fail(field, err)
	}
	return token, nil
}

// Annotations returns the annotations of the ServiceAccount, by which clouds bind it to an identity of theirs.
func (r Reader) Annotations(ctx context.Context, field string, sel stores.ServiceAccountSelector) (map[string]string, error) {
	annotations, err := r.Env.Annotations(ctx, providers.AccountRef{Namespace: sel.Namespace, Name: sel.Name})
	if err != nil {
		return nil, r.fail(field, err)
	}
	return annotations, nil
}

// ConfigMap returns the value that ref names in a ConfigMap.
func (r Reader) ConfigMap(ctx context.Context, field string, ref providers.ObjectRef) ([]byte, error) {
	value, err := r.Env.ConfigMap(ctx, ref)
	if err != nil {
		return nil, r.fail(field, err)
	}
	return value, nil
}

// Roots returns the CA certificates of caBundle, else of caProvider, else nil for the system's. prefix is the path of the
// struct that holds the two fields, with a trailing dot, or empty.
func (r Reader) Roots(ctx context.Context, prefix string, bundle []byte, from *stores.CAProvider) (*x509.CertPool, error) {
	field := prefix + "caBundle"
	if len(bundle) == 0 {
		if from == nil {
			return nil, nil // no pool is what crypto/tls takes for the system's roots
		}
		field = prefix + "caProvider"
		ref := providers.ObjectRef{Namespace: from.Namespace, Name: from.Name, Key: from.Key}
		read := r.Env.Secret
		if from.Type == stores.CAProviderConfigMap {
			read = r.Env.ConfigMap
		}
		var err error
		if bundle, err = read(ctx, ref); err != nil {
			return nil, r.fail(field, err)
		}
	}
	pool, ok := parseBundle(bundle)
	if !ok {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s holds no PEM certificate", r.Store, field)
	}
	return pool, nil
}

// parseBundle reads PEM certificates, also when they were base64-encoded once more, as manifests often have them.
func parseBundle(bundle []byte) (*x509.CertPool, bool) {
	pool := x509.NewCertPool()
	if pool.AppendCertsFromPEM(bundle) {
		return pool, true
	}
	inner, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(bundle)))
	return pool, err == nil && pool.AppendCertsFromPEM(inner)
}

// KeyPair reads a client certificate and its key.
func (r Reader) KeyPair(ctx context.Context, certField string, cert stores.SecretKeySelector, keyField string, key stores.SecretKeySelector) (*tls.Certificate, error) {
	certPEM, err := r.Secret(ctx, certField, cert, "tls.crt")
	if err != nil {
		return nil, err
	}
	keyPEM, err := r.Secret(ctx, keyField, key, "tls.key")
	if err != nil {
		return nil, err
	}
	if len(keyPEM) > archive.MaxKey {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s has %d bytes, a private key may have %d", r.Store, keyField, len(keyPEM), archive.MaxKey)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		// The parser's own text is left out: it could quote the key.
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s and %s do not hold a certificate and its key in PEM", r.Store, certField, keyField)
	}
	return &pair, nil
}

// fail says which field the missing credential belongs to.
func (r Reader) fail(field string, err error) error {
	if errors.Is(err, providers.ErrNotFound) {
		return providers.Errorf(providers.ErrUnavailable, "%s: %s: %s", r.Store, field, err.Error())
	}
	return fmt.Errorf("%s: %s: %w", r.Store, field, err)
}
