package v1

// CreationPolicy is how the target comes to be and to whom it belongs.
//
// +kubebuilder:validation:Enum=Owner;Orphan;Merge;None;CreateOrMerge
type CreationPolicy string

// The creation policies.
const (
	// CreationOwner creates the target and owns it: it is deleted with the ExternalSecret.
	CreationOwner CreationPolicy = "Owner"
	// CreationOrphan creates the target and does not own it.
	CreationOrphan CreationPolicy = "Orphan"
	// CreationMerge writes keys into a target that somebody else creates.
	CreationMerge CreationPolicy = "Merge"
	// CreationNone writes nothing.
	CreationNone CreationPolicy = "None"
	// CreationCreateOrMerge creates the target if there is none, and else writes keys into it.
	CreationCreateOrMerge CreationPolicy = "CreateOrMerge"
)

// DeletionPolicy is what happens to the target when its values are gone from the store.
//
// +kubebuilder:validation:Enum=Delete;Merge;Retain
type DeletionPolicy string

// The deletion policies.
const (
	// DeletionDelete deletes the target when all values are gone, and a key when its value is.
	DeletionDelete DeletionPolicy = "Delete"
	// DeletionMerge removes the keys and keeps the target.
	DeletionMerge DeletionPolicy = "Merge"
	// DeletionRetain keeps everything and reports the missing value.
	DeletionRetain DeletionPolicy = "Retain"
)

// Target is the object that values are written to.
//
// +kubebuilder:validation:XValidation:rule="!has(self.deletionPolicy) || self.deletionPolicy != 'Delete' || !has(self.creationPolicy) || self.creationPolicy in ['Owner', 'Orphan']",message="deletionPolicy Delete needs creationPolicy Owner or Orphan: a Secret that others write to is not ours to delete"
// +kubebuilder:validation:XValidation:rule="!has(self.deletionPolicy) || self.deletionPolicy != 'Merge' || !has(self.creationPolicy) || self.creationPolicy != 'None'",message="deletionPolicy Merge needs another creationPolicy than None: there is no Secret to remove keys from"
// +kubebuilder:validation:XValidation:rule="!has(self.template) || !has(self.template.templateFrom) || (has(self.manifest) && !(self.manifest.apiVersion == 'v1' && self.manifest.kind == 'Secret')) || self.template.templateFrom.all(t, !has(t.target) || t.target.matches('^(?i:data|annotations|labels)?$'))",message="templateFrom[].target must be Data, Annotations or Labels when the target is a Secret"
type Target struct {
	// Name of the target; the ExternalSecret's own when empty.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name,omitempty"`

	// CreationPolicy is how the target comes to be and to whom it belongs; Owner when empty.
	// +optional
	CreationPolicy CreationPolicy `json:"creationPolicy,omitempty"`

	// DeletionPolicy is what happens to the target when its values are gone from the store; Retain when empty.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Template shapes the target; without one, or with null, it holds the values under their keys.
	// +optional
	// +nullable
	Template *Template `json:"template,omitempty"`

	// Manifest makes the target another object than a Secret. The controller must allow it.
	// +optional
	Manifest *ManifestRef `json:"manifest,omitempty"`

	// Immutable makes the Secret immutable: its data is written once.
	// +optional
	Immutable bool `json:"immutable,omitempty"`
}

// ManifestRef is the kind of a target that is no Secret.
type ManifestRef struct {
	// APIVersion of the target, for example "v1" or "argoproj.io/v1alpha1".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`

	// Kind of the target, for example "ConfigMap".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
}

// TemplateEngineVersion is the version of the template engine.
//
// +kubebuilder:validation:Enum=v2
type TemplateEngineVersion string

// TemplateEngineV2 is the only version of the template engine.
const TemplateEngineV2 TemplateEngineVersion = "v2"

// TemplateMergePolicy is what happens with the values that were fetched when a template makes data.
//
// +kubebuilder:validation:Enum=Replace;Merge
type TemplateMergePolicy string

// The merge policies of a template.
const (
	// TemplateReplace leaves only what the template makes.
	TemplateReplace TemplateMergePolicy = "Replace"
	// TemplateMerge adds what the template makes to the values.
	TemplateMerge TemplateMergePolicy = "Merge"
)

// Template shapes the target. Its texts are Go templates over the fetched values by key.
//
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'bootstrap.kubernetes.io/token'",message="type bootstrap.kubernetes.io/token is refused: it would let nodes join the cluster"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || self.type != 'kubernetes.io/service-account-token' || ((!has(self.metadata) || !has(self.metadata.annotations) || !('kubernetes.io/service-account.name' in self.metadata.annotations)) && (!has(self.templateFrom) || self.templateFrom.all(t, !has(t.target) || !t.target.matches('^(?i:annotations)$'))))",message="type kubernetes.io/service-account-token is refused together with annotations that name the account: it would mint a token; use the TokenRequest API"
type Template struct {
	// Type of the Secret; Opaque for a new one and unchanged for an existing one when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Type string `json:"type,omitempty"`

	// EngineVersion is the version of the template engine; v2 when empty.
	// +optional
	EngineVersion TemplateEngineVersion `json:"engineVersion,omitempty"`

	// Metadata of the target. With a template, nothing is copied from the ExternalSecret's own.
	// +optional
	Metadata TemplateMetadata `json:"metadata,omitzero"`

	// MergePolicy is what happens with the values when data or templateFrom make some; Replace when empty.
	// +optional
	MergePolicy TemplateMergePolicy `json:"mergePolicy,omitempty"`

	// Data are templates by key.
	// +optional
	Data map[string]string `json:"data,omitempty"`

	// TemplateFrom are templates from elsewhere; data wins over them.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	TemplateFrom []TemplateFrom `json:"templateFrom,omitempty"`
}

// TemplateMetadata is metadata of the target. Values are templates.
type TemplateMetadata struct {
	// Annotations of the target.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// Labels of the target.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Finalizers of the target.
	// +optional
	Finalizers []string `json:"finalizers,omitempty"`
}

// What TemplateFrom.Target can be for a Secret, in any case of letters.
const (
	TemplateTargetData        = "Data"
	TemplateTargetAnnotations = "Annotations"
	TemplateTargetLabels      = "Labels"
)

// TemplateFrom are templates from elsewhere.
type TemplateFrom struct {
	// ConfigMap holds templates.
	// +optional
	ConfigMap *TemplateRef `json:"configMap,omitempty"`

	// Secret holds templates.
	// +optional
	Secret *TemplateRef `json:"secret,omitempty"`

	// Target is where the result goes: Data, Annotations or Labels; Data when empty. In another object than a Secret it
	// may be a path such as "spec.config".
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Target string `json:"target,omitempty"`

	// Literal is a template that makes a YAML map of keys and values.
	// +optional
	Literal *string `json:"literal,omitempty"`

	// ValuesDecodingStrategy is how the rendered values are encoded; None when empty.
	// +optional
	ValuesDecodingStrategy DecodingStrategy `json:"valuesDecodingStrategy,omitempty"`
}

// TemplateRef names templates in a ConfigMap or Secret.
type TemplateRef struct {
	// Name of the ConfigMap or Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`

	// Items are the keys that hold templates.
	Items []TemplateRefItem `json:"items"`
}

// TemplateScope is what a template makes.
//
// +kubebuilder:validation:Enum=Values;KeysAndValues
type TemplateScope string

// What a template makes.
const (
	// TemplateValues: the template makes the value of the key that it was found under.
	TemplateValues TemplateScope = "Values"
	// TemplateKeysAndValues: the template makes a YAML map of keys and values.
	TemplateKeysAndValues TemplateScope = "KeysAndValues"
)

// TemplateRefItem is a key that holds a template.
type TemplateRefItem struct {
	// Key in the ConfigMap or Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	Key string `json:"key"`

	// TemplateAs is what the template makes; Values when empty.
	// +optional
	TemplateAs TemplateScope `json:"templateAs,omitempty"`
}
