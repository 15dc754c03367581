package stores

// AzureAuthType is how to authenticate to Azure.
//
// +kubebuilder:validation:Enum=ServicePrincipal;ManagedIdentity;WorkloadIdentity
type AzureAuthType string

// The ways to authenticate to Azure.
const (
	// AzureServicePrincipal needs tenantId and authSecretRef.
	AzureServicePrincipal AzureAuthType = "ServicePrincipal"
	// AzureManagedIdentity uses the identity of the controller's pod or node.
	AzureManagedIdentity AzureAuthType = "ManagedIdentity"
	// AzureWorkloadIdentity uses the federated identity of a ServiceAccount.
	AzureWorkloadIdentity AzureAuthType = "WorkloadIdentity"
)

// AzureEnvironment is one of Azure's clouds.
//
// +kubebuilder:validation:Enum=PublicCloud;USGovernmentCloud;ChinaCloud;GermanCloud;AzureStackCloud
type AzureEnvironment string

// Azure's clouds.
const (
	AzurePublicCloud       AzureEnvironment = "PublicCloud"
	AzureUSGovernmentCloud AzureEnvironment = "USGovernmentCloud"
	AzureChinaCloud        AzureEnvironment = "ChinaCloud"
	AzureGermanCloud       AzureEnvironment = "GermanCloud"
	AzureStackCloud        AzureEnvironment = "AzureStackCloud"
)

// AzureKV configures Azure Key Vault.
type AzureKV struct {
	// AuthType is how to authenticate; ServicePrincipal when empty.
	// +optional
	AuthType AzureAuthType `json:"authType,omitempty"`

	// VaultURL is the vault's address, for example "https://team-a.vault.azure.net".
	VaultURL string `json:"vaultUrl"`

	// TenantID is the Entra tenant; ServicePrincipal needs it.
	// +optional
	TenantID string `json:"tenantId,omitempty"`

	// EnvironmentType is the cloud; PublicCloud when empty.
	// +optional
	EnvironmentType AzureEnvironment `json:"environmentType,omitempty"`

	// AuthSecretRef names credentials; ServicePrincipal needs it.
	// +optional
	AuthSecretRef *AzureAuthSecretRef `json:"authSecretRef,omitempty"`

	// ServiceAccountRef is the account that WorkloadIdentity requests a token for; the controller's own identity when empty.
	// +optional
	ServiceAccountRef *ServiceAccountSelector `json:"serviceAccountRef,omitempty"`

	// IdentityID selects one of several managed identities.
	// +optional
	IdentityID string `json:"identityId,omitempty"`

	// UseAzureSDK leaves the times out of metadata and sorts the fields of keys, as that of External Secrets Operator does.
	// +optional
	UseAzureSDK *bool `json:"useAzureSDK,omitempty"`

	// CustomCloudConfig are the endpoints of a cloud that environmentType does not name; AzureStackCloud needs it.
	// +optional
	CustomCloudConfig *AzureCustomCloud `json:"customCloudConfig,omitempty"`
}

// AzureAuthSecretRef names credentials of a service principal or a managed identity.
type AzureAuthSecretRef struct {
	// ClientID holds the client id.
	// +optional
	ClientID *SecretKeySelector `json:"clientId,omitempty"`

	// TenantID holds the tenant id.
	// +optional
	TenantID *SecretKeySelector `json:"tenantId,omitempty"`

	// ClientSecret holds the client secret.
	// +optional
	ClientSecret *SecretKeySelector `json:"clientSecret,omitempty"`

	// ClientCertificate holds the client certificate.
	// +optional
	ClientCertificate *SecretKeySelector `json:"clientCertificate,omitempty"`
}

// AzureCustomCloud are the endpoints of a cloud.
type AzureCustomCloud struct {
	// ActiveDirectoryEndpoint is where tokens come from.
	ActiveDirectoryEndpoint string `json:"activeDirectoryEndpoint"`

	// KeyVaultEndpoint is accepted and has no effect: the vault says which tokens it takes.
	// +optional
	KeyVaultEndpoint string `json:"keyVaultEndpoint,omitempty"`

	// KeyVaultDNSSuffix is accepted and has no effect.
	// +optional
	KeyVaultDNSSuffix string `json:"keyVaultDNSSuffix,omitempty"`

	// ResourceManagerEndpoint is accepted and has no effect.
	// +optional
	ResourceManagerEndpoint string `json:"resourceManagerEndpoint,omitempty"`
}
