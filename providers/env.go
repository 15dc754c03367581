package providers

import (
	"context"
	"time"
)

// Env is all that a provider may ask of its host. It is confined before it is handed over: for a SecretStore every
// reference resolves in the store's own namespace and another namespace is refused with ErrInvalid; for a
// ClusterSecretStore a reference without a namespace resolves in the namespace of the object that uses the store
// (referent authentication).
type Env interface {
	// Secret returns the bytes under ref.Key of a credential Secret. It fails with ErrInvalid for a reference that the
	// store may not use, ErrNotFound when the Secret or its key does not exist.
	Secret(ctx context.Context, ref ObjectRef) ([]byte, error)
	// SecretData returns all keys of a credential Secret; ref.Key has no meaning. The Secret must carry the label with
	// exactly this value, by which its owner lets providers see the whole of it; else it fails with ErrInvalid. Errors
	// otherwise as for Secret. The map belongs to the caller.
	SecretData(ctx context.Context, ref ObjectRef, label, value string) (map[string][]byte, error)
	// Namespace returns the namespace of the object that uses the store. A session that was opened with it answers
	// objects of that namespace only; one that never asks may answer all that may use the store.
	Namespace() (string, error)
	// ConfigMap returns the value under ref.Key of a ConfigMap, for CA bundles. Errors as for Secret.
	ConfigMap(ctx context.Context, ref ObjectRef) ([]byte, error)
	// Annotations returns the annotations of a ServiceAccount, by which clouds bind it to an identity of theirs
	// (eks.amazonaws.com/role-arn, say). Errors as for ServiceAccountToken. The map belongs to the caller.
	Annotations(ctx context.Context, ref AccountRef) (map[string]string, error)
	// ServiceAccountToken returns a fresh token of the account for the audiences (TokenRequest API); without audiences
	// the API server's own, as External Secrets Operator does. It fails with ErrInvalid for an account that the store may
	// not use, ErrNotFound when it does not exist, ErrDenied when the controller may not mint tokens for it.
	ServiceAccountToken(ctx context.Context, ref AccountRef, audiences ...string) (Token, error)
	// Ambient fails with ErrInvalid where the store may not use an identity of the controller's own. Whatever looks for one
	// asks before it looks, and returns the error as it is.
	Ambient(a Ambient) error
}

// ObjectRef names one key of a Secret or ConfigMap. An empty Namespace means "where the store may look", see Env.
type ObjectRef struct {
	Namespace, Name, Key string
}

// AccountRef names a ServiceAccount. An empty Namespace means "where the store may look", see Env.
type AccountRef struct {
	Namespace, Name string
}

// Token is a bearer token with the time at which it stops to be accepted.
type Token struct {
	Value   Value
	Expires time.Time
}
