package azure

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/archive"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// login gets one token.
type login struct {
	store string
	spec  *stores.AzureKV
	creds credential.Reader
}

// obtain logs in and returns a token for a scope. Nothing of the login is left when it returns.
func (l login) obtain(ctx context.Context, scope string) (azcore.AccessToken, error) {
	if own := ambientOf(l.spec); own != nil {
		if err := l.creds.Env.Ambient(*own); err != nil {
			return azcore.AccessToken{}, err
		}
	}
	if authTypeOf(l.spec) == stores.AzureManagedIdentity {
		return l.managed(ctx, scope)
	}
	wire, last := newTransport(""), &recorder{}
	defer wire.http.Close()
	o := clientOptions(wire)
	o.PerRetryPolicies = []policy.Policy{last}
	cred, err := l.credential(ctx, o)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	t, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	if err != nil || !credential.Printable(t.Token) {
		return azcore.AccessToken{}, l.refused(last)
	}
	return t, nil
}

// credential reads what the store logs in with.
func (l login) credential(ctx context.Context, o policy.ClientOptions) (azcore.TokenCredential, error) {
	// The authority is a constant, or named by the store: nobody else is asked whether it is one.
	authority := authorityOf(l.spec)
	o.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: authority, Services: map[cloud.ServiceName]cloud.ServiceConfiguration{}}
	if authTypeOf(l.spec) == stores.AzureWorkloadIdentity {
		who, err := l.federated(ctx, authority)
		if err != nil {
			return nil, err
		}
		cred, err := azidentity.NewClientAssertionCredential(who.tenant, who.client, who.assertion,
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true})
		return cred, l.usable(err)
	}
	refs := l.spec.AuthSecretRef
	client, err := l.creds.Text(ctx, "authSecretRef.clientId", *refs.ClientID, "")
	if err != nil {
		return nil, err
	}
	if refs.ClientCertificate == nil {
		secret, err := l.creds.Text(ctx, "authSecretRef.clientSecret", *refs.ClientSecret, "")
		if err != nil {
			return nil, err
		}
		cred, err := azidentity.NewClientSecretCredential(l.spec.TenantID, client, secret,
			&azidentity.ClientSecretCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true})
		return cred, l.usable(err)
	}
	raw, err := l.creds.Secret(ctx, "authSecretRef.clientCertificate", *refs.ClientCertificate, "")
	if err != nil {
		return nil, err
	}
	// The parser's own text is left out: it could quote the key.
	noPair := providers.Errorf(providers.ErrInvalid, "%s: authSecretRef.clientCertificate: Secret %s holds no certificate with its RSA key (PEM, or PKCS#12 without a password)",
		l.store, refs.ClientCertificate.Name)
	certs, key, err := parsePair(raw)
	if err != nil {
		return nil, noPair
	}
	cred, err := azidentity.NewClientCertificateCredential(l.spec.TenantID, client, certs, key,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: o, DisableInstanceDiscovery: true})
	if err != nil {
		return nil, noPair
	}
	return cred, nil
}

// maxPair bounds a certificate, its chain and its key.
const maxPair = 4 * archive.MaxKey

// parsePair reads a certificate and its key, in PEM or PKCS#12. Of the latter the SDK knows those of old only, and asks a file
// itself how much work it is to be.
func parsePair(raw []byte) ([]*x509.Certificate, crypto.PrivateKey, error) {
	if len(raw) > maxPair {
		return nil, nil, archive.ErrLimit
	}
	if block, _ := pem.Decode(raw); block != nil {
		return azidentity.ParseCertificates(raw, nil)
	}
	key, certs, err := archive.Open(raw, "")
	return certs, key, err
}

// usable is the error for a tenant, a client or an authority that the SDK does not take.
func (l login) usable(err error) error {
	if err == nil {
		return nil
	}
	return providers.Errorf(providers.ErrInvalid, "%s: the tenant id, the client id or the authority is not one that Entra ID can have", l.store)
}

// managed gets a token of the identity that Azure gives to the controller's Pod or node. It comes from where the platform says,
// which no store can change, and by no proxy.
func (l login) managed(ctx context.Context, scope string) (azcore.AccessToken, error) {
	last := &recorder{}
	o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: clientOptions(&http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})}
	o.PerRetryPolicies = []policy.Policy{last}
	if l.spec.IdentityID != "" {
		o.ID = azidentity.ClientID(l.spec.IdentityID)
	}
	cred, err := azidentity.NewManagedIdentityCredential(o)
	if err != nil {
		return azcore.AccessToken{}, providers.Errorf(providers.ErrInvalid, "%s: this platform has no managed identity of the kind that the store asks for; correct identityId", l.store)
	}
	// With claims the library asks the platform: else it gives the token that it got before until that ends by the clock of this
	// node, also when the vault does not take it any more.
	t, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, Claims: "{}"})
	if err != nil || !credential.Printable(t.Token) {
		return azcore.AccessToken{}, l.unmanaged(last)
	}
	return t, nil
}

// unmanaged is the error of the endpoint for managed identities.
func (l login) unmanaged(last *recorder) error {
	switch {
	case last.status == http.StatusTooManyRequests:
		return fmt.Errorf("%s: managed identity: %w", l.store, &providers.ThrottledError{After: last.after})
	case last.status == 0 || last.err != nil:
		return providers.Errorf(providers.ErrUnavailable, "%s: no answer from the platform's endpoint for managed identities, which only Azure has", l.store)
	case last.status == http.StatusBadRequest || last.status == http.StatusUnauthorized || last.status == http.StatusForbidden:
		return providers.Errorf(providers.ErrDenied, "%s: the platform has no token of the managed identity; assign one to the node or the Pod, and name it in identityId when there are several", l.store)
	default:
		return providers.Errorf(providers.ErrUnavailable, "%s: the platform's endpoint for managed identities answered %d %s without a token", l.store, last.status, http.StatusText(last.status))
	}
}
