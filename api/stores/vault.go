package stores

// VaultKVVersion is the version of a KV secrets engine.
//
// +kubebuilder:validation:Enum=v1;v2
type VaultKVVersion string

// The versions of the KV secrets engine.
const (
	VaultKVv1 VaultKVVersion = "v1"
	VaultKVv2 VaultKVVersion = "v2"
)

// Vault configures a KV secrets engine of HashiCorp Vault.
type Vault struct {
	// Auth says how to log in; the first method that is set is used.
	// +optional
	Auth *VaultAuth `json:"auth,omitempty"`

	// Server is Vault's address, for example "https://vault.example.com:8200".
	Server string `json:"server"`

	// Path is where the KV engine is mounted, for example "secret". With v2 the "/data" of Vault's API may be left out.
	// Without a path, each key starts with the mount.
	// +optional
	Path string `json:"path,omitempty"`

	// Version of the KV engine; v2 when empty.
	// +optional
	Version VaultKVVersion `json:"version,omitempty"`

	// Namespace is the Vault Enterprise namespace that holds the engine.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// CABundle is a PEM bundle (base64) that Vault's certificate is checked against; the system's roots when neither it nor
	// caProvider is set.
	// +optional
	CABundle []byte `json:"caBundle,omitempty"`

	// CAProvider names an object that holds the CA bundle.
	// +optional
	CAProvider *CAProvider `json:"caProvider,omitempty"`

	// ClientTLS is the client certificate for servers that demand one. It is not the cert auth method.
	// +optional
	ClientTLS VaultClientTLS `json:"tls,omitzero"`

	// ReadYourWrites sends the replication state that was last seen along with each request (Vault Enterprise).
	// +optional
	ReadYourWrites bool `json:"readYourWrites,omitempty"`

	// ForwardInconsistent asks a performance standby to forward a read that it cannot answer consistently.
	// +optional
	ForwardInconsistent bool `json:"forwardInconsistent,omitempty"`

	// Headers are added to each request.
	// +optional
	Headers map[string]string `json:"headers,omitempty"`

	// CheckAndSet is how values are written (PushSecret, KV v2).
	// +optional
	CheckAndSet *VaultCheckAndSet `json:"checkAndSet,omitempty"`
}

// VaultClientTLS names a client certificate and its key.
type VaultClientTLS struct {
	// CertSecretRef holds the certificate; key "tls.crt" when none is named.
	// +optional
	CertSecretRef *SecretKeySelector `json:"certSecretRef,omitempty"`

	// KeySecretRef holds the private key; key "tls.key" when none is named.
	// +optional
	KeySecretRef *SecretKeySelector `json:"keySecretRef,omitempty"`
}

// VaultCheckAndSet is how values are written to KV v2.
type VaultCheckAndSet struct {
	// Required makes each write name the version that it replaces.
	// +optional
	Required bool `json:"required,omitempty"`
}

// VaultAuth holds one of Vault's auth methods.
type VaultAuth struct {
	// Namespace is the Vault Enterprise namespace to log in to; the store's when empty.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// TokenSecretRef holds a Vault token.
	// +optional
	TokenSecretRef *SecretKeySelector `json:"tokenSecretRef,omitempty"`

	// AppRole logs in with a role id and a secret id.
	// +optional
	AppRole *VaultAppRole `json:"appRole,omitempty"`

	// Kubernetes logs in with a ServiceAccount's token.
	// +optional
	Kubernetes *VaultKubernetesAuth `json:"kubernetes,omitempty"`

	// LDAP logs in with a user and password of a directory.
	// +optional
	LDAP *VaultUserAuth `json:"ldap,omitempty"`

	// JWT logs in with a JSON Web Token.
	// +optional
	JWT *VaultJWTAuth `json:"jwt,omitempty"`

	// Cert logs in with a client certificate.
	// +optional
	Cert *VaultCertAuth `json:"cert,omitempty"`

	// IAM logs in with a signed AWS request.
	// +optional
	IAM *VaultIAMAuth `json:"iam,omitempty"`

	// UserPass logs in with a user and password of Vault.
	// +optional
	UserPass *VaultUserAuth `json:"userPass,omitempty"`

	// GCP logs in with a Google Cloud identity.
	// +optional
	GCP *VaultGCPAuth `json:"gcp,omitempty"`
}

// VaultAppRole logs in with a role id and a secret id.
type VaultAppRole struct {
	// Path is where the method is mounted; "approle" when empty.
	// +optional
	Path string `json:"path,omitempty"`

	// RoleID is the role id itself; it wins over roleRef.
	// +optional
	RoleID string `json:"roleId,omitempty"`

	// RoleRef holds the role id.
	// +optional
	RoleRef *SecretKeySelector `json:"roleRef,omitempty"`

	// SecretRef holds the secret id.
	SecretRef SecretKeySelector `json:"secretRef"`
}

// VaultKubernetesAuth logs in with a ServiceAccount's token: serviceAccountRef, else secretRef, else the controller's own.
type VaultKubernetesAuth struct {
	// Path is where the method is mounted; "kubernetes" when empty.
	// +optional
	Path string `json:"mountPath,omitempty"`

	// ServiceAccountRef is the account that a token is requested for.
	// +optional
	ServiceAccountRef *ServiceAccountSelector `json:"serviceAccountRef,omitempty"`

	// SecretRef holds a ServiceAccount's token; key "token" when none is named.
	// +optional
	SecretRef *SecretKeySelector `json:"secretRef,omitempty"`

	// Role is the Vault role to log in as.
	Role string `json:"role"`
}

// VaultUserAuth logs in with a user and a password, to a directory (ldap) or to Vault itself (userPass).
type VaultUserAuth struct {
	// Path is where the method is mounted; "ldap" or "userpass" when empty.
	// +optional
	Path string `json:"path,omitempty"`

	// Username to log in as.
	Username string `json:"username"`

	// SecretRef holds the password.
	// +optional
	SecretRef *SecretKeySelector `json:"secretRef,omitempty"`
}

// VaultJWTAuth logs in with a JSON Web Token.
type VaultJWTAuth struct {
	// Path is where the method is mounted; "jwt" when empty.
	// +optional
	Path string `json:"path,omitempty"`

	// Role is the Vault role to log in as; the method's default role when empty.
	// +optional
	Role string `json:"role,omitempty"`

	// SecretRef holds the token.
	// +optional
	SecretRef *SecretKeySelector `json:"secretRef,omitempty"`

	// KubernetesServiceAccountToken requests a token of a ServiceAccount.
	// +optional
	KubernetesServiceAccountToken *VaultServiceAccountToken `json:"kubernetesServiceAccountToken,omitempty"`
}

// VaultServiceAccountToken requests a token of a ServiceAccount.
type VaultServiceAccountToken struct {
	// ServiceAccountRef is the account that a token is requested for.
	ServiceAccountRef ServiceAccountSelector `json:"serviceAccountRef"`

	// Audiences of the token, beside those of serviceAccountRef; "vault" when this field is missing.
	// +optional
	Audiences []string `json:"audiences,omitempty"`

	// ExpirationSeconds has no effect: tokens are asked for that live an hour, and one login uses each.
	// +optional
	ExpirationSeconds *int64 `json:"expirationSeconds,omitempty"`
}

// VaultCertAuth logs in with a client certificate.
type VaultCertAuth struct {
	// Path is where the method is mounted; "cert" when empty.
	// +optional
	Path string `json:"path,omitempty"`

	// VaultRole is the Vault role to log in as; any that matches the certificate when empty.
	// +optional
	VaultRole string `json:"vaultRole,omitempty"`

	// ClientCert holds the certificate.
	// +optional
	ClientCert *SecretKeySelector `json:"clientCert,omitempty"`

	// SecretRef holds the private key.
	// +optional
	SecretRef *SecretKeySelector `json:"secretRef,omitempty"`
}

// VaultIAMAuth logs in with a signed AWS request; with the controller's own AWS identity when neither secretRef nor jwt
// is set.
type VaultIAMAuth struct {
	// Path is where the method is mounted; "aws" when empty.
	// +optional
	Path string `json:"path,omitempty"`

	// Region of the AWS STS endpoint.
	// +optional
	Region string `json:"region,omitempty"`

	// AWSRole is the ARN of an AWS role to assume first.
	// +optional
	AWSRole string `json:"role,omitempty"`

	// Role is the Vault role to log in as.
	Role string `json:"vaultRole"`

	// ExternalID is sent along when AWS roles are assumed.
	// +optional
	ExternalID string `json:"externalID,omitempty"`

	// ServerID is the value of X-Vault-AWS-IAM-Server-ID that Vault expects.
	// +optional
	ServerID string `json:"vaultAwsIamServerID,omitempty"`

	// SecretRef holds AWS access keys.
	// +optional
	SecretRef *AWSAuthSecretRef `json:"secretRef,omitempty"`

	// JWT uses the AWS role of a ServiceAccount (IRSA).
	// +optional
	JWT *AWSJWTAuth `json:"jwt,omitempty"`
}

// VaultGCPAuth logs in with a Google Cloud identity; the controller's own when none is named.
type VaultGCPAuth struct {
	// Path is where the method is mounted; "gcp" when empty.
	// +optional
	Path string `json:"path,omitempty"`

	// Role is the Vault role to log in as.
	Role string `json:"role"`

	// ProjectID is the Google Cloud project.
	// +optional
	ProjectID string `json:"projectID,omitempty"`

	// Location is the region of the cluster, for workload identity.
	// +optional
	Location string `json:"location,omitempty"`

	// SecretRef holds the key of a Google service account.
	// +optional
	SecretRef *GCPAuthSecretRef `json:"secretRef,omitempty"`

	// WorkloadIdentity uses the Google identity of a ServiceAccount.
	// +optional
	WorkloadIdentity *GCPWorkloadIdentity `json:"workloadIdentity,omitempty"`

	// ServiceAccountRef is a ServiceAccount to impersonate.
	// +optional
	ServiceAccountRef *ServiceAccountSelector `json:"serviceAccountRef,omitempty"`
}
