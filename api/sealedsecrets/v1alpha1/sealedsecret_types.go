package v1alpha1

import (
	"bytes"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// SealedSecretSpec is a sealed Secret.
//
// +kubebuilder:validation:XValidation:rule="!has(self.data) || self.encryptedData.size() == 0",message="remove data (the deprecated format) or encryptedData: a SealedSecret holds one of them"
type SealedSecretSpec struct {
	// Template shapes the Secret.
	// +optional
	Template SecretTemplate `json:"template,omitzero"`

	// Data is the deprecated format: one sealed value that holds a whole Secret.
	// +optional
	Data []byte `json:"data,omitempty"`

	// EncryptedData are the sealed values, in base64, by key.
	// +kubebuilder:pruning:PreserveUnknownFields
	EncryptedData EncryptedData `json:"encryptedData"`
}

// EncryptedData are sealed values by key. What is no text, which definitions of old releases of Sealed Secrets let in, is read as
// an empty value, and what is no object at all as an empty value without a key, which no Secret can have: one object that cannot be
// decoded would fail the list of all of them.
type EncryptedData map[string]string

// UnmarshalJSON implements json.Unmarshaler.
func (d *EncryptedData) UnmarshalJSON(text []byte) error {
	values := map[string]string{}
	if !bytes.HasPrefix(text, []byte("{")) && string(text) != "null" { // the text is one JSON value
		values[""] = ""
	}
	_ = json.Unmarshal(text, &values) // what is no text is left empty
	*d = values
	return nil
}

// SecretTemplate shapes the Secret.
type SecretTemplate struct {
	// Metadata of the Secret. Name and namespace are always those of the SealedSecret.
	// +optional
	// +nullable
	// +kubebuilder:pruning:PreserveUnknownFields
	Metadata TemplateMetadata `json:"metadata,omitzero"`

	// Type of the Secret; Opaque when empty.
	// +optional
	Type string `json:"type,omitempty"`

	// Immutable makes the Secret immutable.
	// +optional
	Immutable *bool `json:"immutable,omitempty"`

	// Data are Go templates over the opened values, by key. A null keeps a key of encryptedData out of the Secret: its value
	// is there for the templates only.
	// +optional
	// +nullable
	Data map[string]*string `json:"data,omitempty"`
}

// TemplateMetadata is the metadata of the Secret. Other members of metadata are accepted and have no effect.
type TemplateMetadata struct {
	// Name is that of the SealedSecret, whatever is written here.
	// +optional
	Name string `json:"name,omitempty"`

	// Namespace is that of the SealedSecret, whatever is written here.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// Labels of the Secret.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations of the Secret.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// Finalizers of the Secret.
	// +optional
	Finalizers []string `json:"finalizers,omitempty"`
}

// ConditionType is what a condition is about.
type ConditionType string

const (
	// ConditionSynced is True when the Secret is as the SealedSecret says. It is always the first condition.
	ConditionSynced ConditionType = "Synced"
	// ConditionReady says the same as Synced, under the name that tools look for in every kind.
	ConditionReady ConditionType = "Ready"
)

// Reasons of the conditions Synced and Ready. Sealed Secrets itself never sets one.
const (
	// ReasonUnsealed: the Secret is as the SealedSecret says.
	ReasonUnsealed = "Unsealed"
	// ReasonUnsealFailed: no key of the cluster opens one of the values, or one was changed since it was sealed.
	ReasonUnsealFailed = "ErrUnsealFailed"
	// ReasonKeyUnavailable: whoever holds the sealing key, as Vault, does not answer or refuses. The Secret stays as it is.
	ReasonKeyUnavailable = "SealingKeyUnavailable"
	// ReasonUpdateFailed: the Secret could not be written.
	ReasonUpdateFailed = "ErrUpdateFailed"
	// ReasonNotManaged: a Secret of this name exists and belongs to somebody else.
	ReasonNotManaged = "NotManaged"
	// ReasonTemplateFailed: a template of spec.template.data cannot be rendered.
	ReasonTemplateFailed = "TemplateFailed"
	// ReasonInvalid: the SealedSecret asks for what is refused; its message says what.
	ReasonInvalid = "InvalidConfiguration"
)

// Condition is a condition of a SealedSecret, in the form that Sealed Secrets writes.
type Condition struct {
	// Type of the condition: Synced or Ready.
	Type ConditionType `json:"type"`

	// Status is True, False or Unknown.
	Status metav1.ConditionStatus `json:"status"`

	// LastUpdateTime is when the condition was written last.
	// +optional
	LastUpdateTime metav1.Time `json:"lastUpdateTime,omitzero"`

	// LastTransitionTime is when status changed last.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitzero"`

	// Reason is the CamelCase cause, for programs.
	// +optional
	Reason string `json:"reason,omitempty"`

	// Message says what is the case and what to do, for people; empty when all is well.
	// +optional
	Message string `json:"message,omitempty"`
}

// SealedSecretStatus is how the last attempt to unseal went.
//
// +structType=atomic
type SealedSecretStatus struct {
	// ObservedGeneration is the metadata.generation that the conditions are about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions holds Synced, then Ready.
	// +optional
	Conditions []Condition `json:"conditions,omitempty"`

	// Scope is the scope by which the values were opened: strict, namespace-wide or cluster-wide.
	// +optional
	Scope string `json:"scope,omitempty"`

	// SealingKey is the fingerprint of the sealing key that opened the values; of the last one, when there were several.
	// +optional
	SealingKey string `json:"sealingKey,omitempty"`

	// Secret is the Secret as it was written last. While it is unchanged there is nothing to do.
	// +optional
	Secret SecretVersion `json:"secret,omitzero"`
}

// SecretVersion names one version of one Secret.
type SecretVersion struct {
	// UID of the Secret.
	// +optional
	UID types.UID `json:"uid,omitempty"`

	// ResourceVersion of the Secret.
	// +optional
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

// SealedSecret is a Secret sealed to a key of the cluster, which anyone may see and only the cluster can open.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced
// +kubebuilder:printcolumn:name="Status",type="string",JSONPath=".status.conditions[0].message"
// +kubebuilder:printcolumn:name="Synced",type="string",JSONPath=".status.conditions[0].status"
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp"
type SealedSecret struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec SealedSecretSpec `json:"spec"`
	// +optional
	Status SealedSecretStatus `json:"status,omitzero"`
}

// SealedSecretList is a list of SealedSecrets.
//
// +kubebuilder:object:root=true
type SealedSecretList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []SealedSecret `json:"items"`
}
