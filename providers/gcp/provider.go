package gcp

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	secretmanager "cloud.google.com/go/secretmanager/apiv1"
	"golang.org/x/oauth2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/oauth"
	"google.golang.org/grpc/keepalive"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
	"github.com/sealbridge/sealbridge/providers/internal/googleidentity"
)

// Provider opens sessions on Secret Manager.
type Provider struct{}

// Name implements providers.Provider.
func (Provider) Name() string { return "gcpsm" }

// Open implements providers.Provider: it gets an access token; the first request connects.
func (p Provider) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	if problems := p.Validate(cfg); len(problems) > 0 {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s", cfg.Store, problems[0])
	}
	spec := cfg.Spec.(*stores.GCPSM) // Validate has looked
	l := googleidentity.New(credential.Reader{Store: cfg.Store, Env: env}, "auth")
	defer l.Close()
	project, err := projectOf(ctx, l, spec)
	if err != nil {
		return nil, err
	}
	id, err := l.Of(ctx, spec.Auth)
	if err != nil {
		return nil, err
	}
	client, err := connect(ctx, spec.Location, id.Token)
	if err != nil {
		// Nothing is sent yet: it is about the options, and names none of them.
		return nil, providers.Errorf(providers.ErrInvalid, "%s: no connection to Secret Manager can be made for location %q", cfg.Store, spec.Location)
	}
	return &session{
		store: cfg.Store, api: client, project: project, location: spec.Location, who: id.Who, expires: id.Expires,
		latestEnabled: spec.SecretVersionSelectionPolicy == stores.GCPLatestOrFetch,
	}, nil
}

// projectOf returns the project that holds the secrets: the cluster's own when the store names none.
func projectOf(ctx context.Context, l *googleidentity.Login, spec *stores.GCPSM) (string, error) {
	if spec.ProjectID != "" {
		return spec.ProjectID, nil
	}
	if wi := spec.Auth.WorkloadIdentity; wi != nil && wi.ClusterProjectID != "" {
		return wi.ClusterProjectID, nil
	}
	return l.Project(ctx, "projectID")
}

// Bounds of a connection. Keepalives end one that is dead while somebody waits for it; reconnecting is never put off for long,
// because how long a backend is left alone is decided by who uses the session.
const (
	maxMessage       = 4 << 20
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	minReconnect     = 100 * time.Millisecond
	maxReconnect     = 5 * time.Second
	connectTimeout   = 10 * time.Second
)

// connect returns a client that shows the token. It connects with the first request, through HTTPS_PROXY where that is set.
func connect(ctx context.Context, location, token string) (*secretmanager.Client, error) {
	conn, err := grpc.NewClient(host(location)+":443",
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})),
		grpc.WithPerRPCCredentials(oauth.TokenSource{TokenSource: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minReconnect, Multiplier: 2, Jitter: 0.2, MaxDelay: maxReconnect},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithUserAgent("sealbridge"),
	)
	if err != nil {
		return nil, err
	}
	client, err := secretmanager.NewClient(ctx, option.WithGRPCConn(conn), option.WithLogger(silence()))
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	client.CallOptions = &secretmanager.CallOptions{} // no retries and no time limits but those of the context
	return client, nil
}

// silence is where the libraries log: with a variable of the environment they would log tokens and values.
func silence() *slog.Logger { return slog.New(slog.DiscardHandler) }
