package sealingkey_test

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/sealingkey"
	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func withNative(d *sealingkey.Deps) { d.Native = true }

func nativeSecrets(t *testing.T, c client.Client, ns string) []corev1.Secret {
	t.Helper()
	var list corev1.SecretList
	if err := c.List(t.Context(), &list, client.InNamespace(ns), client.HasLabels{v1alpha1.LabelNativeKey}); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func identities(k *sealingkey.Keeper) []*keyring.Identity {
	var out []*keyring.Identity
	ring, _ := k.Ring()
	for key := range ring.All() {
		if identity, ok := key.(*keyring.Identity); ok {
			out = append(out, identity)
		}
	}
	return out
}

func TestNativeKeysAreMadeRenewedAndAgreedOnBesideTheOthers(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	var hand clock
	var keepers []*sealingkey.Keeper
	for range 3 {
		k, _ := replica(t, cp.Config(), ns, false, withNative, renewing(hand.now))
		keepers = append(keepers, k)
	}
	for generation := 1; generation <= 2; generation++ {
		for _, k := range keepers {
			eventually(t, "every replica has the keys of both kinds", func() bool { return size(k) == 2*generation })
		}
		newest, _ := keepers[0].Ring()
		want, _ := newest.NewestIdentity()
		for _, k := range keepers {
			if got := identities(k); len(got) != generation || got[0].Fingerprint() != want.Fingerprint() {
				t.Errorf("replicas seal to different identities: %v", got)
			}
		}
		secrets := nativeSecrets(t, c, ns)
		if len(secrets) != generation || len(keySecrets(t, c, ns)) != generation {
			t.Fatalf("%d native key Secrets in generation %d", len(secrets), generation)
		}
		for _, s := range secrets {
			// What age -i and age -R read.
			read, err := agebox.ParseIdentities(s.Data[v1alpha1.IdentityKey])
			recipients, bad := agebox.ParseRecipients(s.Data[v1alpha1.RecipientKey])
			if err != nil || bad != nil || len(read) != 1 || read[0].Fingerprint() != recipients[0].Fingerprint() {
				t.Errorf("%s: %v, %v", s.Name, err, bad)
			}
			if !strings.HasPrefix(s.Name, "sealed-secrets-key-native-") || s.Labels[v1alpha1.LabelSealingKey] != "" {
				t.Errorf("%s has the labels %v", s.Name, s.Labels)
			}
		}
		hand.set(time.Duration(generation) * (month + time.Minute))
		touch(t, c, ns)
	}
}

func TestAnIdentityThatIsRestoredKeepsItsPlaceAndOneThatCannotBeUsedIsLeftOut(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns, c := cp.Namespace(t), newClient(t, cp.Config())
	create := func(name, text string) *corev1.Secret {
		s := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{v1alpha1.LabelNativeKey: v1alpha1.SealingKeyActive}},
			Data:       map[string][]byte{v1alpha1.IdentityKey: []byte(text)},
		}
		if err := c.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	generate := func(age time.Duration) *keyring.Identity {
		identity, err := keyring.GenerateIdentity(time.Now().Add(-age))
		if err != nil {
			t.Fatal(err)
		}
		return identity
	}
	young, old := generate(time.Hour), generate(48*time.Hour)
	create("young", string(young.Text()))
	secret := create("old", string(old.Text())) // the younger Secret
	create("several", string(young.Text())+string(old.Text()))
	create("classic", "AGE-SECRET-KEY-1QQQQ")
	keeper, _ := replica(t, cp.Config(), ns, false, withNative)
	eventually(t, "both identities and a pair", func() bool { return size(keeper) == 3 })
	if got := identities(keeper); len(got) != 2 || got[0].Fingerprint() != young.Fingerprint() {
		t.Errorf("the newest is not the newest: %v", got)
	}
	secret.Labels[v1alpha1.LabelNativeKey] = v1alpha1.SealingKeyCompromised
	if err := c.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the retired identity is gone", func() bool { return size(keeper) == 2 })
	if n := len(nativeSecrets(t, c, ns)); n != 4 {
		t.Errorf("%d native key Secrets; one was made although there were some", n)
	}
}
