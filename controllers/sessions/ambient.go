package sessions

import (
	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/providers"
)

// The flags that decide which stores may use identities of the controller's own, as messages call them.
const (
	FlagAmbient        = "secret-store-ambient-credentials"
	FlagClusterAmbient = "cluster-secret-store-ambient-credentials"
)

// ErrAmbient says that a store leaves its identity to the controller, and may not use one of the controller's own.
var ErrAmbient = providers.Errorf(providers.ErrInvalid, "the store may not use an identity of the controller's own")

// NoAmbient are the kinds of stores that may use no identity of the controller's own; none in the zero value.
type NoAmbient struct {
	SecretStores, ClusterSecretStores bool
}

// refusal decides whether a store may use an identity of the controller's own, for all providers: nil when own is nil, because
// it uses none, and when its kind may.
func (n NoAmbient) refusal(s Store, own *providers.Ambient) error {
	kind, flag, refused, also := esv1.KindSecretStore, FlagAmbient, n.SecretStores, ""
	switch {
	case s.cluster():
		kind, flag, refused = esv1.KindClusterSecretStore, FlagClusterAmbient, n.ClusterSecretStores
	case !n.ClusterSecretStores:
		also = ", or have an administrator make a ClusterSecretStore"
	}
	if own == nil || !refused {
		return nil
	}
	return providers.Errorf(ErrAmbient, "%s: spec.provider.%s.%s leaves the identity to the controller, and no %s may use the controller's own (--%s=false): %s%s",
		s.Config.Store, s.Provider.Name(), own.Field, kind, flag, own.Instead, also)
}

// Refused fails with ErrAmbient for a store whose configuration says that it would use an identity of the controller's own,
// which it may not. It asks nobody; the pool opens no session for such a store.
func (p *Pool) Refused(s Store) error {
	return p.noAmbient.refusal(s, s.Provider.Ambient(s.Config))
}
