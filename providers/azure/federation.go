package azure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// federation is a ServiceAccount that stands for an identity.
type federation struct{ client, tenant, token string }

func (f federation) assertion(context.Context) (string, error) { return f.token, nil }

// audienceOfEntra is what a token must be for that Entra ID exchanges.
const audienceOfEntra = "api://AzureADTokenExchange"

// The annotations by which a ServiceAccount names its identity (Azure Workload Identity, "Service account labels and
// annotations"), and what its webhook sets in the environment of a Pod.
const (
	annotationClient = "azure.workload.identity/client-id"
	annotationTenant = "azure.workload.identity/tenant-id"
	envClient        = "AZURE_CLIENT_ID"
	envTenant        = "AZURE_TENANT_ID"
	envTokenFile     = "AZURE_FEDERATED_TOKEN_FILE"
	envAuthority     = "AZURE_AUTHORITY_HOST"
)

// federated finds out which identity a ServiceAccount stands for, and gets a token of it.
func (l login) federated(ctx context.Context, authority string) (federation, error) {
	if l.spec.ServiceAccountRef == nil {
		return l.ownFederation(authority)
	}
	sel := *l.spec.ServiceAccountRef
	annotations, err := l.creds.Env.Annotations(ctx, providers.AccountRef{Namespace: sel.Namespace, Name: sel.Name})
	if errors.Is(err, providers.ErrNotFound) {
		return federation{}, providers.Errorf(providers.ErrUnavailable, "%s: serviceAccountRef: %s", l.store, err.Error())
	}
	if err != nil {
		return federation{}, fmt.Errorf("%s: serviceAccountRef: %w", l.store, err)
	}
	b := binding{annotations: annotations, tenant: l.spec.TenantID, podTenant: os.Getenv(envTenant), current: currentSDK(l.spec)}
	if refs := l.spec.AuthSecretRef; refs != nil && !b.current {
		if b.secretClient, err = l.creds.Text(ctx, "authSecretRef.clientId", *refs.ClientID, ""); err != nil {
			return federation{}, err
		}
		if refs.TenantID != nil {
			if b.secretTenant, err = l.creds.Text(ctx, "authSecretRef.tenantId", *refs.TenantID, ""); err != nil {
				return federation{}, err
			}
		}
	}
	f, err := b.identity()
	if err != nil {
		return federation{}, providers.Errorf(providers.ErrInvalid, "%s: serviceAccountRef: ServiceAccount %s: %s", l.store, sel.Name, err.Error())
	}
	sel.Audiences = slices.Concat([]string{audienceOfEntra}, sel.Audiences)
	t, err := l.creds.Token(ctx, "serviceAccountRef", sel)
	f.token = string(t.Value.Bytes())
	return f, err
}

// ownFederation is the controller's own, which a webhook has put into its Pod.
func (l login) ownFederation(authority string) (federation, error) {
	f := federation{client: os.Getenv(envClient), tenant: os.Getenv(envTenant)}
	file := os.Getenv(envTokenFile)
	if f.client == "" || f.tenant == "" || file == "" {
		return f, providers.Errorf(providers.ErrInvalid, "%s: authType WorkloadIdentity without serviceAccountRef needs %s, %s and %s in the controller's environment; "+
			"label its Pod azure.workload.identity/use: \"true\", or name a ServiceAccount", l.store, envClient, envTenant, envTokenFile)
	}
	if !trustsAuthority(authority, os.Getenv(envAuthority)) {
		return f, providers.Errorf(providers.ErrInvalid, "%s: customCloudConfig.activeDirectoryEndpoint: the controller's own token is shown to no authority but those of Azure's "+
			"clouds and the one in its environment (%s); name a serviceAccountRef", l.store, envAuthority)
	}
	raw, err := os.ReadFile(file) //nolint:gosec // the file that whoever runs the controller names
	if err != nil {
		return f, providers.Errorf(providers.ErrUnavailable, "%s: the file that %s names in the controller's environment cannot be read", l.store, envTokenFile)
	}
	f.token = strings.TrimSpace(string(raw))
	return f, nil
}

// binding is what is known of the identity that a ServiceAccount stands for.
type binding struct {
	annotations map[string]string
	// secretClient and secretTenant are those of authSecretRef, tenant is that of the store, and podTenant the controller's own.
	secretClient, secretTenant, tenant, podTenant string
	current                                       bool
}

// identity decides as External Secrets Operator 2.9 does (authorizerForWorkloadIdentity in
// providers/v1/azure/keyvault/keyvault.go): nothing may be said twice. With the current SDK it asks no Secret and lets the
// store's tenant win (buildWorkloadIdentityCredential in keyvault_new_sdk.go).
func (b binding) identity() (federation, error) {
	f := federation{client: b.secretClient, tenant: b.secretTenant}
	if f.tenant == "" {
		f.tenant = b.tenant
	}
	if client, ok := b.annotations[annotationClient]; ok {
		if f.client != "" {
			return f, errors.New("its client id is in authSecretRef.clientId and in the annotation " + annotationClient + "; remove one")
		}
		f.client = client
	}
	tenant, ok := b.annotations[annotationTenant]
	switch {
	case ok && f.tenant != "" && !b.current:
		return f, errors.New("its tenant id is in the store and in the annotation " + annotationTenant + "; remove one")
	case f.tenant == "":
		f.tenant = tenant
	}
	if f.tenant == "" {
		f.tenant = b.podTenant
	}
	switch {
	case f.client == "":
		return f, errors.New("its client id is not known; annotate it with " + annotationClient + ", or set authSecretRef.clientId")
	case !credential.Printable(f.client):
		return f, errors.New("its client id is not printable ASCII")
	case f.tenant == "":
		return f, errors.New("its tenant id is not known; annotate it with " + annotationTenant + ", or set tenantId")
	case !isTenant(f.tenant):
		return f, errors.New("its tenant id cannot be one")
	default:
		return f, nil
	}
}
