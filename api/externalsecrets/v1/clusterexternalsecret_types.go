package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClusterExternalSecretSpec says which ExternalSecret is kept in which namespaces.
type ClusterExternalSecretSpec struct {
	// ExternalSecretSpec is the spec of the ExternalSecrets.
	ExternalSecretSpec ExternalSecretSpec `json:"externalSecretSpec"`

	// ExternalSecretName is the name of the ExternalSecrets; the name of the ClusterExternalSecret when empty.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ExternalSecretName string `json:"externalSecretName,omitempty"`

	// ExternalSecretMetadata are labels and annotations of the ExternalSecrets.
	// +optional
	ExternalSecretMetadata ExternalSecretMetadata `json:"externalSecretMetadata,omitzero"`

	// NamespaceSelector selects namespaces by label, beside namespaceSelectors. An empty selector selects all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// NamespaceSelectors select namespaces by label. A namespace is selected that any of them selects.
	// +optional
	NamespaceSelectors []*metav1.LabelSelector `json:"namespaceSelectors,omitempty"`

	// Namespaces are selected by name, beside those of the selectors.
	// +optional
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespaces []string `json:"namespaces,omitempty"`

	// RefreshInterval is how often all namespaces are looked at although nothing happened, as a duration such as "15m"; 1h
	// when empty, never when 0.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="must be a duration such as 15m or 1h30m, and not negative"
	RefreshInterval *metav1.Duration `json:"refreshTime,omitempty"`
}

// ExternalSecretMetadata are labels and annotations of the ExternalSecrets of a ClusterExternalSecret.
type ExternalSecretMetadata struct {
	// Annotations of the ExternalSecrets.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// Labels of the ExternalSecrets.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
}

// NamespaceFailure is a namespace that has not got what it should.
type NamespaceFailure struct {
	// Namespace is its name.
	Namespace string `json:"namespace"`

	// Reason says what is in the way and what to do.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// ClusterExternalSecretStatus is what was provisioned, and where that failed.
//
// +structType=atomic
type ClusterExternalSecretStatus struct {
	// ObservedGeneration is the metadata.generation that the conditions are about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// SyncedResourceVersion identifies what the ExternalSecrets of all namespaces were made from last:
	// "<generation>-<hash of the annotation external-secrets.io/force-sync>".
	// +optional
	SyncedResourceVersion string `json:"syncedResourceVersion,omitempty"`

	// ExternalSecretName is the name of the ExternalSecrets.
	// +optional
	ExternalSecretName string `json:"externalSecretName,omitempty"`

	// FailedNamespaces are the namespaces that have not got what they should, in order of their names.
	// +optional
	FailedNamespaces []NamespaceFailure `json:"failedNamespaces,omitempty"`

	// ProvisionedNamespaces are the namespaces that have their ExternalSecret, in order of their names.
	// +optional
	ProvisionedNamespaces []string `json:"provisionedNamespaces,omitempty"`

	// Conditions holds Ready.
	// +optional
	Conditions []Condition `json:"conditions,omitempty"`
}

// ClusterExternalSecret keeps an ExternalSecret of one spec in each of the namespaces that it selects.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="external-secrets.io/component=controller"
// +kubebuilder:resource:scope=Cluster,categories={external-secrets},shortName=ces
// +kubebuilder:printcolumn:name="Store",type=string,JSONPath=`.spec.externalSecretSpec.secretStoreRef.name`
// +kubebuilder:printcolumn:name="Refresh Interval",type=string,JSONPath=`.spec.refreshTime`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
type ClusterExternalSecret struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +optional
	Spec ClusterExternalSecretSpec `json:"spec,omitzero"`
	// +optional
	Status ClusterExternalSecretStatus `json:"status,omitzero"`
}

// ClusterExternalSecretList is a list of ClusterExternalSecrets.
//
// +kubebuilder:object:root=true
type ClusterExternalSecretList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ClusterExternalSecret `json:"items"`
}
