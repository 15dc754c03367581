package stores

// AWSService is one of the AWS services that hold secrets.
//
// +kubebuilder:validation:Enum=SecretsManager;ParameterStore;CertificateManager
type AWSService string

// The AWS services that hold secrets.
const (
	AWSSecretsManager     AWSService = "SecretsManager"
	AWSParameterStore     AWSService = "ParameterStore"
	AWSCertificateManager AWSService = "CertificateManager"
)

// AWSSessionTagsPolicy is which session tags are sent when roles are assumed.
//
// +kubebuilder:validation:Enum=None;Simple;Custom
type AWSSessionTagsPolicy string

// The policies for session tags.
const (
	// AWSSessionTagsNone sends the ones in sessionTags only.
	AWSSessionTagsNone AWSSessionTagsPolicy = "None"
	// AWSSessionTagsSimple adds esoNamespace, esoStoreName and esoStoreKind.
	AWSSessionTagsSimple AWSSessionTagsPolicy = "Simple"
	// AWSSessionTagsCustom adds customSessionTags to those of Simple.
	AWSSessionTagsCustom AWSSessionTagsPolicy = "Custom"
)

// AWS configures AWS Secrets Manager, Systems Manager Parameter Store or Certificate Manager.
type AWS struct {
	// Service to read.
	Service AWSService `json:"service"`

	// Auth says how to authenticate; the SDK's default chain (IRSA, EKS Pod Identity, instance role) when empty.
	// +optional
	Auth AWSAuth `json:"auth,omitzero"`

	// Role is the ARN of a role to assume.
	// +optional
	Role string `json:"role,omitempty"`

	// Region of the service.
	Region string `json:"region"`

	// AdditionalRoles are ARNs of roles that are assumed one after the other before role.
	// +optional
	AdditionalRoles []string `json:"additionalRoles,omitempty"`

	// ExternalID is sent along when roles are assumed.
	// +optional
	ExternalID string `json:"externalID,omitempty"`

	// SessionTags are sent along when roles are assumed.
	// +optional
	SessionTags []AWSTag `json:"sessionTags,omitempty"`

	// SecretsManager is how Secrets Manager deletes (PushSecret).
	// +optional
	SecretsManager *AWSSecretsManagerOptions `json:"secretsManager,omitempty"`

	// TransitiveTagKeys are the session tags that roles further down the chain keep.
	// +optional
	TransitiveTagKeys []string `json:"transitiveTagKeys,omitempty"`

	// SessionTagsPolicy is which session tags are added; None when empty.
	// +optional
	SessionTagsPolicy AWSSessionTagsPolicy `json:"sessionTagsPolicy,omitempty"`

	// CustomSessionTags are added when sessionTagsPolicy is Custom.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!('esoNamespace' in self) && !('esoStoreName' in self) && !('esoStoreKind' in self)",message="remove esoNamespace, esoStoreName and esoStoreKind: these tags are set by the controller"
	CustomSessionTags map[string]string `json:"customSessionTags,omitempty"`

	// Prefix is put before each key.
	// +optional
	Prefix string `json:"prefix,omitempty"`
}

// AWSAuth holds at most one way to authenticate to AWS.
type AWSAuth struct {
	// SecretRef holds access keys.
	// +optional
	SecretRef *AWSAuthSecretRef `json:"secretRef,omitempty"`

	// JWT uses the AWS role of a ServiceAccount (IRSA).
	// +optional
	JWT *AWSJWTAuth `json:"jwt,omitempty"`
}

// AWSAuthSecretRef names access keys.
type AWSAuthSecretRef struct {
	// AccessKeyID holds the key's id.
	// +optional
	AccessKeyID *SecretKeySelector `json:"accessKeyIDSecretRef,omitempty"`

	// SecretAccessKey holds the key.
	// +optional
	SecretAccessKey *SecretKeySelector `json:"secretAccessKeySecretRef,omitempty"`

	// SessionToken holds the token that temporary keys come with.
	// +optional
	SessionToken *SecretKeySelector `json:"sessionTokenSecretRef,omitempty"`
}

// AWSJWTAuth uses the AWS role that a ServiceAccount is annotated with (eks.amazonaws.com/role-arn).
type AWSJWTAuth struct {
	// ServiceAccountRef is the account that a token is requested for.
	// +optional
	ServiceAccountRef *ServiceAccountSelector `json:"serviceAccountRef,omitempty"`
}

// AWSTag is a session tag.
type AWSTag struct {
	// Key of the tag.
	Key string `json:"key"`

	// Value of the tag.
	Value string `json:"value"`
}

// AWSSecretsManagerOptions is how Secrets Manager deletes.
type AWSSecretsManagerOptions struct {
	// ForceDeleteWithoutRecovery deletes at once; not together with recoveryWindowInDays.
	// +optional
	ForceDeleteWithoutRecovery bool `json:"forceDeleteWithoutRecovery,omitempty"`

	// RecoveryWindowInDays, 7 to 30, is how long a deleted secret can be restored; 30 days when empty.
	// +optional
	RecoveryWindowInDays int64 `json:"recoveryWindowInDays,omitempty"`
}
