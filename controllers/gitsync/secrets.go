package gitsync

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// repository returns where the GitSync's files are, with the credentials of spec.secretRef.
func (r *Reconciler) repository(ctx context.Context, sync *v1alpha1.GitSync) (Repository, error) {
	credentials, err := r.secret(ctx, sync.Namespace, sync.Spec.SecretRef, "spec.secretRef", v1alpha1.ReasonAuthenticationFailed)
	if err != nil {
		return Repository{}, err
	}
	return Repository{URL: sync.Spec.URL, Ref: sync.Spec.Ref, Credentials: credentials}, nil
}

// keysRef returns the reference to the decryption Secret, or nil.
func keysRef(sync *v1alpha1.GitSync) *v1alpha1.LocalRef {
	if sync.Spec.Decryption == nil {
		return nil
	}
	return sync.Spec.Decryption.SecretRef
}

// secret reads a Secret of the GitSync's own namespace; it returns nil when ref is nil.
func (r *Reconciler) secret(ctx context.Context, namespace string, ref *v1alpha1.LocalRef, field, reason string) (map[string][]byte, error) {
	if ref == nil {
		return nil, nil
	}
	secret := &corev1.Secret{}
	if err := r.deps.Reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, secret); err != nil {
		return nil, secretError(namespace, ref.Name, field, reason, err)
	}
	if secret.Data == nil {
		return map[string][]byte{}, nil
	}
	return secret.Data, nil
}

// keysVersion returns which version of the decryption Secret there is, without reading it; "" when none is named.
func (r *Reconciler) keysVersion(ctx context.Context, sync *v1alpha1.GitSync) (string, error) {
	ref := keysRef(sync)
	if ref == nil {
		return "", nil
	}
	secret := metadataOf(corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := r.deps.Reader.Get(ctx, client.ObjectKey{Namespace: sync.Namespace, Name: ref.Name}, secret); err != nil {
		return "", secretError(sync.Namespace, ref.Name, "spec.decryption.secretRef", v1alpha1.ReasonDecryptionFailed, err)
	}
	return string(secret.UID) + "/" + secret.ResourceVersion, nil
}

func secretError(namespace, name, field, reason string, err error) error {
	if apierrors.IsNotFound(err) {
		return &Problem{Reason: reason, Err: providers.Errorf(providers.ErrNotFound,
			"Secret %s/%s of %s does not exist; create it", namespace, name, field)}
	}
	return &Problem{Reason: reason, Err: fmt.Errorf("read Secret %s/%s of %s: %w", namespace, name, field, redact.API(err))}
}

func namespaceOf(name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	u.SetName(name)
	return u
}

func pathOf(sync *v1alpha1.GitSync) string {
	if sync.Spec.Path == "" {
		return "the root of the repository"
	}
	return sync.Spec.Path
}
