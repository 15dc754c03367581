package externalsecret

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// In its own namespace the controller reads one Secret, and makes it when there is none.
//
// +kubebuilder:rbac:groups="",namespace=sealbridge-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",namespace=sealbridge-system,resources=secrets,resourceNames=sealbridge-template-key,verbs=get

const (
	// keySecret is the Secret in the controller's namespace that holds the key, and keyName the key of its data.
	keySecret = "sealbridge-template-key"
	keyName   = "key"
	// keySize is what HMAC with SHA-256 makes use of.
	keySize = 32
	// keySoon is how long a key that could not be read is not asked for again, and keyAgain one that was refused.
	keySoon  = time.Second
	keyAgain = time.Minute
)

// readKey finds the key of the controller. When it cannot be had just now the object waits: hashes under another one would have
// to be written again. When it is not to be had until somebody does something, the process goes on with one of its own, and says
// so once.
func (r *Reconciler) readKey(ctx context.Context, s *scope) error {
	s.key = r.ownKey
	if r.deps.Key == nil {
		return nil
	}
	key, err := r.deps.Key(ctx)
	switch {
	case err == nil:
		s.key = key
	case errors.Is(err, providers.ErrUnavailable):
		return err
	default:
		r.keyless.Do(func() {
			ctrl.LoggerFrom(ctx).Error(err, "no key for the hashes that targets show: what was written will be written once more after a restart, and what random templates and rules made will be made anew")
		})
	}
	return nil
}

// InputsKey returns a function for Deps.Key: it reads the key from a Secret in the controller's namespace, live, and makes
// that Secret when there is none. It asks once for the life of the process, after a failure once a second, and when it was refused
// once a minute. It fails with ErrUnavailable when the API server does not answer, ErrDenied when the controller may not read and
// make the Secret, ErrNotFound when there is no such namespace, and ErrInvalid when the Secret holds something else.
func InputsKey(reader client.Reader, writer client.Writer, namespace string) func(context.Context) ([]byte, error) {
	var mu sync.Mutex
	var key []byte
	var failed error
	var asked time.Time
	return func(ctx context.Context) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		again := keyAgain
		if errors.Is(failed, providers.ErrUnavailable) {
			again = keySoon
		}
		if key == nil && (failed == nil || time.Since(asked) > again) {
			key, failed = loadKey(ctx, reader, writer, namespace)
			asked = time.Now()
		}
		return key, failed
	}
}

func loadKey(ctx context.Context, reader client.Reader, writer client.Writer, namespace string) ([]byte, error) {
	name := types.NamespacedName{Namespace: namespace, Name: keySecret}
	secret := &corev1.Secret{}
	err := reader.Get(ctx, name, secret)
	if apierrors.IsNotFound(err) {
		fresh := make([]byte, keySize)
		_, _ = rand.Read(fresh) // never fails
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: keySecret}, Data: map[string][]byte{keyName: fresh}}
		if err = writer.Create(ctx, secret); apierrors.IsAlreadyExists(err) {
			secret = &corev1.Secret{}
			err = reader.Get(ctx, name, secret)
		}
	}
	switch {
	case apierrors.IsForbidden(err):
		return nil, providers.Errorf(providers.ErrDenied, "the controller may not read or make Secret %s: grant its ServiceAccount "+
			"\"get\" on that Secret and \"create secrets\" in that namespace (the Role sealbridge-externalsecret)", name)
	case apierrors.IsNotFound(err):
		return nil, providers.Errorf(providers.ErrNotFound, "namespace %s does not exist: create it, or name another with --namespace", namespace)
	case err != nil:
		return nil, providers.Errorf(providers.ErrUnavailable, "read or make Secret %s, the key for the hashes that targets show: %w", name, redact.API(err))
	}
	if len(secret.Data[keyName]) < keySize {
		return nil, providers.Errorf(providers.ErrInvalid, "Secret %s has no key %q of %d bytes; delete it, and it is made anew", name, keyName, keySize)
	}
	return secret.Data[keyName], nil
}
