package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Condition is a condition of an ExternalSecret or a store. It is the form that External Secrets Operator writes, which
// has no observedGeneration. LastTransitionTime moves only when Status does.
type Condition struct {
	// Type of the condition.
	Type ConditionType `json:"type"`

	// Status is True, False or Unknown.
	Status metav1.ConditionStatus `json:"status"`

	// Reason is the CamelCase cause, for programs.
	// +optional
	Reason string `json:"reason,omitempty"`

	// Message says what is the case and what to do, for people.
	// +optional
	Message string `json:"message,omitempty"`

	// LastTransitionTime is when status changed last.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitzero"`
}

// ConditionType is what a condition is about.
//
// +kubebuilder:validation:Enum=Ready;Deleted
type ConditionType string

const (
	// ConditionReady is True when the target is as the ExternalSecret asks, or when the store can be used.
	ConditionReady ConditionType = "Ready"
	// ConditionDeleted is the condition of an ExternalSecret whose target is gone on purpose.
	ConditionDeleted ConditionType = "Deleted"
)

// Reasons of an ExternalSecret's conditions. Those that start with Resource are for targets that are no Secrets.
const (
	// ReasonSecretSynced: the target is as the ExternalSecret asks.
	ReasonSecretSynced = "SecretSynced"
	// ReasonSecretSyncedError: the target could not be brought up to date; it is as it was before.
	ReasonSecretSyncedError = "SecretSyncedError"
	// ReasonSecretDeleted: every value is gone from the store and deletionPolicy is Delete.
	ReasonSecretDeleted = "SecretDeleted"
	// ReasonSecretMissing: creationPolicy is Merge and there is no Secret to merge into.
	ReasonSecretMissing = "SecretMissing"

	// ReasonResourceSynced is ReasonSecretSynced for other targets.
	ReasonResourceSynced = "ResourceSynced"
	// ReasonResourceSyncedError is ReasonSecretSyncedError for other targets.
	ReasonResourceSyncedError = "ResourceSyncedError"
	// ReasonResourceDeleted is ReasonSecretDeleted for other targets.
	ReasonResourceDeleted = "ResourceDeleted"
	// ReasonResourceMissing is ReasonSecretMissing for other targets.
	ReasonResourceMissing = "ResourceMissing"
)

// Reasons of a store's Ready condition.
const (
	// ReasonStoreValid: the backend accepts the store's identity. (True)
	ReasonStoreValid = "Valid"
	// ReasonValidationUnknown: the identity depends on the object that uses the store, or the backend cannot tell. (True)
	ReasonValidationUnknown = "ValidationUnknown"
	// ReasonInvalidStore: spec.provider names no provider that is built in, or more than one. (False)
	ReasonInvalidStore = "InvalidStoreConfiguration"
	// ReasonInvalidProviderConfig: the provider's configuration cannot work until somebody changes it. (False)
	ReasonInvalidProviderConfig = "InvalidProviderConfig"
	// ReasonAmbientCredentials: the store leaves its identity to the controller, and may not use one of the controller's own. (False)
	ReasonAmbientCredentials = "AmbientCredentialsRefused"
	// ReasonValidationFailed: the backend refused the identity or did not answer. (False)
	ReasonValidationFailed = "ValidationFailed"
)

// Reasons of a ClusterExternalSecret's Ready condition.
const (
	// ReasonProvisioned: each selected namespace has its ExternalSecret, and no other has one. (True)
	ReasonProvisioned = "Provisioned"
	// ReasonNamespacesFailed: status.failedNamespaces says where that is not so, and why. (False)
	ReasonNamespacesFailed = "NamespacesFailed"
	// ReasonInvalidSelector: a namespace selector cannot be read, so that nothing is done. (False)
	ReasonInvalidSelector = "InvalidSelector"
)

// Reasons of events.
const (
	// ReasonCreated: the target was created.
	ReasonCreated = "Created"
	// ReasonUpdated: the target was updated.
	ReasonUpdated = "Updated"
	// ReasonDeleted: the target was deleted.
	ReasonDeleted = "Deleted"
	// ReasonUpdateFailed: the target could not be brought up to date.
	ReasonUpdateFailed = "UpdateFailed"
	// ReasonMissingProviderSecret: the store has no such secret and deletionPolicy lets its keys go.
	ReasonMissingProviderSecret = "MissingProviderSecret"
	// ReasonParameterDeprecated: the manifest uses a field that is no longer honoured.
	ReasonParameterDeprecated = "ParameterDeprecated"
	// ReasonStoreUnmaintained: nobody maintains the store's provider.
	ReasonStoreUnmaintained = "StoreUnmaintained"
	// ReasonStoreDeprecated: the store's provider will be removed.
	ReasonStoreDeprecated = "StoreDeprecated"
)
