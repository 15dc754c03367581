package sealingkey_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestAKeyOfSomeNamespacesIsRenewedForThemAndIsNotTheFirstOfAll(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	pair, err := keyring.Generate(keyring.Options{Bits: 2048, NotBefore: time.Now().Add(-2 * month)})
	if err != nil {
		t.Fatal(err)
	}
	tenant := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: ns, Name: "tenant", Labels: map[string]string{v1alpha1.LabelSealingKey: v1alpha1.SealingKeyNamespaced},
			Annotations: map[string]string{v1alpha1.AnnotationKeyNamespaces: "team-b,team-a", v1alpha1.AnnotationCommonKeys: "allow"},
		},
		Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{"tls.crt": pair.CertificatePEM(), "tls.key": pair.PrivateKeyPEM()},
	}
	if err := c.Create(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	var hand clock
	k, _ := replica(t, cp.Config(), ns, false, renewing(hand.now))
	eventually(t, "the first common key", func() bool { return size(k) == 1 })
	if newestOf(k) == pair.Fingerprint() {
		t.Fatal("everybody seals to the key of some namespaces")
	}
	of := func() *keyring.Ring { ring, _ := k.Ring(); return ring.For("team-a") }
	eventually(t, "its successor, because it is older than a month", func() bool {
		newest, ok := of().Newest()
		return ok && newest.Fingerprint() != pair.Fingerprint() && of().Len() == 3
	})
	secrets := keySecrets(t, c, ns)
	namespaced := 0
	for _, s := range secrets {
		if s.Labels[v1alpha1.LabelSealingKey] != v1alpha1.SealingKeyNamespaced {
			continue
		}
		namespaced++
		if s.Name != "tenant" && (s.Annotations[v1alpha1.AnnotationKeyNamespaces] != "team-a,team-b" || s.Annotations[v1alpha1.AnnotationCommonKeys] != "allow") {
			t.Errorf("%s: %v", s.Name, s.Annotations)
		}
	}
	if namespaced != 2 || len(secrets) != 3 {
		t.Errorf("%d of %d keys are of namespaces", namespaced, len(secrets))
	}
}
