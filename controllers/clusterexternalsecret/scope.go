package clusterexternalsecret

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// scope is what one run knows about one ClusterExternalSecret.
type scope struct {
	name string
	ces  *esv1.ClusterExternalSecret
	now  time.Time
	// version identifies what the ExternalSecrets are made from, in the form of status.syncedResourceVersion.
	version string

	// gone is set when the ClusterExternalSecret is deleted or being deleted: it selects nothing any more.
	gone bool
	// selected are the names of the selected namespaces that are not being deleted, in order, and chosen is set when they
	// are known.
	selected []string
	chosen   bool
	// owned are the ExternalSecrets that the ClusterExternalSecret controls; the cache's own, not to be changed.
	owned []esv1.ExternalSecret
	// provisioned are the namespaces that have their ExternalSecret, in order; failed says why a namespace has not got what
	// it should.
	provisioned []string
	failed      map[string]error
	// held is how many namespaces keep a finalizer of External Secrets Operator because the controller may not remove it.
	held int
}

// fail records what went wrong in a namespace.
func (s *scope) fail(namespace string, err error) {
	if s.failed == nil {
		s.failed = map[string]error{}
	}
	s.failed[namespace] = err
}

// ownerOf returns the reference to the ClusterExternalSecret that controls an object; nil when none does.
func ownerOf(obj metav1.Object) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(obj)
	if owner == nil || owner.Kind != esv1.KindClusterExternalSecret || groupOf(owner.APIVersion) != esv1.Group {
		return nil
	}
	return owner
}
