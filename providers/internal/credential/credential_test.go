package credential_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/pki"
)

const canary = providertest.Canary

// refusing fails every request with one error.
type refusing struct{ err error }

func (r refusing) Secret(context.Context, providers.ObjectRef) ([]byte, error)    { return nil, r.err }
func (r refusing) ConfigMap(context.Context, providers.ObjectRef) ([]byte, error) { return nil, r.err }
func (r refusing) Namespace() (string, error)                                     { return "", r.err }
func (r refusing) SecretData(context.Context, providers.ObjectRef, string, string) (map[string][]byte, error) {
	return nil, r.err
}
func (r refusing) Annotations(context.Context, providers.AccountRef) (map[string]string, error) {
	return nil, r.err
}
func (r refusing) ServiceAccountToken(context.Context, providers.AccountRef, ...string) (providers.Token, error) {
	return providers.Token{}, r.err
}
func (r refusing) Ambient(providers.Ambient) error { return r.err }

func TestAMissingCredentialIsNeverAMissingDocument(t *testing.T) {
	t.Parallel()
	for _, class := range []error{providers.ErrNotFound, providers.ErrInvalid, providers.ErrDenied, providers.ErrUnavailable} {
		r := credential.Reader{Store: "SecretStore a/b", Env: refusing{providers.Errorf(class, "Secret a/x is amiss")}}
		want := class
		if errors.Is(class, providers.ErrNotFound) {
			want = providers.ErrUnavailable
		}
		for name, err := range map[string]error{
			"secret": second(r.Secret(t.Context(), "auth.f", stores.SecretKeySelector{Name: "x"}, "k")),
			"data":   second(r.Labeled(t.Context(), "auth.f", stores.SecretKeySelector{Name: "x"}, "l", "v")),
			"text":   second(r.Text(t.Context(), "auth.f", stores.SecretKeySelector{Name: "x"}, "k")),
			"notes":  second(r.Annotations(t.Context(), "auth.f", stores.ServiceAccountSelector{Name: "x"})),
			"token":  second(r.Token(t.Context(), "auth.f", stores.ServiceAccountSelector{Name: "x"})),
			"config": second(r.ConfigMap(t.Context(), "auth.f", providers.ObjectRef{Name: "x", Key: "k"})),
		} {
			if !errors.Is(err, want) || errors.Is(err, providers.ErrNotFound) || err.Error() != "SecretStore a/b: auth.f: Secret a/x is amiss" {
				t.Errorf("%s, %v: got %v", name, class, err)
			}
		}
		_, err := r.Roots(t.Context(), "server.", nil, &stores.CAProvider{Type: stores.CAProviderConfigMap, Name: "x", Key: "k"})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "server.caProvider") {
			t.Errorf("roots, %v: got %v", class, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestTextIsTrimmedAndPrintable(t *testing.T) {
	t.Parallel()
	env := &providertest.Env{}
	r := credential.Reader{Store: "SecretStore a/b", Env: env}
	sel := stores.SecretKeySelector{Name: "x", Key: "k"}
	for content, want := range map[string]string{
		" tok en \r\n": "tok en", "!~": "!~", "": "", "\n": "", canary + "\x00": "", canary + "\x1f.": "", canary + "\x7f": "", canary + "\nX: y": "", "ü" + canary: "",
	} {
		env.SetSecret(providers.ObjectRef{Name: "x", Key: "k"}, []byte(content))
		got, err := r.Text(t.Context(), "auth.f", sel, "")
		if got != want || (want == "") != errors.Is(err, providers.ErrInvalid) {
			t.Errorf("%q: %q, %v", content, got, err)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("the error quotes the credential: %v", err)
		}
	}
}

// What a store names in a namespace is read there and nowhere else: the Env decides whether the store may.
func TestACredentialIsReadInTheNamespaceThatTheStoreNames(t *testing.T) {
	t.Parallel()
	authority, err := pki.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	bundle, account := authority.PEM(), providers.AccountRef{Namespace: "n", Name: "a"}
	env := &providertest.Env{
		Secrets: map[providers.ObjectRef][]byte{
			{Namespace: "n", Name: "s", Key: "k"}: []byte("own"), {Namespace: "n", Name: "s", Key: "usual"}: []byte("usual"), {Namespace: "n", Name: "s", Key: "ca"}: bundle,
		},
		Labels:     map[providers.ObjectRef]map[string]string{{Namespace: "n", Name: "s"}: {"label": "on"}},
		ConfigMaps: map[providers.ObjectRef][]byte{{Namespace: "n", Name: "c", Key: "ca"}: bundle},
		Accounts:   map[providers.AccountRef]map[string]string{account: {"x": "y"}},
		Token: func(_ context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
			if ref != account || strings.Join(audiences, " ") != "b c" {
				return providers.Token{}, providers.Errorf(providers.ErrNotFound, "no %v", ref)
			}
			return providers.Token{Value: providers.NewValue([]byte("token"))}, nil
		},
	}
	r := credential.Reader{Store: "SecretStore n/b", Env: env}
	sel := stores.ServiceAccountSelector{Namespace: "n", Name: "a", Audiences: []string{"b", "c"}}
	for key, want := range map[string]string{"k": "own", "": "usual"} {
		got, err := r.Secret(t.Context(), "f", stores.SecretKeySelector{Namespace: "n", Name: "s", Key: key}, "usual")
		if err != nil || string(got) != want {
			t.Errorf("key %q: %q, %v", key, got, err)
		}
	}
	data, err := r.Labeled(t.Context(), "f", stores.SecretKeySelector{Namespace: "n", Name: "s"}, "label", "on")
	if err != nil || len(data) != 3 || string(data["k"]) != "own" {
		t.Errorf("the whole Secret: %d keys, %v", len(data), err)
	}
	if token, err := r.Token(t.Context(), "f", sel); err != nil || string(token.Value.Bytes()) != "token" {
		t.Errorf("a token: %v", err)
	}
	if annotations, err := r.Annotations(t.Context(), "f", sel); err != nil || annotations["x"] != "y" {
		t.Errorf("annotations: %v, %v", annotations, err)
	}
	for _, from := range []stores.CAProvider{
		{Type: stores.CAProviderSecret, Namespace: "n", Name: "s", Key: "ca"}, {Type: stores.CAProviderConfigMap, Namespace: "n", Name: "c", Key: "ca"},
	} {
		if pool, err := r.Roots(t.Context(), "", nil, &from); err != nil || pool == nil {
			t.Errorf("roots of %s: %v", from.Type, err)
		}
	}
}

func TestABundleHoldsCertificatesAlsoEncodedOnceMore(t *testing.T) {
	t.Parallel()
	authority, err := pki.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString(authority.PEM())
	for name, tc := range map[string]struct {
		bundle string
		good   bool
	}{
		"PEM": {string(authority.PEM()), true}, "encoded": {encoded, true}, "encoded, with a line's end": {" " + encoded + "\n", true},
		"cut off": {encoded[:len(encoded)-3], false}, "something else": {canary, false}, "something else, encoded": {base64.StdEncoding.EncodeToString([]byte(canary)), false},
	} {
		_, err := credential.Reader{Store: "SecretStore a/b"}.Roots(t.Context(), "server.", []byte(tc.bundle), nil)
		var c credential.Checks
		c.Bundle("server.", []byte(tc.bundle), nil)
		if tc.good != (err == nil) || tc.good != (len(c.Problems) == 0) || err != nil && (!errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "server.caBundle") || strings.Contains(err.Error(), canary)) {
			t.Errorf("%s: %v, %v", name, err, c.Problems)
		}
	}
	if pool, err := (credential.Reader{}).Roots(t.Context(), "", nil, nil); pool != nil || err != nil {
		t.Errorf("the system's: %v, %v", pool, err)
	}
}

func TestACertificateAndItsKeyBelongTogether(t *testing.T) {
	t.Parallel()
	authority, err := pki.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Client("us")
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := authority.Client("others")
	if err != nil {
		t.Fatal(err)
	}
	sel := stores.SecretKeySelector{Name: "x"}
	for name, tc := range map[string]struct {
		held  map[string][]byte
		class error
		says  string
	}{
		"both":           {map[string][]byte{"tls.crt": cert, "tls.key": key}, nil, ""},
		"no certificate": {map[string][]byte{"tls.key": key}, providers.ErrUnavailable, "auth.cert"},
		"no key":         {map[string][]byte{"tls.crt": cert}, providers.ErrUnavailable, "auth.key"},
		"another key":    {map[string][]byte{"tls.crt": cert, "tls.key": other}, providers.ErrInvalid, "auth.cert and auth.key"},
		"a large key":    {map[string][]byte{"tls.crt": cert, "tls.key": append(bytes.Clone(key), bytes.Repeat([]byte("\n"), 16<<10)...)}, providers.ErrInvalid, "auth.key has "},
		"rubbish":        {map[string][]byte{"tls.crt": cert, "tls.key": []byte(canary)}, providers.ErrInvalid, "auth.cert and auth.key"},
	} {
		env := &providertest.Env{Secrets: map[providers.ObjectRef][]byte{}}
		for key, content := range tc.held {
			env.Secrets[providers.ObjectRef{Name: "x", Key: key}] = content
		}
		pair, err := credential.Reader{Store: "SecretStore a/b", Env: env}.KeyPair(t.Context(), "auth.cert", sel, "auth.key", sel)
		if !errors.Is(err, tc.class) || (pair == nil) != (tc.class != nil) || err != nil && (!strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), canary)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
