// Package v1alpha1 holds the kind SealedSecret of bitnami.com/v1alpha1.
//
// It takes the manifests that kubeseal writes, as Sealed Secrets 0.40 accepts them, and gives typed objects to the
// controller and the CLI and, through controller-gen, the schema in config/crd. The condition Synced stays first in
// status.conditions, because the printer columns of Sealed Secrets, and the health checks made for it, read index 0.
//
// +kubebuilder:object:generate=true
// +groupName=bitnami.com
package v1alpha1
