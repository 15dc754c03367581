package azure

import (
	"strings"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Validate implements providers.Provider.
func (Provider) Validate(cfg providers.Config) []providers.Problem {
	spec, ok := cfg.Spec.(*stores.AzureKV)
	if !ok || spec == nil {
		return []providers.Problem{{Field: "azurekv", Message: "is required"}}
	}
	var c credential.Checks
	checkHTTPS(&c, "vaultUrl", spec.VaultURL)
	checkCloud(&c, spec)
	if spec.TenantID != "" && !isTenant(spec.TenantID) {
		c.Add("tenantId", "must be the id or a domain name of an Entra tenant")
	}
	switch authTypeOf(spec) {
	case stores.AzureServicePrincipal:
		checkServicePrincipal(&c, spec)
	case stores.AzureManagedIdentity:
		if spec.IdentityID != "" && !credential.Printable(spec.IdentityID) {
			c.Add("identityId", "must be printable ASCII")
		}
	case stores.AzureWorkloadIdentity:
		checkWorkloadIdentity(&c, spec)
	default:
		c.Add("authType", "must be ServicePrincipal, ManagedIdentity or WorkloadIdentity")
	}
	return c.Problems
}

// Ambient implements providers.Provider: the managed identity of the controller's Pod or node, and the ServiceAccount of the
// controller's Pod, are its own.
func (Provider) Ambient(cfg providers.Config) *providers.Ambient {
	if spec, ok := cfg.Spec.(*stores.AzureKV); ok && spec != nil {
		return ambientOf(spec)
	}
	return nil
}

// ambientOf is what of a store leaves the identity to the controller.
func ambientOf(spec *stores.AzureKV) *providers.Ambient {
	switch t := authTypeOf(spec); {
	case t == stores.AzureManagedIdentity:
		return &providers.Ambient{Field: "authType", Instead: "use authType WorkloadIdentity with serviceAccountRef, or ServicePrincipal with authSecretRef"}
	case t == stores.AzureWorkloadIdentity && spec.ServiceAccountRef == nil:
		return &providers.Ambient{Field: "authType", Instead: "set serviceAccountRef"}
	default:
		return nil
	}
}

func checkHTTPS(c *credential.Checks, field, address string) {
	if u := c.Address(field, address); u != nil && u.Scheme != "https" {
		c.Add(field, "must begin with https://: tokens are sent there")
	}
}

func checkCloud(c *credential.Checks, spec *stores.AzureKV) {
	switch spec.EnvironmentType {
	case "", stores.AzurePublicCloud, stores.AzureUSGovernmentCloud, stores.AzureChinaCloud:
	case stores.AzureGermanCloud:
		c.Add("environmentType", "GermanCloud was closed in 2021; name the cloud that the vault is in now")
	case stores.AzureStackCloud:
		if spec.CustomCloudConfig == nil {
			c.Add("customCloudConfig", "is required with environmentType AzureStackCloud")
		}
	default:
		c.Add("environmentType", "must be PublicCloud, USGovernmentCloud, ChinaCloud or AzureStackCloud")
	}
	if spec.CustomCloudConfig != nil {
		checkHTTPS(c, "customCloudConfig.activeDirectoryEndpoint", spec.CustomCloudConfig.ActiveDirectoryEndpoint)
	}
}

func checkServicePrincipal(c *credential.Checks, spec *stores.AzureKV) {
	if spec.TenantID == "" {
		c.Add("tenantId", "is required with authType ServicePrincipal")
	}
	refs := spec.AuthSecretRef
	if refs == nil {
		c.Add("authSecretRef", "is required with authType ServicePrincipal")
		return
	}
	c.Selector("authSecretRef.clientId", refs.ClientID, false)
	switch secret, cert := refs.ClientSecret, refs.ClientCertificate; {
	case secret != nil && cert != nil:
		c.Add("authSecretRef", "must hold clientSecret or clientCertificate, not both")
	case cert != nil:
		c.Selector("authSecretRef.clientCertificate", cert, false)
	default:
		c.Selector("authSecretRef.clientSecret", secret, false)
	}
}

func checkWorkloadIdentity(c *credential.Checks, spec *stores.AzureKV) {
	if spec.ServiceAccountRef == nil {
		return // the controller's own, which only Open can look for
	}
	c.Account("serviceAccountRef", *spec.ServiceAccountRef)
	refs := spec.AuthSecretRef
	if refs == nil || currentSDK(spec) {
		return
	}
	c.Selector("authSecretRef.clientId", refs.ClientID, false)
	if refs.TenantID != nil {
		c.Selector("authSecretRef.tenantId", refs.TenantID, false)
	}
}

// isTenant reports whether Entra ID can know a tenant by this name.
func isTenant(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '.' && r != '-'
	}) < 0
}
