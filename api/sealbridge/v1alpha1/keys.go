package v1alpha1

// What a GitSync writes on the objects that it applies.
const (
	// LabelName is the name of the GitSync that an object belongs to.
	LabelName = "gitsync.sealbridge.dev/name"
	// LabelNamespace is the namespace of the GitSync that an object belongs to.
	LabelNamespace = "gitsync.sealbridge.dev/namespace"
	// FieldOwner is the field manager of every apply.
	FieldOwner = "sealbridge-gitsync"
	// Finalizer is on each GitSync until its objects are dealt with as spec.deletionPolicy says.
	Finalizer = "gitsync.sealbridge.dev/finalizer"
)

// What users write on objects in Git.
const (
	// AnnotationPrune with the value PruneDisabled keeps an object in the cluster when it is gone from Git.
	AnnotationPrune = "gitsync.sealbridge.dev/prune"
	// PruneDisabled is the value of AnnotationPrune that has an effect.
	PruneDisabled = "disabled"
)

// What users write on objects in Git, or on a GitSync, to ask for something.
const (
	// AnnotationForce with the value "enabled" on an object in Git lets it be deleted and created again when an immutable
	// field of it changes, as spec.force does for all objects.
	AnnotationForce = "gitsync.sealbridge.dev/force"
	// AnnotationAdopt with the value "enabled" on an object in Git takes it over from Flux, Argo CD or another GitSync.
	AnnotationAdopt = "gitsync.sealbridge.dev/adopt"
	// AnnotationRequestedAt on a GitSync asks for an attempt at once, whenever its value changes.
	AnnotationRequestedAt = "gitsync.sealbridge.dev/requestedAt"
)
