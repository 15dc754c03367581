package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// RefreshPolicy is when values are read again.
//
// +kubebuilder:validation:Enum=CreatedOnce;Periodic;OnChange
type RefreshPolicy string

// The refresh policies.
const (
	// RefreshCreatedOnce reads once in the life of the ExternalSecret.
	RefreshCreatedOnce RefreshPolicy = "CreatedOnce"
	// RefreshPeriodic reads each refreshInterval, and when the ExternalSecret changes.
	RefreshPeriodic RefreshPolicy = "Periodic"
	// RefreshOnChange reads when the ExternalSecret's spec, labels or annotations change.
	RefreshOnChange RefreshPolicy = "OnChange"
)

// ExternalSecretSpec says which values of which stores make up a target.
//
// +kubebuilder:validation:XValidation:rule="(has(self.data) && self.data.size() > 0) || (has(self.dataFrom) && self.dataFrom.size() > 0)",message="set data or dataFrom: without them there is nothing to fetch"
// +kubebuilder:validation:XValidation:rule="!has(self.data) || self.data.size() > 100 || (has(self.target) && has(self.target.deletionPolicy) && self.target.deletionPolicy != 'Retain') || [self.data.map(d, d.secretKey)].all(keys, keys.all(k, keys.indexOf(k) == keys.lastIndexOf(k)))",message="data names a secretKey twice: remove one of the entries"
type ExternalSecretSpec struct {
	// SecretStoreRef is the store of each entry that names none of its own.
	// +optional
	SecretStoreRef StoreRef `json:"secretStoreRef,omitzero"`

	// Target is what is written; a Secret with the ExternalSecret's name when empty, or null, which server-side apply makes of fields
	// that were there when there are none now.
	// +optional
	// +nullable
	Target Target `json:"target,omitzero"`

	// RefreshPolicy is when values are read again; Periodic when empty.
	// +optional
	RefreshPolicy RefreshPolicy `json:"refreshPolicy,omitempty"`

	// RefreshInterval is how often values are read again, as a duration such as "15m"; 1h when empty. "0s" reads them once.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration(self)",message="must be a duration such as 30s, 15m or 1h30m"
	RefreshInterval *metav1.Duration `json:"refreshInterval,omitempty"`

	// SyncWindows restricts when periodic refreshes happen.
	// +optional
	SyncWindows *SyncWindows `json:"syncWindows,omitempty"`

	// Data are single values: one key of the target each. A secretKey appears once, unless deletionPolicy is Delete or Merge:
	// then the last one wins. (The schema checks lists of up to 100 entries; a longer one takes an API server too long.)
	// +optional
	// +kubebuilder:validation:MaxItems=1000
	Data []Data `json:"data,omitempty"`

	// DataFrom are many values at once. They are merged in order, later ones win, and data wins over all.
	// +optional
	// +kubebuilder:validation:MaxItems=1000
	DataFrom []DataFrom `json:"dataFrom,omitempty"`
}

// StoreRef names a store.
type StoreRef struct {
	// Name of the store.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name,omitempty"`

	// Kind of the store, SecretStore or ClusterSecretStore; SecretStore when empty.
	// +optional
	// +kubebuilder:validation:Enum=SecretStore;ClusterSecretStore
	Kind string `json:"kind,omitempty"`
}

// SyncWindowKind is what happens inside of sync windows.
//
// +kubebuilder:validation:Enum=allow;deny
type SyncWindowKind string

// What happens inside of sync windows.
const (
	// SyncWindowAllow refreshes inside of the windows only.
	SyncWindowAllow SyncWindowKind = "allow"
	// SyncWindowDeny refreshes outside of the windows only.
	SyncWindowDeny SyncWindowKind = "deny"
)

// SyncWindows restricts when periodic refreshes happen.
type SyncWindows struct {
	// Kind says whether refreshes happen inside (allow) or outside (deny) of the windows.
	Kind SyncWindowKind `json:"kind"`

	// Windows are the times.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	Windows []SyncWindow `json:"windows"`
}

// SyncWindow is a time that comes again and again.
type SyncWindow struct {
	// Schedule is when the window opens, in UTC: five cron fields, or @daily and the like, or "@every 6h".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:Pattern=`^(@(annually|yearly|monthly|weekly|daily|midnight|hourly)|@every [^\s]+.*|[^\s]+( [^\s]+){4})$`
	Schedule string `json:"schedule"`

	// Duration is how long it stays open, such as "8h".
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration(self)",message="must be a duration such as 30m or 8h"
	Duration metav1.Duration `json:"duration"`
}

// ExternalSecretStatus is what was written last, and how that went.
//
// +structType=atomic
type ExternalSecretStatus struct {
	// RefreshTime is when the values were read that the target holds.
	// +optional
	// +nullable
	RefreshTime metav1.Time `json:"refreshTime,omitzero"`

	// ObservedGeneration is the metadata.generation that the conditions are about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// SyncedResourceVersion identifies what of the ExternalSecret the target was made from: "<generation>-<hash of its
	// labels and annotations>".
	// +optional
	SyncedResourceVersion string `json:"syncedResourceVersion,omitempty"`

	// Conditions holds Ready.
	// +optional
	Conditions []Condition `json:"conditions,omitempty"`

	// Sources are the documents that the values were read from, those that were found among them: the first hundred in the
	// order of dataFrom and data. It changes when another version is read.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	Sources []Source `json:"sources,omitempty"`

	// MoreSources is how many documents were read beyond those that sources names.
	// +optional
	// +kubebuilder:validation:Minimum=-2147483648
	// +kubebuilder:validation:Maximum=2147483647
	MoreSources int32 `json:"moreSources,omitempty"`

	// Templates are the objects that the templates were read from, the first hundred. By them, by sources and by storesHash a
	// controller that starts sees what has changed while none ran.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	Templates []TemplateSource `json:"templates,omitempty"`

	// StoresHash tells the configurations of the stores that were used apart.
	// +optional
	StoresHash string `json:"storesHash,omitempty"`

	// Binding names the target for servicebinding.io.
	// +optional
	Binding Binding `json:"binding,omitzero"`

	// Target is the object as it was written last; a target that still is that object needs no look.
	// +optional
	Target TargetStatus `json:"target,omitzero"`
}

// Source is one document of a store, and which of its versions was read. It never holds a value.
type Source struct {
	// StoreRef names the store.
	StoreRef StoreRef `json:"storeRef"`

	// Key is the document's name in the store's own spelling.
	Key string `json:"key"`

	// Version identifies the content that was read, in the store's own spelling, cut off after 256 bytes; empty when the store has none.
	// +optional
	Version string `json:"version,omitempty"`
}

// TemplateSource is a ConfigMap or Secret of the ExternalSecret's namespace, and which of its versions was read.
type TemplateSource struct {
	// Kind is ConfigMap or Secret.
	Kind string `json:"kind"`

	// Name of the object.
	Name string `json:"name"`

	// ResourceVersion is the version that was read.
	ResourceVersion string `json:"resourceVersion"`
}

// Binding is the reference of a servicebinding.io provisioned service.
type Binding struct {
	// Name of the Secret.
	// +optional
	Name string `json:"name,omitempty"`
}

// TargetStatus identifies one state of one object.
type TargetStatus struct {
	// UID of the object.
	// +optional
	UID types.UID `json:"uid,omitempty"`

	// ResourceVersion of the object after our last write.
	// +optional
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

// ExternalSecret materializes values of stores in a Secret and keeps them true.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:metadata:labels="external-secrets.io/component=controller"
// +kubebuilder:resource:scope=Namespaced,categories={external-secrets},shortName=es
// +kubebuilder:printcolumn:name="StoreType",type=string,JSONPath=`.spec.secretStoreRef.kind`
// +kubebuilder:printcolumn:name="Store",type=string,JSONPath=`.spec.secretStoreRef.name`
// +kubebuilder:printcolumn:name="Refresh Interval",type=string,JSONPath=`.spec.refreshInterval`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Last Sync",type=date,JSONPath=`.status.refreshTime`
// +kubebuilder:selectablefield:JSONPath=`.spec.secretStoreRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.secretStoreRef.kind`
// +kubebuilder:selectablefield:JSONPath=`.spec.target.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.refreshInterval`
type ExternalSecret struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// +optional
	Spec ExternalSecretSpec `json:"spec,omitzero"`
	// +optional
	Status ExternalSecretStatus `json:"status,omitzero"`
}

// ExternalSecretList is a list of ExternalSecrets.
//
// +kubebuilder:object:root=true
type ExternalSecretList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ExternalSecret `json:"items"`
}
