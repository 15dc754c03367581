package sealingkey

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// fault is a key Secret that cannot be used.
type fault struct {
	secret *corev1.Secret
	err    error
}

// load builds the ring of the key Secrets that can be used. The errors of the others name what is missing and quote
// nothing.
func load(secrets []corev1.Secret) (*keyring.Ring, []fault) {
	var pairs []*keyring.Pair
	var faults []fault
	for i := range secrets {
		s := &secrets[i]
		if s.DeletionTimestamp != nil {
			continue
		}
		pair, err := keyring.ParsePair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
		if err != nil {
			faults = append(faults, fault{secret: s, err: err})
			continue
		}
		pairs = append(pairs, pair)
	}
	return keyring.New(pairs...), faults
}

// isLegacy says whether a Secret under the name of the prefix is a key of a release before labels. One with the label
// is listed, or retired, by its label; one that was made from a SealedSecret was never a key.
func isLegacy(s *corev1.Secret) bool {
	_, labeled := s.Labels[v1alpha1.LabelSealingKey]
	_, sealed := s.Labels[v1alpha1.LabelSealedBy]
	return !labeled && !sealed
}

// keySecret returns the Secret that holds a pair, as Sealed Secrets writes its own. Without a name it gets one from the
// prefix.
func keySecret(namespace, name, prefix string, pair *keyring.Pair) *corev1.Secret {
	meta := metav1.ObjectMeta{
		Namespace: namespace, Name: name,
		Labels: map[string]string{v1alpha1.LabelSealingKey: v1alpha1.SealingKeyActive},
	}
	if name == "" {
		meta.GenerateName = prefix
	}
	return &corev1.Secret{
		ObjectMeta: meta,
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pair.CertificatePEM(),
			corev1.TLSPrivateKeyKey: pair.PrivateKeyPEM(),
		},
	}
}

// newFaults returns the faults that were not reported for the same version of their Secret, and remembers all of them.
func newFaults(reported map[string]string, faults []fault) []fault {
	current := map[string]string{}
	var fresh []fault
	for _, f := range faults {
		current[f.secret.Name] = f.secret.ResourceVersion
		if reported[f.secret.Name] != f.secret.ResourceVersion {
			fresh = append(fresh, f)
		}
	}
	clear(reported)
	maps.Copy(reported, current)
	return slices.Clip(fresh)
}
