package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GitSyncSpec says which path of which repository is applied, and how.
//
// +kubebuilder:validation:XValidation:rule="!has(self.createNamespace) || !self.createNamespace || has(self.targetNamespace)",message="createNamespace needs targetNamespace, the namespace to create"
type GitSyncSpec struct {
	// URL of the repository: https://host/path or ssh://user@host/path.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https|ssh)://([A-Za-z0-9_][^/@]*@)?[A-Za-z0-9\\\\[][^/@]*(/|$)')",message="use a URL that starts with https:// or ssh:// and a host"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https://[^/]*@') && !self.matches('^ssh://[^/@]*:[^/]*@')",message="remove the user and password from the URL, and name a Secret that holds them in secretRef"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[?#\\\\s]')",message="remove the query, the fragment and white space from the URL; a branch or tag belongs into ref"
	URL string `json:"url"`

	// Ref is what to apply: exactly one of its members; the repository's default branch when empty.
	// +optional
	Ref *GitRef `json:"ref,omitempty"`

	// SecretRef names a Secret of this namespace with the repository's credentials, under Flux's keys: username and
	// password, or bearerToken, ca.crt for https; identity, known_hosts and, for an encrypted key, password for ssh.
	// +optional
	SecretRef *LocalRef `json:"secretRef,omitempty"`

	// Verify demands a signature.
	// +optional
	Verify *Verification `json:"verify,omitempty"`

	// RecurseSubmodules reads submodules too.
	// +optional
	RecurseSubmodules bool `json:"recurseSubmodules,omitempty"`

	// Interval is how often Git and the cluster are compared, such as "5m".
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="must be a duration of at least 1s, such as 30s or 5m"
	Interval metav1.Duration `json:"interval"`

	// RetryInterval is how soon a failed attempt is repeated; with backoff, up to interval, when empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="must be a duration of at least 1s, such as 30s or 5m"
	RetryInterval *metav1.Duration `json:"retryInterval,omitempty"`

	// Timeout of one attempt; interval, but at least 30s, when empty.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="must be a duration of at least 1s, such as 30s or 5m"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// Path to the folder that is applied, from the root of the repository; the root when empty. A folder with a
	// kustomization is built by kustomize, one with a Chart.yaml by Helm, and of any other the YAML files are taken.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.split('/').exists(part, part == '..')",message="must be relative to the root of the repository and must not contain '..'"
	Path string `json:"path,omitempty"`

	// Helm is how a chart is rendered.
	// +optional
	Helm *Helm `json:"helm,omitempty"`

	// TargetNamespace is the namespace of every namespaced object, whatever Git says.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	TargetNamespace string `json:"targetNamespace,omitempty"`

	// CreateNamespace creates targetNamespace.
	// +optional
	CreateNamespace bool `json:"createNamespace,omitempty"`

	// PostBuild replaces variables in what was built.
	// +optional
	PostBuild *PostBuild `json:"postBuild,omitempty"`

	// Decryption is what encrypted files are opened with.
	// +optional
	Decryption *Decryption `json:"decryption,omitempty"`

	// PlaintextSecrets is what happens when Git holds a Secret with plain values: Deny or Allow; Deny when empty.
	// +optional
	PlaintextSecrets PlaintextPolicy `json:"plaintextSecrets,omitempty"`

	// Prune deletes objects that are gone from Git.
	Prune bool `json:"prune"`

	// AllowEmpty accepts a path without objects where there were some, and so prunes them all.
	// +optional
	AllowEmpty bool `json:"allowEmpty,omitempty"`

	// DeletionPolicy is what happens to the objects when the GitSync is deleted; MirrorPrune when empty.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Force deletes and creates objects again whose immutable fields were changed.
	// +optional
	Force bool `json:"force,omitempty"`

	// Wait checks the health of every object; healthChecks is not used then.
	// +optional
	Wait bool `json:"wait,omitempty"`

	// HealthChecks names the objects whose health is checked.
	// +optional
	// +kubebuilder:validation:MaxItems=500
	HealthChecks []ObjectRef `json:"healthChecks,omitempty"`

	// HealthCheckExprs says what health means for kinds of objects.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	HealthCheckExprs []HealthCheckExpr `json:"healthCheckExprs,omitempty"`

	// DependsOn names GitSyncs that must be ready first.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	DependsOn []DependencyRef `json:"dependsOn,omitempty"`

	// ServiceAccountName is the account of this namespace that objects are applied as; the controller's default when empty.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// Suspend stops everything until it is removed.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// PlaintextPolicy is what happens when Git holds a Secret with plain values.
//
// +kubebuilder:validation:Enum=Deny;Allow
type PlaintextPolicy string

// The policies for plain values in Git.
const (
	// PlaintextDeny applies nothing and names the file and the key.
	PlaintextDeny PlaintextPolicy = "Deny"
	// PlaintextAllow applies them.
	PlaintextAllow PlaintextPolicy = "Allow"
)

// DeletionPolicy is what happens to the objects when their GitSync is deleted.
//
// +kubebuilder:validation:Enum=MirrorPrune;Delete;WaitForTermination;Orphan
type DeletionPolicy string

// The deletion policies.
const (
	// DeletionMirrorPrune deletes them if spec.prune is set.
	DeletionMirrorPrune DeletionPolicy = "MirrorPrune"
	// DeletionDelete deletes them.
	DeletionDelete DeletionPolicy = "Delete"
	// DeletionWaitForTermination deletes them and waits until they are gone.
	DeletionWaitForTermination DeletionPolicy = "WaitForTermination"
	// DeletionOrphan keeps them.
	DeletionOrphan DeletionPolicy = "Orphan"
)

// GitSyncStatus is what was applied last, and how that went.
//
// +structType=atomic
type GitSyncStatus struct {
	// ObservedGeneration is the metadata.generation that the conditions are about; -1 before the first attempt.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions are Ready, Reconciling, Stalled, Healthy and SourceVerified.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Revision is what was applied last, such as "main@sha1:5394cb7f48332b2de7c17dd8b8384bbc84b7e738".
	// +optional
	Revision string `json:"revision,omitempty"`

	// AttemptedRevision is what the last attempt was about.
	// +optional
	AttemptedRevision string `json:"attemptedRevision,omitempty"`

	// BuildDigest identifies what was built of the revision, such as "sha256:...". It is made from the files as they are in
	// Git, and never from a decrypted value; where values of Secrets lie in Git in plain text, from the revision instead.
	// +optional
	BuildDigest string `json:"buildDigest,omitempty"`

	// Inventory names the objects that belong to the GitSync. An object is in it before it is first applied.
	// +optional
	Inventory *Inventory `json:"inventory,omitempty"`

	// History holds the last five attempts that differ, newest first.
	// +optional
	// +kubebuilder:validation:MaxItems=5
	History []Snapshot `json:"history,omitempty"`
}

// Inventory names objects.
type Inventory struct {
	// Entries are the objects.
	Entries []InventoryEntry `json:"entries"`
}

// InventoryEntry names one object.
type InventoryEntry struct {
	// ID is "<namespace>_<name>_<group>_<kind>"; namespace and group are empty where there is none. A colon in a name is
	// written as two underscores.
	ID string `json:"id"`

	// Version is the API version that the object was applied in.
	Version string `json:"v"`
}

// Snapshot is one attempt, or several with the same result.
type Snapshot struct {
	// Digest is the buildDigest.
	Digest string `json:"digest"`

	// Revision is what the attempt was about.
	Revision string `json:"revision"`

	// Status is the reason of Ready after it.
	Status string `json:"status"`

	// At is when it ended.
	At metav1.Time `json:"at"`

	// Duration is how long it took.
	Duration metav1.Duration `json:"duration"`
}

// GitSync applies one path of a Git repository and keeps the cluster as it says.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories={sealbridge},shortName=gsync
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status"
// +kubebuilder:printcolumn:name="Revision",type="string",JSONPath=".status.revision"
// +kubebuilder:printcolumn:name="Status",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].message"
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="metadata.name must have at most 63 characters: it is the value of a label on each applied object"
type GitSync struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec GitSyncSpec `json:"spec"`
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status GitSyncStatus `json:"status,omitzero"`
}

// GitSyncList is a list of GitSyncs.
//
// +kubebuilder:object:root=true
type GitSyncList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []GitSync `json:"items"`
}
