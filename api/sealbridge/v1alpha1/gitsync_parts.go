package v1alpha1

import "k8s.io/apimachinery/pkg/runtime"

// LocalRef names an object of the GitSync's own namespace.
type LocalRef struct {
	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// GitRef is a point in a repository.
//
// +kubebuilder:validation:XValidation:rule="[has(self.branch), has(self.tag), has(self.semver), has(self.name), has(self.commit)].filter(set, set).size() == 1",message="set exactly one of branch, tag, semver, name and commit"
type GitRef struct {
	// Branch to follow.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Branch string `json:"branch,omitempty"`

	// Tag to apply.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Tag string `json:"tag,omitempty"`

	// SemVer is a range such as ">=1.2.0 <2.0.0"; the highest tag in it is applied.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	SemVer string `json:"semver,omitempty"`

	// Name is any reference, such as "refs/pull/42/head".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name,omitempty"`

	// Commit is the full hash of a commit.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^([0-9a-f]{40}|[0-9a-f]{64})$`
	Commit string `json:"commit,omitempty"`
}

// VerificationMode is which Git objects must be signed.
//
// +kubebuilder:validation:Enum=HEAD;Tag;TagAndHEAD
type VerificationMode string

// Which Git objects must be signed.
const (
	// VerifyHead demands a signed commit.
	VerifyHead VerificationMode = "HEAD"
	// VerifyTag demands a signed tag.
	VerifyTag VerificationMode = "Tag"
	// VerifyTagAndHead demands both.
	VerifyTagAndHead VerificationMode = "TagAndHEAD"
)

// Verification demands a signature.
type Verification struct {
	// Mode is what must be signed; HEAD when empty.
	// +optional
	Mode VerificationMode `json:"mode,omitempty"`

	// SecretRef names a Secret with the public keys of those who may sign: OpenPGP under keys that end in .asc, SSH under
	// keys that end in .sshpub.
	SecretRef LocalRef `json:"secretRef"`
}

// Helm is how a chart is rendered. Hooks and lookup are not supported: nothing but the templates is used.
type Helm struct {
	// ReleaseName is .Release.Name; the GitSync's name when empty.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=53
	ReleaseName string `json:"releaseName,omitempty"`

	// ValuesFiles are files with values, from the chart's folder; later ones win.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:items:XValidation:rule="!self.startsWith('/') && !self.split('/').exists(part, part == '..')",message="must be relative to the chart's folder and must not contain '..'"
	ValuesFiles []string `json:"valuesFiles,omitempty"`

	// ValuesFrom are objects with values; they win over valuesFiles, later ones over earlier ones.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	ValuesFrom []ValuesRef `json:"valuesFrom,omitempty"`

	// Values win over all others.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *runtime.RawExtension `json:"values,omitempty"`
}

// ValuesRef names an object of the GitSync's own namespace that holds values.
type ValuesRef struct {
	// Kind of the object.
	// +kubebuilder:validation:Enum=Secret;ConfigMap
	Kind string `json:"kind"`

	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// ValuesKey is the key that holds the values; values.yaml when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ValuesKey string `json:"valuesKey,omitempty"`

	// Optional accepts that the object does not exist.
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// PostBuild replaces variables, ${name}, in what was built. An unknown variable is an error, and the values of Secrets
// are never searched.
type PostBuild struct {
	// Substitute are variables.
	// +optional
	Substitute map[string]string `json:"substitute,omitempty"`

	// SubstituteFrom are objects whose keys are variables; later ones win, and substitute wins over all.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	SubstituteFrom []SubstituteRef `json:"substituteFrom,omitempty"`
}

// SubstituteRef names an object of the GitSync's own namespace whose keys are variables.
type SubstituteRef struct {
	// Kind of the object.
	// +kubebuilder:validation:Enum=Secret;ConfigMap
	Kind string `json:"kind"`

	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Optional accepts that the object does not exist.
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// Decryption is what encrypted files are opened with.
type Decryption struct {
	// SecretRef names a Secret of this namespace with age identities under keys that end in .agekey.
	// +optional
	SecretRef *LocalRef `json:"secretRef,omitempty"`

	// ServiceAccountName is the account of this namespace that asks a key management service.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
}

// ObjectRef names an object.
type ObjectRef struct {
	// APIVersion of the object.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Namespace of the object; the GitSync's own when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}

// HealthCheckExpr says, in CEL over the object's fields, what health means for a kind. inProgress is asked first, then
// failed, then current; an object for which none holds is in progress.
type HealthCheckExpr struct {
	// APIVersion of the kind.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`

	// Kind of the objects.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	// Current is true for a healthy object, such as "status.phase == 'Healthy'".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Current string `json:"current"`

	// InProgress is true for an object that is on its way.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	InProgress string `json:"inProgress,omitempty"`

	// Failed is true for an object that will not become healthy by itself.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Failed string `json:"failed,omitempty"`
}

// DependencyRef names a GitSync.
type DependencyRef struct {
	// Name of the GitSync.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Namespace of the GitSync; the same when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}
