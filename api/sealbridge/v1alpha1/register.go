package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// Group is the API group of the kind in this package.
	Group = "sealbridge.dev"
	// Version is the API version of the kind in this package.
	Version = "v1alpha1"
	// KindGitSync is the kind as it is written in manifests.
	KindGitSync = "GitSync"
)

// GroupVersion returns the group and version of the kind in this package.
func GroupVersion() schema.GroupVersion { return schema.GroupVersion{Group: Group, Version: Version} }

// AddToScheme registers the kind of this package. It never fails; the error is there for the callers' sake.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion(), &GitSync{}, &GitSyncList{})
	metav1.AddToGroupVersion(s, GroupVersion())
	return nil
}
