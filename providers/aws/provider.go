package aws

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Provider opens sessions on AWS.
type Provider struct{ Environment Environment }

// Name implements providers.Provider.
func (Provider) Name() string { return "aws" }

// Open implements providers.Provider: it obtains the credentials that the session uses until they end.
func (p Provider) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	if problems := p.Validate(cfg); len(problems) > 0 {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s", cfg.Store, problems[0])
	}
	spec := cfg.Spec.(*stores.AWS) // Validate has looked
	for _, address := range []string{p.Environment.Endpoints.of(spec.Service), p.Environment.Endpoints.STS} {
		if !isAddress(address) {
			return nil, providers.Errorf(providers.ErrInvalid,
				"%s: an endpoint in the controller's environment (AWS_..._ENDPOINT, AWS_ENDPOINT_URL...) is not an address such as https://host:port", cfg.Store)
		}
	}
	roots, err := p.Environment.roots()
	if err != nil {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %w", cfg.Store, err)
	}
	client := jsonhttp.New(jsonhttp.Options{Roots: roots, RootsHint: "set AWS_CA_BUNDLE for the controller"})
	l := login{
		api:  api{store: cfg.Store, region: spec.Region, http: client, environment: p.Environment},
		spec: spec, creds: credential.Reader{Store: cfg.Store, Env: env},
	}
	obtained, err := l.obtain(ctx)
	if err != nil {
		client.Close()
		return nil, err
	}
	return newSession(spec, l.api, obtained), nil
}

// roots returns the certificates of the CA bundle, nil for the system's.
func (e Environment) roots() (*x509.CertPool, error) {
	if e.CABundle == "" {
		return nil, nil // no pool is what crypto/tls takes for the system's roots
	}
	pem, err := os.ReadFile(e.CABundle)
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE of the controller cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE of the controller, %s, holds no PEM certificate", e.CABundle)
	}
	return pool, nil
}

// identity is what a session asks AWS as.
type identity struct {
	credentials aws.Credentials
	// who names it in messages.
	who string
	// proven is set when AWS itself has given these credentials for this session.
	proven bool
}

// expires returns when the credentials end; zero for never, or for what nobody knows.
func (i identity) expires() time.Time {
	if !i.credentials.CanExpire {
		return time.Time{}
	}
	return i.credentials.Expires
}

func newSession(spec *stores.AWS, a api, who identity) providers.Session {
	a.identity = who
	switch spec.Service {
	case stores.AWSParameterStore:
		return &parameterStore{session: session{api: a, prefix: spec.Prefix}, client: a.parameterStore()}
	case stores.AWSCertificateManager:
		return &certificateManager{session: session{api: a}, client: a.certificateManager()}
	default:
		return &secretsManager{session: session{api: a, prefix: spec.Prefix}, client: a.secretsManager()}
	}
}
