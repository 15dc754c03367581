package sealedsecret

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// scope is one run over one SealedSecret.
type scope struct {
	// Set by Reconcile. obj has no more than the cache, so that comparing and writing its status does not cost what its values
	// would; whole is the same object with its spec, where there is something to open.
	obj, whole *v1alpha1.SealedSecret
	record     *record
	// sealScope is where the values may be opened, from the object's own annotations.
	sealScope seal.Scope
	now       time.Time

	// current is set by skipCurrent when there is nothing to do and nothing to report.
	current bool
	// outdated is set by openLater: there is something to do, for which the whole object is needed.
	outdated bool
	// repair is set by skipCurrent when the Secret was written for this very object and has been changed since.
	repair bool
	// live is the metadata of the Secret as far as it is known, from the cache or from the API server; set by
	// skipCurrent, checkBlocked and write.
	live *metav1.PartialObjectMetadata
	// unfinished is set by open when the run's share of private-key operations is used up.
	unfinished bool
	// opened are the values by key, and sealingKey the fingerprint of the key that opened the last; set by open.
	opened     map[string][]byte
	sealingKey string
	// secret is what the Secret shall be; set by render.
	secret *corev1.Secret
	// written is the Secret as it was written; set by write, or by skipCurrent when its report was lost.
	written v1alpha1.SecretVersion

	// Set by report: failure is the reason of a run that failed, "" of any other, retried says that the queue backs off.
	failure string
	retried bool
}
