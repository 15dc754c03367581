package aws

import (
	"context"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Provider opens sessions on AWS.
type Provider struct{ Environment Environment }

var _ providers.Batching = Provider{}

// Name implements providers.Provider.
func (Provider) Name() string { return "aws" }

// Batches implements providers.Batching: each certificate is a request.
func (Provider) Batches(cfg providers.Config) bool {
	spec, ok := cfg.Spec.(*stores.AWS)
	return ok && spec != nil && spec.Service != stores.AWSCertificateManager
}

// Open implements providers.Provider: it obtains the credentials that the session uses until they end.
func (p Provider) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	if problems := p.Validate(cfg); len(problems) > 0 {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s", cfg.Store, problems[0])
	}
	spec := cfg.Spec.(*stores.AWS) // Validate has looked
	client, err := p.Environment.Connect(cfg.Store, endpointOf(spec.Service, p.Environment.Endpoints))
	if err != nil {
		return nil, err
	}
	caller := awsidentity.Caller{Store: cfg.Store, Region: spec.Region, HTTP: client, Environment: p.Environment}
	l := login{spec: spec, Login: awsidentity.Login{
		Caller: caller, Creds: credential.Reader{Store: cfg.Store, Env: env}, Session: sessionName, Field: "auth", Instead: "auth",
	}}
	obtained, err := l.obtain(ctx)
	if err != nil {
		client.Close()
		return nil, err
	}
	caller.Identity = obtained
	return newSession(spec, api{caller}), nil
}

func newSession(spec *stores.AWS, a api) providers.Session {
	switch spec.Service {
	case stores.AWSParameterStore:
		return &parameterStore{session: session{api: a, prefix: spec.Prefix}, client: a.parameterStore()}
	case stores.AWSCertificateManager:
		return &certificateManager{session: session{api: a}, client: a.certificateManager()}
	default:
		return &secretsManager{session: session{api: a, prefix: spec.Prefix}, client: a.secretsManager()}
	}
}
