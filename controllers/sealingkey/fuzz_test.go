package sealingkey

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// FuzzAKeySecretIsAKeyOrAFault: whatever stands in a Secret with the label of keys, it is one key that can be used, or one fault
// that quotes nothing; and a key that is meant for some namespaces is none of the common ones.
func FuzzAKeySecretIsAKeyOrAFault(f *testing.F) {
	pair, err := keyring.Generate(keyring.Options{Bits: 1024})
	if err != nil {
		f.Fatal(err)
	}
	identity, err := keyring.GenerateIdentity(time.Unix(0, 0))
	if err != nil {
		f.Fatal(err)
	}
	const canary = "canary-8e21"
	for _, namespaces := range []string{"", "a", "a, b,", "A", ",", "-", strings.Repeat("a", 64)} {
		f.Add(pair.CertificatePEM(), pair.PrivateKeyPEM(), "active", namespaces, false)
		f.Add(identity.Text(), []byte{}, "namespaced", namespaces, true)
	}
	f.Add(pair.PrivateKeyPEM(), pair.CertificatePEM(), "namespaced", "a", false)
	f.Add([]byte(canary), []byte("-----BEGIN PRIVATE KEY-----\n"+canary+"\n-----END PRIVATE KEY-----\n"), "", "", false)
	f.Add([]byte("# created: "+canary+"\nAGE-SECRET-KEY-PQ-1"+canary), []byte{}, "compromised", "", true)
	f.Fuzz(func(t *testing.T, first, second []byte, state, namespaces string, native bool) {
		label, data := v1alpha1.LabelSealingKey, map[string][]byte{corev1.TLSCertKey: first, corev1.TLSPrivateKeyKey: second}
		if native {
			label, data = v1alpha1.LabelNativeKey, map[string][]byte{v1alpha1.IdentityKey: first}
		}
		s := corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "key", Labels: map[string]string{label: state}}, Data: data}
		if namespaces != "" {
			s.Annotations = map[string]string{v1alpha1.AnnotationKeyNamespaces: namespaces}
		}
		for _, order := range []Order{OrderCertNotBefore, OrderSecretCreationTimestamp} {
			got := load([]corev1.Secret{s}, order)
			for _, fault := range got.faults {
				if strings.Contains(fault.err.Error(), canary) {
					t.Errorf("the fault quotes: %v", fault.err)
				}
			}
			keys := got.ring.Len()
			for _, ring := range got.ring.Namespaces() {
				keys += ring.Len()
			}
			if (keys == 0) == (len(got.faults) == 0) {
				t.Errorf("%d keys and %d faults", keys, len(got.faults))
			}
			if (namespaces != "" || state == v1alpha1.SealingKeyNamespaced) && got.ring.Len() > 0 {
				t.Error("a key of some namespaces is a common one")
			}
		}
	})
}
