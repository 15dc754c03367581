package stores

// Kubernetes configures a cluster whose Secrets are read: this one, or the one that server and auth (or authRef) name.
type Kubernetes struct {
	// Server is the API server to read from.
	// +optional
	Server KubernetesServer `json:"server,omitzero"`

	// Auth says how to authenticate.
	// +optional
	Auth *KubernetesAuth `json:"auth,omitempty"`

	// AuthRef holds a kubeconfig that says both where the API server is and how to authenticate, instead of server and auth.
	// +optional
	AuthRef *SecretKeySelector `json:"authRef,omitempty"`

	// RemoteNamespace is where the Secrets are; "default" when empty.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	RemoteNamespace string `json:"remoteNamespace,omitempty"`
}

// KubernetesServer is where an API server is.
type KubernetesServer struct {
	// URL of the API server; "kubernetes.default", this cluster's own, when empty.
	// +optional
	URL string `json:"url,omitempty"`

	// CABundle is a PEM bundle (base64) that the server's certificate is checked against.
	// +optional
	CABundle []byte `json:"caBundle,omitempty"`

	// CAProvider names an object that holds the CA bundle.
	// +optional
	CAProvider *CAProvider `json:"caProvider,omitempty"`
}

// KubernetesAuth holds exactly one way to authenticate to an API server.
//
// +kubebuilder:validation:XValidation:rule="[has(self.cert), has(self.token), has(self.serviceAccount)].filter(set, set).size() == 1",message="set exactly one of cert, token and serviceAccount"
type KubernetesAuth struct {
	// Cert authenticates with a client certificate.
	// +optional
	Cert *KubernetesCertAuth `json:"cert,omitempty"`

	// Token authenticates with a bearer token.
	// +optional
	Token *KubernetesTokenAuth `json:"token,omitempty"`

	// ServiceAccount authenticates with a requested token of a ServiceAccount of this cluster.
	// +optional
	ServiceAccount *ServiceAccountSelector `json:"serviceAccount,omitempty"`
}

// KubernetesCertAuth names a client certificate and its key.
type KubernetesCertAuth struct {
	// ClientCert holds the certificate.
	// +optional
	ClientCert SecretKeySelector `json:"clientCert,omitzero"`

	// ClientKey holds the private key.
	// +optional
	ClientKey SecretKeySelector `json:"clientKey,omitzero"`
}

// KubernetesTokenAuth names a bearer token.
type KubernetesTokenAuth struct {
	// BearerToken holds the token.
	// +optional
	BearerToken SecretKeySelector `json:"bearerToken,omitzero"`
}
