package sessions

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sealbridge/sealbridge/providers"
)

// Store is one SecretStore or ClusterSecretStore as the pool uses it. Translate makes it.
type Store struct {
	// Namespace of a SecretStore, empty for a ClusterSecretStore, and name of the store.
	Namespace, Name string
	// UID and Generation tell two stores, and two configurations of a store, apart.
	UID        types.UID
	Generation int64
	// Provider is the code for the store's backend, and Config what it is opened with.
	Provider providers.Provider
	Config   providers.Config
	// Retries is how often a fetch that found the backend unavailable is repeated before it fails, and RetryInterval
	// the pause between (spec.retrySettings).
	Retries       int
	RetryInterval time.Duration
}

// cluster reports whether the store is a ClusterSecretStore.
func (s Store) cluster() bool { return s.Namespace == "" }

// identity returns what the store is, without who asks.
func (s Store) identity() identity {
	return identity{cluster: s.cluster(), uid: s.UID, generation: s.Generation}
}

// identity is one configuration of one store.
type identity struct {
	cluster    bool
	uid        types.UID
	generation int64
}

// key is whose session it is: two requests share a session, and everything that was read through it, only if their keys
// are equal.
type key struct {
	identity
	// referent is the namespace that uses the store, when the credentials are resolved there.
	referent string
}
