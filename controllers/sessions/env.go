package sessions

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// tokenLifetime is how long the ServiceAccount tokens last that the pool mints.
const tokenLifetime = time.Hour

// ErrReferent says that a ClusterSecretStore takes credentials from the namespace that uses it, and no namespace does.
var ErrReferent = providers.Errorf(providers.ErrInvalid,
	"the store's credentials are resolved in the namespace that uses it, so they cannot be used without one")

// env lends one identity its credentials and confines it to the namespaces that it may use. It remembers what it lent,
// so that the pool notices when a credential was replaced.
type env struct {
	store  string
	reader client.Reader
	tokens client.SubResourceClientConstructor
	// namespace is where references without a namespace resolve. It is empty for a session of a ClusterSecretStore that
	// all namespaces share: that one can never use a namespace's own credentials.
	namespace string
	// confined is set for SecretStores, which may use no other namespace.
	confined bool
	// ambient says why the store may not use an identity of the controller's own; nil when it may.
	ambient func(providers.Ambient) error

	// watcher knows which of the objects that were lent have changed, and follow makes it look at one; both may be nil.
	watcher *watches.Watcher
	follow  func(watches.Object, watches.Version)

	mu sync.Mutex
	// referent becomes true when a shared session asked for a namespace's own credentials.
	referent bool
	lent     map[watches.Object]watches.Version
	// expires is the earliest expiry of the tokens that were minted; zero without any.
	expires time.Time
}

var _ providers.Env = (*env)(nil)

// Secret implements providers.Env: the Secret is read live, so that its data is in no cache.
func (e *env) Secret(ctx context.Context, ref providers.ObjectRef) ([]byte, error) {
	var secret corev1.Secret
	if err := e.get(ctx, "Secret", ref, &secret); err != nil {
		return nil, err
	}
	return valueOf("Secret", &secret, secret.Data, ref.Key)
}

// SecretData implements providers.Env.
func (e *env) SecretData(ctx context.Context, ref providers.ObjectRef, label, value string) (map[string][]byte, error) {
	var secret corev1.Secret
	if err := e.get(ctx, "Secret", ref, &secret); err != nil {
		return nil, err
	}
	if secret.Labels[label] != value {
		return nil, providers.Errorf(providers.ErrInvalid, "Secret %s/%s may not be used by this store: it needs the label %q: %q",
			secret.Namespace, secret.Name, label, value)
	}
	return secret.Data, nil
}

// Namespace implements providers.Env.
func (e *env) Namespace() (string, error) {
	if e.namespace != "" {
		return e.namespace, nil
	}
	return "", e.askReferent()
}

// ConfigMap implements providers.Env.
func (e *env) ConfigMap(ctx context.Context, ref providers.ObjectRef) ([]byte, error) {
	var cm corev1.ConfigMap
	if err := e.get(ctx, "ConfigMap", ref, &cm); err != nil {
		return nil, err
	}
	if text, ok := cm.Data[ref.Key]; ok {
		return []byte(text), nil
	}
	return valueOf("ConfigMap", &cm, cm.BinaryData, ref.Key)
}

// Annotations implements providers.Env. They say which identity the account has, so that a change of them replaces the
// session as a change of a credential does.
func (e *env) Annotations(ctx context.Context, ref providers.AccountRef) (map[string]string, error) {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(watches.ServiceAccount))
	if err := e.get(ctx, watches.ServiceAccount, providers.ObjectRef{Namespace: ref.Namespace, Name: ref.Name}, m); err != nil {
		return nil, err
	}
	return m.Annotations, nil
}

// ServiceAccountToken implements providers.Env with the TokenRequest API.
func (e *env) ServiceAccountToken(ctx context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
	namespace, err := e.resolve("ServiceAccount", ref.Namespace, ref.Name)
	if err != nil {
		return providers.Token{}, err
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: ref.Name}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences:         audiences,
		ExpirationSeconds: ptr.To(int64(tokenLifetime / time.Second)),
	}}
	if err := e.tokens.SubResource("token").Create(ctx, account, request); err != nil {
		return providers.Token{}, accessError(err, "mint a token of", "create serviceaccounts/token", "ServiceAccount", namespace, ref.Name)
	}
	expires := request.Status.ExpirationTimestamp.Time
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.expires.IsZero() || expires.Before(e.expires) {
		e.expires = expires
	}
	return providers.Token{Value: providers.NewValue([]byte(request.Status.Token)), Expires: expires}, nil
}

// Ambient implements providers.Env.
func (e *env) Ambient(own providers.Ambient) error { return e.ambient(own) }

func (e *env) get(ctx context.Context, kind string, ref providers.ObjectRef, into client.Object) error {
	namespace, err := e.resolve(kind, ref.Namespace, ref.Name)
	if err != nil {
		return err
	}
	err = e.reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, into)
	switch {
	case apierrors.IsNotFound(err):
		e.lend(watches.Object{Kind: kind, Namespace: namespace, Name: ref.Name}, watches.Absent)
	case err == nil:
		e.lend(watches.Object{Kind: kind, Namespace: namespace, Name: ref.Name}, watches.Version(into.GetResourceVersion()))
		return nil
	}
	return accessError(err, "read", "get "+strings.ToLower(kind)+"s", kind, namespace, ref.Name)
}

// lend remembers in which version an object was read first, or that it was missing: what comes from a later one does not belong to
// what was lent before.
func (e *env) lend(o watches.Object, v watches.Version) {
	e.mu.Lock()
	if e.lent == nil {
		e.lent = map[watches.Object]watches.Version{}
	}
	_, again := e.lent[o]
	if !again {
		e.lent[o] = v
	}
	e.mu.Unlock()
	if !again && e.follow != nil {
		e.follow(o, v)
	}
}

// resolve returns the namespace in which the identity finds the object, or says why it may not use it.
func (e *env) resolve(kind, namespace, name string) (string, error) {
	switch {
	case name == "":
		return "", providers.Errorf(providers.ErrInvalid, "%s refers to a %s without a name", e.store, kind)
	case e.confined && namespace != "" && namespace != e.namespace:
		return "", providers.Errorf(providers.ErrInvalid,
			"%s may not use %s %s/%s: a SecretStore uses its own namespace only; remove the namespace or use a ClusterSecretStore",
			e.store, kind, namespace, name)
	case namespace != "":
		return namespace, nil
	case e.namespace != "":
		return e.namespace, nil
	}
	return "", e.askReferent()
}

// askReferent notes that this shared session was asked for what is a namespace's own.
func (e *env) askReferent() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.referent = true
	return ErrReferent
}

// wantsReferent reports whether a namespace's own credentials were asked for that this identity cannot have.
func (e *env) wantsReferent() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.referent
}

// expiry returns when the first minted token expires; zero when none was minted.
func (e *env) expiry() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.expires
}

// lendings returns the objects that were lent, in the versions in which they were read.
func (e *env) lendings() map[watches.Object]watches.Version {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.lent)
}

// outdated reports whether an object that was lent has changed, appeared or gone since, as far as it is watched.
func (e *env) outdated() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for o, read := range e.lent {
		if e.watcher.Version(o).Newer(read) {
			return true
		}
	}
	return false
}

// replaced reports the same about objects that are not watched. It reads metadata only, and takes an object that cannot
// be read now for unchanged: a session that works is not given up because the API server is slow.
func (e *env) replaced(ctx context.Context) bool {
	for o, read := range e.lendings() {
		if e.watcher.Version(o) != "" {
			continue
		}
		m := &metav1.PartialObjectMetadata{}
		m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(o.Kind))
		err := e.reader.Get(ctx, types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, m)
		now := watches.Version(m.ResourceVersion)
		if apierrors.IsNotFound(err) {
			now, err = watches.Absent, nil
		}
		if err == nil && now.Newer(read) {
			return true
		}
	}
	return false
}

func valueOf(kind string, obj client.Object, data map[string][]byte, key string) ([]byte, error) {
	if value, ok := data[key]; ok {
		return value, nil
	}
	return nil, providers.Errorf(providers.ErrNotFound, "%s %s/%s has no key %q", kind, obj.GetNamespace(), obj.GetName(), key)
}

// accessError classes an error of the API server about a credential and says what to do.
func accessError(err error, act, verb, kind, namespace, name string) error {
	switch {
	case apierrors.IsNotFound(err):
		return providers.Errorf(providers.ErrNotFound, "%s %s/%s does not exist", kind, namespace, name)
	case apierrors.IsForbidden(err):
		return providers.Errorf(providers.ErrDenied,
			"the controller may not %s %s %s/%s: grant its ServiceAccount %q in namespace %s", act, kind, namespace, name, verb, namespace)
	default:
		return providers.Errorf(providers.ErrUnavailable, "%s %s %s/%s: %w", act, kind, namespace, name, redact.API(err))
	}
}
