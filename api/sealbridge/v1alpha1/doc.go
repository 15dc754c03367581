// Package v1alpha1 holds the kind GitSync of sealbridge.dev/v1alpha1: one Git repository, one path in it, one inventory.
//
// It takes the field names of Flux's GitRepository and Kustomization wherever Flux has the concept, and gives typed
// objects to the controller and, through controller-gen, the schema in config/crd. Nothing in a spec has a default in the
// schema: what an empty field means is said in its comment and decided in code. The one default is
// status.observedGeneration, -1, so that tools that compute a status wait from the object's birth.
//
// +kubebuilder:object:generate=true
// +groupName=sealbridge.dev
package v1alpha1
