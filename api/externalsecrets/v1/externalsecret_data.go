package v1

// Data is one key of the target.
type Data struct {
	// SecretKey is the key in the target.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	SecretKey string `json:"secretKey"`

	// RemoteRef is the value in the store.
	RemoteRef RemoteRef `json:"remoteRef"`

	// SourceRef names another store than spec.secretStoreRef.
	// +optional
	SourceRef *DataSourceRef `json:"sourceRef,omitempty"`
}

// DataSourceRef is where a single value comes from.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=1
type DataSourceRef struct {
	// StoreRef names a store.
	// +optional
	StoreRef StoreRef `json:"storeRef,omitzero"`

	// GeneratorRef is accepted and reported: generators make many values, use it in dataFrom.
	// +optional
	GeneratorRef *GeneratorRef `json:"generatorRef,omitempty"`
}

// MetadataPolicy is whether a value or what the store records about it is read.
//
// +kubebuilder:validation:Enum=None;Fetch
type MetadataPolicy string

// The metadata policies.
const (
	// MetadataNone reads the value.
	MetadataNone MetadataPolicy = "None"
	// MetadataFetch reads the value's labels or tags, as JSON.
	MetadataFetch MetadataPolicy = "Fetch"
)

// ConversionStrategy is how names become keys of a Secret.
//
// +kubebuilder:validation:Enum=Default;Unicode
type ConversionStrategy string

// The conversion strategies.
const (
	// ConversionDefault replaces each character that a key cannot have by an underscore.
	ConversionDefault ConversionStrategy = "Default"
	// ConversionUnicode replaces it by _U followed by its code point in four or more hex digits and an underscore.
	ConversionUnicode ConversionStrategy = "Unicode"
)

// DecodingStrategy is how a value is encoded in the store.
//
// +kubebuilder:validation:Enum=Auto;Base64;Base64URL;None
type DecodingStrategy string

// The decoding strategies.
const (
	// DecodingAuto takes what decodes as base64, else as base64url, else the value as it is.
	DecodingAuto DecodingStrategy = "Auto"
	// DecodingBase64 decodes base64 (RFC 4648 section 4).
	DecodingBase64 DecodingStrategy = "Base64"
	// DecodingBase64URL decodes base64url (RFC 4648 section 5).
	DecodingBase64URL DecodingStrategy = "Base64URL"
	// DecodingNone takes the value as it is.
	DecodingNone DecodingStrategy = "None"
)

// NullBytePolicy is what happens with a value that has a zero byte.
//
// +kubebuilder:validation:Enum=Ignore;Fail
type NullBytePolicy string

// The policies for zero bytes.
const (
	// NullByteIgnore takes the value as it is.
	NullByteIgnore NullBytePolicy = "Ignore"
	// NullByteFail refuses it.
	NullByteFail NullBytePolicy = "Fail"
)

// RemoteRef names a value, or a document of many values, in a store.
type RemoteRef struct {
	// Key is the document's name in the store's own spelling.
	Key string `json:"key"`

	// MetadataPolicy is whether the value (None) or its labels or tags (Fetch) are read; None when empty.
	// +optional
	MetadataPolicy MetadataPolicy `json:"metadataPolicy,omitempty"`

	// Property is the part of the document that is wanted; all of it when empty.
	// +optional
	Property string `json:"property,omitempty"`

	// Version of the document; the current one when empty.
	// +optional
	Version string `json:"version,omitempty"`

	// ConversionStrategy is how names become keys; Default when empty.
	// +optional
	ConversionStrategy ConversionStrategy `json:"conversionStrategy,omitempty"`

	// DecodingStrategy is how the value is encoded in the store; None when empty.
	// +optional
	DecodingStrategy DecodingStrategy `json:"decodingStrategy,omitempty"`

	// NullBytePolicy is what happens with a value that has a zero byte; Ignore when empty.
	// +optional
	NullBytePolicy NullBytePolicy `json:"nullBytePolicy,omitempty"`
}

// DataFrom is many values at once, from one of extract, find and sourceRef.generatorRef.
//
// +kubebuilder:validation:XValidation:rule="has(self.extract) || has(self.find) || has(self.sourceRef)",message="set extract, find or sourceRef.generatorRef"
// +kubebuilder:validation:XValidation:rule="[has(self.extract), has(self.find), has(self.sourceRef) && has(self.sourceRef.generatorRef)].filter(set, set).size() <= 1",message="keep one of extract, find and sourceRef.generatorRef, and move the others to entries of their own"
type DataFrom struct {
	// Extract takes each field of one document.
	// +optional
	Extract *RemoteRef `json:"extract,omitempty"`

	// Find takes each document that matches.
	// +optional
	Find *Find `json:"find,omitempty"`

	// Rewrite changes the names of what was found, step by step.
	// +optional
	Rewrite []Rewrite `json:"rewrite,omitempty"`

	// SourceRef names another store than spec.secretStoreRef, or a generator.
	// +optional
	SourceRef *DataFromSourceRef `json:"sourceRef,omitempty"`
}

// DataFromSourceRef is where many values come from.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=1
type DataFromSourceRef struct {
	// StoreRef names a store.
	// +optional
	StoreRef *StoreRef `json:"storeRef,omitempty"`

	// GeneratorRef names a generator.
	// +optional
	GeneratorRef *GeneratorRef `json:"generatorRef,omitempty"`
}

// GeneratorRef names a generator, an object of generators.external-secrets.io that makes values.
type GeneratorRef struct {
	// APIVersion of the generator; generators.external-secrets.io/v1alpha1 when empty.
	// +optional
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the generator.
	// +kubebuilder:validation:Enum=ACRAccessToken;BeyondtrustWorkloadCredentialsDynamicSecret;CloudsmithAccessToken;ClusterGenerator;ECRAuthorizationToken;Fake;GCRAccessToken;GithubAccessToken;GitlabDeployToken;Grafana;MFA;Password;QuayAccessToken;SSHKey;STSSessionToken;UUID;VaultDynamicSecret;Webhook
	Kind string `json:"kind"`

	// Name of the generator.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// Find matches documents of a store; those that match all of path, name and tags.
type Find struct {
	// Path below which to look.
	// +optional
	Path *string `json:"path,omitempty"`

	// Name matches by name.
	// +optional
	Name *FindName `json:"name,omitempty"`

	// Tags matches documents that have all of these.
	// +optional
	Tags map[string]string `json:"tags,omitempty"`

	// ConversionStrategy is how names become keys; Default when empty.
	// +optional
	ConversionStrategy ConversionStrategy `json:"conversionStrategy,omitempty"`

	// DecodingStrategy is how the values are encoded in the store; None when empty.
	// +optional
	DecodingStrategy DecodingStrategy `json:"decodingStrategy,omitempty"`

	// NullBytePolicy is what happens with a value that has a zero byte; Ignore when empty.
	// +optional
	NullBytePolicy NullBytePolicy `json:"nullBytePolicy,omitempty"`
}

// FindName matches documents by name.
type FindName struct {
	// RegExp is a regular expression (RE2) that the name contains a match of.
	// +optional
	RegExp string `json:"regexp,omitempty"`
}

// Rewrite is one step that changes names.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:MaxProperties=1
type Rewrite struct {
	// Merge turns the fields of the documents into one flat set.
	// +optional
	Merge *RewriteMerge `json:"merge,omitempty"`

	// Regexp replaces what matches in each name.
	// +optional
	Regexp *RewriteRegexp `json:"regexp,omitempty"`

	// Transform makes each name by a template.
	// +optional
	Transform *RewriteTransform `json:"transform,omitempty"`
}

// RewriteMergePriorityPolicy is what happens when a key in priority does not exist.
//
// +kubebuilder:validation:Enum=IgnoreNotFound;Strict
type RewriteMergePriorityPolicy string

// RewriteMergeConflictPolicy is what happens when two documents have the same field.
//
// +kubebuilder:validation:Enum=Ignore;Error
type RewriteMergeConflictPolicy string

// RewriteMergeStrategy is what is made of the merged fields.
//
// +kubebuilder:validation:Enum=Extract;JSON
type RewriteMergeStrategy string

// The policies and strategies of merge.
const (
	// MergePriorityStrict makes a key in priority that does not exist an error.
	MergePriorityStrict RewriteMergePriorityPolicy = "Strict"
	// MergePriorityIgnoreNotFound skips it.
	MergePriorityIgnoreNotFound RewriteMergePriorityPolicy = "IgnoreNotFound"
	// MergeConflictError makes the same field in two documents an error.
	MergeConflictError RewriteMergeConflictPolicy = "Error"
	// MergeConflictIgnore lets the later document win, in the order of priority.
	MergeConflictIgnore RewriteMergeConflictPolicy = "Ignore"
	// MergeExtract makes each field a key.
	MergeExtract RewriteMergeStrategy = "Extract"
	// MergeJSON makes one key that holds all fields as JSON.
	MergeJSON RewriteMergeStrategy = "JSON"
)

// RewriteMerge turns the fields of the documents into one flat set.
type RewriteMerge struct {
	// Into is the key that strategy JSON makes.
	// +optional
	Into string `json:"into,omitempty"`

	// Priority orders the documents for conflicts; later ones win.
	// +optional
	Priority []string `json:"priority,omitempty"`

	// PriorityPolicy is what happens when a key in priority does not exist; Strict when empty.
	// +optional
	PriorityPolicy RewriteMergePriorityPolicy `json:"priorityPolicy,omitempty"`

	// ConflictPolicy is what happens when two documents have the same field; Error when empty.
	// +optional
	ConflictPolicy RewriteMergeConflictPolicy `json:"conflictPolicy,omitempty"`

	// Strategy is what is made of the fields; Extract when empty.
	// +optional
	Strategy RewriteMergeStrategy `json:"strategy,omitempty"`
}

// RewriteRegexp replaces what matches in each name.
type RewriteRegexp struct {
	// Source is the regular expression (RE2).
	Source string `json:"source"`

	// Target is the replacement; $1 and ${name} stand for groups.
	Target string `json:"target"`
}

// RewriteTransform makes each name by a template.
type RewriteTransform struct {
	// Template over .value, the name.
	Template string `json:"template"`
}
