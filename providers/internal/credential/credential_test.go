package credential_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
	"github.com/sealbridge/sealbridge/providers/providertest"
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
	for content, want := range map[string]string{" tok en \r\n": "tok en", "": "", "\n": "", canary + "\x00": "", canary + "\nX: y": "", "ü" + canary: ""} {
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
