package sealingkey

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
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
	// ring has the common keys, and For the keys of each namespace.
	ring *keyring.Ring
	// lineages are the lines of keys by their ids; that of the common keys is always there.
	lineages map[string]*lineage
	faults   []fault
	// created is when the youngest Secret of each key was made, by the key's fingerprint.
	created map[string]time.Time
}

// load builds the ring of the key Secrets that can be used, and of common keys that somebody else holds. The errors of the
// Secrets that cannot be used name what is missing and quote nothing.
func load(secrets []corev1.Secret, order Order, held ...keyring.Member) keys {
	out := keys{created: map[string]time.Time{}, lineages: map[string]*lineage{"": {ring: keyring.New().With(held...)}}}
	for i := range secrets {
		s := &secrets[i]
		if s.DeletionTimestamp != nil {
			continue
		}
		line, err := lineageOf(s)
		var key keyring.Member
		if err == nil {
			key, err = parse(s, order)
		}
		if err != nil {
			out.faults = append(out.faults, fault{secret: s, err: err})
			continue
		}
		if created := s.CreationTimestamp.Time; created.After(out.created[key.Fingerprint()]) {
			out.created[key.Fingerprint()] = created
		}
		known := out.lineages[line.id()]
		if known == nil {
			known = &line
			out.lineages[line.id()] = known
		}
		known.allowCommon = known.allowCommon && line.allowCommon
		known.ring = known.ring.With(key)
	}
	out.ring = ringOf(out.lineages)
	return out
}

// count returns how many keys there are, those of single namespaces and of another holder among them. What stands for keys that a holder
// has not shown is none.
func (k keys) count() int {
	n := 0
	for _, l := range k.lineages {
		for key := range l.ring.All() {
			switch key.(type) {
			case *keyring.Pair, *keyring.Identity, keyring.Remote:
				n++
			}
		}
	}
	return n
}

// parse reads the key of a Secret, of the kind that its labels say.
func parse(s *corev1.Secret, order Order) (keyring.Member, error) {
	created := s.CreationTimestamp.Time
	if _, ok := s.Labels[v1alpha1.LabelNativeKey]; ok {
		identity, err := keyring.ParseIdentity(s.Data[v1alpha1.IdentityKey], created)
		if err == nil && order == OrderSecretCreationTimestamp {
			identity = identity.Ordered(created)
		}
		return identity, err
	}
	pair, err := keyring.ParsePair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err == nil && order == OrderSecretCreationTimestamp {
		pair = pair.Ordered(created)
	}
	return pair, err
}

// isLegacy says whether a Secret under the name of the prefix is a key of a release before labels. One with the label
// is listed, or retired, by its label; one that was made from a SealedSecret or an ExternalSecret was never a key.
func isLegacy(s *corev1.Secret) bool {
	for _, label := range []string{v1alpha1.LabelSealingKey, v1alpha1.LabelNativeKey, v1alpha1.LabelSealedBy, esv1.LabelManaged} {
		if _, ok := s.Labels[label]; ok {
			return false
		}
	}
	return true
}

// keySecret returns the Secret that holds a pair, as Sealed Secrets writes its own.
func keySecret(name client.ObjectKey, pair *keyring.Pair, extraLabels, annotations map[string]string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: keyMeta(name, v1alpha1.LabelSealingKey, extraLabels, annotations),
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pair.CertificatePEM(),
			corev1.TLSPrivateKeyKey: pair.PrivateKeyPEM(),
		},
	}
}

// nativeSecret returns the Secret that holds an identity: the file that age -i reads, and the recipient beside it.
func nativeSecret(name client.ObjectKey, identity *keyring.Identity, extraLabels, annotations map[string]string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: keyMeta(name, v1alpha1.LabelNativeKey, extraLabels, annotations),
		Type:       corev1.SecretTypeOpaque,
		Data: map[string][]byte{
			v1alpha1.IdentityKey:  identity.Text(),
			v1alpha1.RecipientKey: []byte(identity.Recipient().String() + "\n"),
		},
	}
}

// keyMeta returns the metadata of a key Secret. No label of the caller's takes away that it is a key.
func keyMeta(name client.ObjectKey, label string, extraLabels, annotations map[string]string) metav1.ObjectMeta {
	labels := maps.Clone(extraLabels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[label] = v1alpha1.SealingKeyActive
	return metav1.ObjectMeta{
		Namespace: name.Namespace, Name: name.Name, Labels: labels, Annotations: maps.Clone(annotations),
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
