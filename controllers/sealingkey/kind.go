package sealingkey

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// kind is one of the two kinds of keys that are kept, each with Secrets and a newest key of its own.
type kind struct {
	name string
	// label marks the key Secrets, infix is in the names of those that are made, legacy says whether one without the label
	// may exist.
	label, infix string
	legacy       bool
	newest       func(*keyring.Ring) (dated, bool)
	// generate makes a key and the Secret that holds it.
	generate func(d Deps, name string, notBefore time.Time) (secret *corev1.Secret, fingerprint string, err error)

	// cached holds the labeled key Secrets.
	cached client.Reader
	// made is when this process made a key of the kind for the last time, by lineage.
	made map[string]time.Time
}

// dated is a key that knows when it was made.
type dated interface {
	keyring.Member
	NotBefore() time.Time
}

// selects says whether a Secret is a key of the kind that may open something.
func (k *kind) selects(s *corev1.Secret) bool {
	value := s.Labels[k.label]
	return value == v1alpha1.SealingKeyActive || value == v1alpha1.SealingKeyNamespaced
}

// active selects the Secrets that selects is true of.
func (k *kind) active() (labels.Selector, error) {
	in, err := labels.NewRequirement(k.label, selection.In, []string{v1alpha1.SealingKeyActive, v1alpha1.SealingKeyNamespaced})
	if err != nil {
		return nil, fmt.Errorf("select by label %s: %w", k.label, err)
	}
	return labels.NewSelector().Add(*in), nil
}

// compatKind are the RSA keys of Sealed Secrets.
func compatKind() *kind {
	return &kind{
		name: "compat", label: v1alpha1.LabelSealingKey, legacy: true, made: map[string]time.Time{},
		newest: func(r *keyring.Ring) (dated, bool) { return r.Newest() },
		generate: func(d Deps, name string, notBefore time.Time) (*corev1.Secret, string, error) {
			options := d.Generate
			options.NotBefore = notBefore
			pair, err := keyring.Generate(options)
			if err != nil {
				return nil, "", err
			}
			return keySecret(client.ObjectKey{Namespace: d.Namespace, Name: name}, pair, d.Labels, d.Annotations), pair.Fingerprint(), nil
		},
	}
}

// nativeKind are the post-quantum age identities.
func nativeKind() *kind {
	return &kind{
		name: "native", label: v1alpha1.LabelNativeKey, infix: "-native", made: map[string]time.Time{},
		newest: func(r *keyring.Ring) (dated, bool) { return r.NewestIdentity() },
		generate: func(d Deps, name string, notBefore time.Time) (*corev1.Secret, string, error) {
			identity, err := keyring.GenerateIdentity(notBefore)
			if err != nil {
				return nil, "", err
			}
			return nativeSecret(client.ObjectKey{Namespace: d.Namespace, Name: name}, identity, d.Labels, d.Annotations), identity.Fingerprint(), nil
		},
	}
}
