package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sealbridge/sealbridge/api/stores"
)

// SecretStoreSpec is one backend plus one identity.
type SecretStoreSpec struct {
	// Controller is the class of the controller that serves this store; any when empty.
	// +optional
	Controller string `json:"controller,omitempty"`

	// Provider is the backend; exactly one. One that SealBridge does not have is kept as it is and named in the condition
	// Ready.
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=1
	// +kubebuilder:pruning:PreserveUnknownFields
	Provider stores.Provider `json:"provider"`

	// RetrySettings are for single requests to the backend.
	// +optional
	RetrySettings *RetrySettings `json:"retrySettings,omitempty"`

	// RefreshInterval is how often the store is validated: whole seconds, or a duration such as "5m". The controller's
	// default when empty or 0.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 2147483647 : duration(self) >= duration('0s')",message="must be a number of seconds or a duration such as 5m, and not negative"
	RefreshInterval *intstr.IntOrString `json:"refreshInterval,omitempty"`

	// Conditions say which namespaces may use a ClusterSecretStore: those that match one of them, all when there are none.
	// +optional
	Conditions []StoreCondition `json:"conditions,omitempty"`
}

// RetrySettings are for single requests to the backend.
type RetrySettings struct {
	// MaxRetries is how often a failed request is repeated.
	// +optional
	// +kubebuilder:validation:Minimum=-2147483648
	// +kubebuilder:validation:Maximum=2147483647
	MaxRetries *int32 `json:"maxRetries,omitempty"`

	// RetryInterval is how long to wait in between, as a duration such as "10s".
	// +optional
	RetryInterval string `json:"retryInterval,omitempty"`
}

// StoreCondition matches a namespace that any of its members matches.
type StoreCondition struct {
	// NamespaceSelector matches namespaces by label.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// Namespaces matches namespaces by name.
	// +optional
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespaces []string `json:"namespaces,omitempty"`

	// NamespaceRegexes matches namespaces whose name contains a match of one of these regular expressions (RE2).
	// +optional
	NamespaceRegexes []string `json:"namespaceRegexes,omitempty"`
}

// StoreCapabilities is what can be done with a store.
type StoreCapabilities string

// What can be done with a store.
const (
	StoreReadOnly  StoreCapabilities = "ReadOnly"
	StoreWriteOnly StoreCapabilities = "WriteOnly"
	StoreReadWrite StoreCapabilities = "ReadWrite"
)

// SecretStoreStatus is what the controller found out about a store.
//
// +structType=atomic
type SecretStoreStatus struct {
	// ObservedGeneration is the metadata.generation that the conditions are about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions holds Ready.
	// +optional
	Conditions []Condition `json:"conditions,omitempty"`

	// Capabilities is ReadOnly, WriteOnly or ReadWrite.
	// +optional
	Capabilities StoreCapabilities `json:"capabilities,omitempty"`

	// Unavailable is set when the backend gave no answer, or asked for time, when it was checked last: who uses the store asks
	// it nevertheless, and says what came of it.
	// +optional
	Unavailable bool `json:"unavailable,omitempty"`

	// Credentials are the objects of the cluster that the store was opened with when it was last found ready. By them a
	// controller that starts sees what was replaced while none ran.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	Credentials []CredentialSource `json:"credentials,omitempty"`
}

// CredentialSource is a Secret, ConfigMap or ServiceAccount that a store was opened with, and which of its versions was read.
type CredentialSource struct {
	// Kind is ConfigMap, Secret or ServiceAccount.
	Kind string `json:"kind"`

	// Namespace of the object.
	Namespace string `json:"namespace"`

	// Name of the object.
	Name string `json:"name"`

	// ResourceVersion is the version that was read.
	ResourceVersion string `json:"resourceVersion"`
}

// SecretStore is a backend that the ExternalSecrets of its own namespace may use.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="external-secrets.io/component=controller"
// +kubebuilder:resource:scope=Namespaced,categories={external-secrets},shortName=ss
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Capabilities",type=string,JSONPath=`.status.capabilities`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
type SecretStore struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +optional
	Spec SecretStoreSpec `json:"spec,omitzero"`
	// +optional
	Status SecretStoreStatus `json:"status,omitzero"`
}

// SecretStoreList is a list of SecretStores.
//
// +kubebuilder:object:root=true
type SecretStoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []SecretStore `json:"items"`
}

// ClusterSecretStore is a backend that the ExternalSecrets of all namespaces may use, or of those that spec.conditions
// name.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="external-secrets.io/component=controller"
// +kubebuilder:resource:scope=Cluster,categories={external-secrets},shortName=css
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Capabilities",type=string,JSONPath=`.status.capabilities`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
type ClusterSecretStore struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +optional
	Spec SecretStoreSpec `json:"spec,omitzero"`
	// +optional
	Status SecretStoreStatus `json:"status,omitzero"`
}

// ClusterSecretStoreList is a list of ClusterSecretStores.
//
// +kubebuilder:object:root=true
type ClusterSecretStoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ClusterSecretStore `json:"items"`
}
