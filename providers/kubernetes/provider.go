package kubernetes

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Provider opens sessions on Kubernetes API servers.
type Provider struct{}

// Name implements providers.Provider.
func (Provider) Name() string { return "kubernetes" }

// What an empty field means.
const (
	defaultURL       = "kubernetes.default"
	defaultNamespace = "default"
)

// Ambient implements providers.Provider: a store that names no identity is anonymous.
func (Provider) Ambient(providers.Config) *providers.Ambient { return nil }

// Validate implements providers.Provider.
func (Provider) Validate(cfg providers.Config) []providers.Problem {
	spec, ok := cfg.Spec.(*stores.Kubernetes)
	if !ok || spec == nil {
		return []providers.Problem{{Field: "kubernetes", Message: "is required"}}
	}
	var c credential.Checks
	if problems := validation.IsDNS1123Label(namespaceOf(spec)); len(problems) > 0 {
		c.Add("remoteNamespace", "must be the name of a namespace")
	}
	if spec.AuthRef != nil { // what else says where and as whom has no meaning then
		c.Selector("authRef", spec.AuthRef, false)
		return c.Problems
	}
	c.Address("server.url", serverURL(spec))
	c.Bundle("server.", spec.Server.CABundle, spec.Server.CAProvider)
	if spec.Auth != nil {
		checkAuth(&c, spec.Auth)
	}
	return c.Problems
}

func checkAuth(c *credential.Checks, auth *stores.KubernetesAuth) {
	methods := 0
	if auth.Cert != nil {
		methods++
		c.Selector("auth.cert.clientCert", &auth.Cert.ClientCert, false)
		c.Selector("auth.cert.clientKey", &auth.Cert.ClientKey, false)
	}
	if auth.Token != nil {
		methods++
		c.Selector("auth.token.bearerToken", &auth.Token.BearerToken, false)
	}
	if auth.ServiceAccount != nil {
		methods++
		c.Account("auth.serviceAccount", *auth.ServiceAccount)
	}
	if methods != 1 {
		c.Add("auth", "must hold exactly one of cert, token and serviceAccount")
	}
}

// serverURL returns the configured address; one without a scheme is https.
func serverURL(spec *stores.Kubernetes) string {
	return withScheme(cmp.Or(spec.Server.URL, defaultURL))
}

func withScheme(address string) string {
	if address == "" || strings.Contains(address, "://") {
		return address
	}
	return "https://" + address
}

func namespaceOf(spec *stores.Kubernetes) string {
	if spec.RemoteNamespace == "" {
		return defaultNamespace
	}
	return spec.RemoteNamespace
}

// Open implements providers.Provider. It asks nothing of the API server: what is wrong with the credentials shows when
// they are used.
func (p Provider) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	if problems := p.Validate(cfg); len(problems) > 0 {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s", cfg.Store, problems[0])
	}
	spec := cfg.Spec.(*stores.Kubernetes) // Validate has looked
	creds := credential.Reader{Store: cfg.Store, Env: env}
	o := jsonhttp.Options{Header: http.Header{}}
	s := &session{store: cfg.Store, namespace: namespaceOf(spec), who: "the store's identity"}
	var err error
	if spec.AuthRef != nil {
		err = s.followKubeconfig(ctx, *spec.AuthRef, creds, &o)
	} else {
		err = s.follow(ctx, spec, creds, &o)
	}
	if err != nil {
		return nil, err
	}
	s.http = jsonhttp.New(o)
	return s, nil
}

// follow puts server and auth into the options.
func (s *session) follow(ctx context.Context, spec *stores.Kubernetes, creds credential.Reader, o *jsonhttp.Options) error {
	var checks credential.Checks
	o.Base = checks.Address("server.url", serverURL(spec)) // Validate has looked
	if o.Base.Scheme == "https" {
		var err error
		if o.Roots, err = creds.Roots(ctx, "server.", spec.Server.CABundle, spec.Server.CAProvider); err != nil {
			return err
		}
	}
	return s.authenticate(ctx, spec.Auth, creds, o)
}

// authenticate puts the identity into the options, and says in the session whose it is and when it ends.
func (s *session) authenticate(ctx context.Context, auth *stores.KubernetesAuth, creds credential.Reader, o *jsonhttp.Options) error {
	switch {
	case auth == nil:
		s.who, s.anonymous = "system:anonymous (the store names no auth)", true
		return nil
	case auth.Cert != nil:
		pair, err := creds.KeyPair(ctx, "auth.cert.clientCert", auth.Cert.ClientCert, "auth.cert.clientKey", auth.Cert.ClientKey)
		if err != nil {
			return err
		}
		leaf, err := leafOf(pair)
		if err != nil {
			return providers.Errorf(providers.ErrInvalid, "%s: auth.cert.clientCert holds no certificate", s.store)
		}
		o.Certificate = pair
		s.who, s.expires = "user "+leaf.Subject.CommonName, leaf.NotAfter
		return nil
	case auth.Token != nil:
		token, err := creds.Text(ctx, "auth.token.bearerToken", auth.Token.BearerToken, "")
		if err != nil {
			return err
		}
		s.who = "the owner of the token in Secret " + auth.Token.BearerToken.Name
		o.Header.Set("Authorization", "Bearer "+token)
		return nil
	default:
		token, err := creds.Token(ctx, "auth.serviceAccount", *auth.ServiceAccount)
		if err != nil {
			return err
		}
		s.who, s.expires = "ServiceAccount "+auth.ServiceAccount.Name, token.Expires
		o.Header.Set("Authorization", "Bearer "+string(token.Value.Bytes()))
		return nil
	}
}

// leafOf returns the certificate of a pair.
func leafOf(pair *tls.Certificate) (*x509.Certificate, error) {
	if pair.Leaf != nil {
		return pair.Leaf, nil
	}
	return x509.ParseCertificate(pair.Certificate[0])
}
