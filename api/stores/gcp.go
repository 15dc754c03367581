package stores

// GCPVersionPolicy is what "latest" means when the newest version cannot be read.
type GCPVersionPolicy string

// The policies for selecting a version.
const (
	// GCPLatestOrFail reads the newest version and fails when it is disabled or destroyed.
	GCPLatestOrFail GCPVersionPolicy = "LatestOrFail"
	// GCPLatestOrFetch falls back to the newest version that is enabled.
	GCPLatestOrFetch GCPVersionPolicy = "LatestOrFetch"
)

// GCPSM configures Google Cloud Secret Manager.
type GCPSM struct {
	// Auth says how to authenticate; Application Default Credentials when empty.
	// +optional
	Auth GCPAuth `json:"auth,omitzero"`

	// ProjectID is the project that holds the secrets.
	// +optional
	ProjectID string `json:"projectID,omitempty"`

	// Location of regional secrets; global ones when empty.
	// +optional
	Location string `json:"location,omitempty"`

	// SecretVersionSelectionPolicy, LatestOrFail or LatestOrFetch, is what "latest" means when the newest version cannot be
	// read; LatestOrFail when empty.
	// +optional
	SecretVersionSelectionPolicy GCPVersionPolicy `json:"secretVersionSelectionPolicy,omitempty"`
}

// GCPAuth holds at most one way to authenticate to Google Cloud.
type GCPAuth struct {
	// SecretRef holds the key of a Google service account.
	// +optional
	SecretRef *GCPAuthSecretRef `json:"secretRef,omitempty"`

	// WorkloadIdentity uses the Google identity of a ServiceAccount (GKE).
	// +optional
	WorkloadIdentity *GCPWorkloadIdentity `json:"workloadIdentity,omitempty"`

	// WorkloadIdentityFederation exchanges a foreign identity for a Google one.
	// +optional
	WorkloadIdentityFederation *GCPWorkloadIdentityFederation `json:"workloadIdentityFederation,omitempty"`
}

// GCPAuthSecretRef names the key of a Google service account.
type GCPAuthSecretRef struct {
	// SecretAccessKey holds the key as JSON.
	// +optional
	SecretAccessKey *SecretKeySelector `json:"secretAccessKeySecretRef,omitempty"`
}

// GCPWorkloadIdentity uses the Google identity of a ServiceAccount (GKE). Empty fields are read from the metadata server.
type GCPWorkloadIdentity struct {
	// ServiceAccountRef is the account that a token is requested for.
	ServiceAccountRef ServiceAccountSelector `json:"serviceAccountRef"`

	// ClusterLocation is the zone or region of the cluster.
	// +optional
	ClusterLocation string `json:"clusterLocation,omitempty"`

	// ClusterName is the name of the cluster.
	// +optional
	ClusterName string `json:"clusterName,omitempty"`

	// ClusterProjectID is the project of the cluster.
	// +optional
	ClusterProjectID string `json:"clusterProjectID,omitempty"`
}

// GCPWorkloadIdentityFederation exchanges a foreign identity for a Google one.
type GCPWorkloadIdentityFederation struct {
	// CredConfig holds an external account configuration as JSON.
	// +optional
	CredConfig *GCPConfigMapKey `json:"credConfig,omitempty"`

	// ServiceAccountRef is the account that a token is requested for, when the pool trusts this cluster.
	// +optional
	ServiceAccountRef *ServiceAccountSelector `json:"serviceAccountRef,omitempty"`

	// AWSSecurityCredentials are used when the pool trusts AWS.
	// +optional
	AWSSecurityCredentials *GCPAWSCredentials `json:"awsSecurityCredentials,omitempty"`

	// Audience is the resource name of the pool's provider; it overrides the one in credConfig.
	// +optional
	Audience string `json:"audience,omitempty"`

	// ExternalTokenEndpoint is the only address that credConfig may fetch tokens from.
	// +optional
	ExternalTokenEndpoint string `json:"externalTokenEndpoint,omitempty"`

	// GCPServiceAccountEmail is the Google service account to impersonate.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:Pattern=`^.*@.*\.iam\.gserviceaccount\.com$`
	GCPServiceAccountEmail string `json:"gcpServiceAccountEmail,omitempty"`
}

// GCPConfigMapKey names one key of a ConfigMap.
type GCPConfigMapKey struct {
	// Name of the ConfigMap.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`

	// Namespace of the ConfigMap; as for every reference of a store, only a ClusterSecretStore may name another.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace,omitempty"`

	// Key in the ConfigMap's data.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key"`
}

// GCPAWSCredentials are AWS credentials that a workload identity pool trusts.
type GCPAWSCredentials struct {
	// Region of AWS.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z0-9-]+$`
	Region string `json:"region"`

	// AWSCredentialsSecretRef names a Secret with the keys aws_access_key_id, aws_secret_access_key and, for temporary
	// ones, aws_session_token.
	AWSCredentialsSecretRef GCPSecretName `json:"awsCredentialsSecretRef"`
}

// GCPSecretName names a Secret.
type GCPSecretName struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`

	// Namespace of the Secret; as for every reference of a store, only a ClusterSecretStore may name another.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace,omitempty"`
}
