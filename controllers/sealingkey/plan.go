package sealingkey

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// fault is a key Secret that cannot be used.
type fault struct {
	secret *corev1.Secret
	err    error
}

// keys are what a set of key Secrets holds.
type keys struct {
	ring   *keyring.Ring
	faults []fault
	// created is when the youngest Secret of each key was made, by the key's fingerprint.
	created map[string]time.Time
}

// load builds the ring of the key Secrets that can be used. The errors of the others name what is missing and quote
// nothing.
func load(secrets []corev1.Secret, order Order) keys {
	out := keys{created: map[string]time.Time{}}
	var pairs []*keyring.Pair
	for i := range secrets {
		s := &secrets[i]
		if s.DeletionTimestamp != nil {
			continue
		}
		pair, err := keyring.ParsePair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
		if err != nil {
			out.faults = append(out.faults, fault{secret: s, err: err})
			continue
		}
		created := s.CreationTimestamp.Time
		if order == OrderSecretCreationTimestamp {
			pair = pair.Ordered(created)
		}
		if created.After(out.created[pair.Fingerprint()]) {
			out.created[pair.Fingerprint()] = created
		}
		pairs = append(pairs, pair)
	}
	out.ring = keyring.New(pairs...)
	return out
}

// isLegacy says whether a Secret under the name of the prefix is a key of a release before labels. One with the label
// is listed, or retired, by its label; one that was made from a SealedSecret was never a key.
func isLegacy(s *corev1.Secret) bool {
	_, labeled := s.Labels[v1alpha1.LabelSealingKey]
	_, sealed := s.Labels[v1alpha1.LabelSealedBy]
	return !labeled && !sealed
}

// keySecret returns the Secret that holds a pair, as Sealed Secrets writes its own. No label of the caller's takes away
// that it is a key.
func keySecret(name client.ObjectKey, pair *keyring.Pair, extraLabels, annotations map[string]string) *corev1.Secret {
	labels := maps.Clone(extraLabels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1alpha1.LabelSealingKey] = v1alpha1.SealingKeyActive
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: name.Namespace, Name: name.Name, Labels: labels, Annotations: maps.Clone(annotations),
		},
		Type: corev1.SecretTypeTLS,
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
