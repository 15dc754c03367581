package secretstore

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
)

// scope is what one run knows about one store.
type scope struct {
	obj    client.Object
	name   string // for messages
	spec   *esv1.SecretStoreSpec
	status *esv1.SecretStoreStatus
	// places are those of the controller.
	places *flow.Places
	now    time.Time
	// interval is how often the store is checked, and due when it is next.
	interval time.Duration
	due      time.Time

	// first is set when the process sees the store for the first time.
	first bool
	// foreign is set for a store that another controller serves.
	foreign bool
	// fresh is set when the store was found ready a short while ago and has not changed since.
	fresh bool
	// store is set by translate.
	store sessions.Store
	// unavailable is set when the backend was asked, and gave no answer or asked for time.
	unavailable bool
	// credentials are what the store was opened with, when it was found ready.
	credentials []esv1.CredentialSource
	// pushes is set when the store was found ready and can be written to.
	pushes bool
	// unverified says why the backend could not tell whether the store can be used.
	unverified string
	// referent is set when the store can only be checked by those who use it.
	referent bool
}
