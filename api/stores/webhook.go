package stores

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Webhook configures an HTTP API. URL, headers, body and result.jsonPath are templates over .remoteRef (key, version,
// property, namespace) and the secrets by name.
type Webhook struct {
	// Method of the request; GET when empty.
	// +optional
	Method string `json:"method,omitempty"`

	// URL to call.
	URL string `json:"url"`

	// Headers of the request.
	// +optional
	Headers map[string]string `json:"headers,omitempty"`

	// Auth is how the request authenticates, beside what headers say.
	// +optional
	Auth *WebhookAuth `json:"auth,omitempty"`

	// Body of the request.
	// +optional
	Body string `json:"body,omitempty"`

	// Timeout of one request, for example "5s".
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration(self)",message="must be a duration such as 30s or 1m30s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// Result says where the value is in the answer.
	// +optional
	Result WebhookResult `json:"result,omitzero"`

	// Secrets whose keys the templates may use.
	// +optional
	Secrets []WebhookSecret `json:"secrets,omitempty"`

	// CABundle is a PEM bundle (base64) that the server's certificate is checked against; the system's roots when neither
	// it nor caProvider is set.
	// +optional
	CABundle []byte `json:"caBundle,omitempty"`

	// CAProvider names an object that holds the CA bundle.
	// +optional
	CAProvider *CAProvider `json:"caProvider,omitempty"`
}

// WebhookAuth holds exactly one authentication protocol.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=1
type WebhookAuth struct {
	// NTLM authenticates with a user and password.
	// +optional
	NTLM *WebhookNTLM `json:"ntlm,omitempty"`
}

// WebhookNTLM names a user and password.
type WebhookNTLM struct {
	// UsernameSecret holds the user's name.
	UsernameSecret SecretKeySelector `json:"usernameSecret"`

	// PasswordSecret holds the password.
	PasswordSecret SecretKeySelector `json:"passwordSecret"`
}

// WebhookResult says where the value is in the answer.
type WebhookResult struct {
	// JSONPath to the value, for example "$.data.password"; the whole answer when empty.
	// +optional
	JSONPath string `json:"jsonPath,omitempty"`
}

// WebhookSecret is a Secret whose keys the templates may use.
type WebhookSecret struct {
	// Name under which the templates find the Secret.
	Name string `json:"name"`

	// SecretRef names the Secret.
	SecretRef SecretKeySelector `json:"secretRef"`
}
