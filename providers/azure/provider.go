package azure

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Provider opens sessions on key vaults.
type Provider struct{}

// Name implements providers.Provider.
func (Provider) Name() string { return "azurekv" }

// Open implements providers.Provider: it asks the vault what tokens it takes, and Entra ID for one.
func (p Provider) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	if problems := p.Validate(cfg); len(problems) > 0 {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s", cfg.Store, problems[0])
	}
	spec := cfg.Spec.(*stores.AzureKV) // Validate has looked
	l := login{store: cfg.Store, spec: spec, creds: credential.Reader{Store: cfg.Store, Env: env}}
	s, err := newSession(cfg.Store, spec)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx, l); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func newSession(store string, spec *stores.AzureKV) (*session, error) {
	u, err := url.Parse(strings.TrimRight(spec.VaultURL, "/"))
	if err != nil {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: vaultUrl must be an address such as https://name.vault.azure.net", store)
	}
	u.Host = hostOf(u) // the SDK compares it with the domain that tokens are for
	vault := u.String()
	s := &session{refusals: refusals{store: store, vault: "https://" + u.Host}, transport: newTransport(u.Host), token: &token{}, current: currentSDK(spec)}
	o := clientOptions(s.transport)
	var errs [3]error
	s.secrets, errs[0] = azsecrets.NewClient(vault, s.token, &azsecrets.ClientOptions{ClientOptions: o})
	s.certificates, errs[1] = azcertificates.NewClient(vault, s.token, &azcertificates.ClientOptions{ClientOptions: o})
	s.keys, errs[2] = azkeys.NewClient(vault, s.token, &azkeys.ClientOptions{ClientOptions: o})
	if errors.Join(errs[:]...) != nil {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: vaultUrl cannot be used by the SDK", store)
	}
	return s, nil
}

// clientOptions are those of all clients: one attempt for each request, and nothing said about ourselves.
func clientOptions(t policy.Transporter) policy.ClientOptions {
	return policy.ClientOptions{
		Transport: t,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
}

// open logs in. The SDK makes its first request without a token, to be told what tokens the vault takes, and checks that this
// host may ask for them; it makes no other before there is one.
func (s *session) open(ctx context.Context, l login) error {
	_, err := s.secrets.GetSecret(ctx, probeName, "", nil)
	if !errors.Is(err, errNoToken) {
		return s.closed(err)
	}
	t, err := l.obtain(ctx, s.token.wanted())
	if err != nil {
		return err
	}
	s.token.set(t)
	return nil
}
