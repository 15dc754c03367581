package externalsecret

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
	// keyAgain is how long a key that could not be read is not asked for again.
	keyAgain = time.Minute
)

// InputsKey returns a function for Deps.Key: it reads the key from a Secret in the controller's namespace, live, and makes
// that Secret when there is none. It asks once for the life of the process, and after a failure once a minute.
func InputsKey(reader client.Reader, writer client.Writer, namespace string) func(context.Context) ([]byte, error) {
	var mu sync.Mutex
	var key []byte
	var failed error
	var asked time.Time
	return func(ctx context.Context) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if key == nil && (failed == nil || time.Since(asked) > keyAgain) {
			asked = time.Now()
			key, failed = readKey(ctx, reader, writer, namespace)
		}
		return key, failed
	}
}

func readKey(ctx context.Context, reader client.Reader, writer client.Writer, namespace string) ([]byte, error) {
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
	if err != nil {
		return nil, fmt.Errorf("read or make Secret %s: %w", name, redact.API(err))
	}
	if len(secret.Data[keyName]) < keySize {
		return nil, providers.Errorf(providers.ErrInvalid, "Secret %s has no key %q of %d bytes; delete it, and it is made anew", name, keyName, keySize)
	}
	return secret.Data[keyName], nil
}
