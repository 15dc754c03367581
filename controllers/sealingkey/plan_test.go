package sealingkey

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

func pairOf(t *testing.T, age time.Duration) *keyring.Pair {
	t.Helper()
	pair, err := keyring.Generate(keyring.Options{Bits: 1024, NotBefore: time.Now().Add(-age)})
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func secretOf(name string, pair *keyring.Pair) *corev1.Secret {
	return keySecret(client.ObjectKey{Namespace: "ns", Name: name}, pair, nil, nil)
}

func TestTheRingHoldsWhatCanBeUsedAndFaultsNameTheRest(t *testing.T) {
	t.Parallel()
	young, old := pairOf(t, 0), pairOf(t, time.Hour)
	leaving := *secretOf("leaving", pairOf(t, -time.Hour))
	leaving.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	mixed := *secretOf("mixed", young)
	mixed.Data[corev1.TLSPrivateKeyKey] = old.PrivateKeyPEM()
	rubbish := *secretOf("rubbish", young)
	rubbish.Data = map[string][]byte{corev1.TLSCertKey: []byte("canary-1"), corev1.TLSPrivateKeyKey: []byte("canary-2")}

	keys := load([]corev1.Secret{
		*secretOf("old", old), mixed, *secretOf("young", young), rubbish, leaving,
		*secretOf("copy", old), {ObjectMeta: metav1.ObjectMeta{Name: "empty"}},
	}, OrderCertNotBefore)
	if diff := cmp.Diff(contents(keyring.New(young, old)), contents(keys.ring)); diff != "" {
		t.Error(diff)
	}
	want := map[string]error{"mixed": keyring.ErrMismatch, "rubbish": keyring.ErrNoPrivateKey, "empty": keyring.ErrNoPrivateKey}
	for _, f := range keys.faults {
		if !errors.Is(f.err, want[f.secret.Name]) || strings.Contains(f.err.Error(), "canary") {
			t.Errorf("%s: %v", f.secret.Name, f.err)
		}
		delete(want, f.secret.Name)
	}
	if len(want) > 0 {
		t.Errorf("no fault of %v", want)
	}
}

// unseen stands for the keys that a holder has not shown.
type unseen struct{ keyring.Member }

func (unseen) Fingerprint() string { return "unseen" }
func (unseen) Since() time.Time    { return time.Time{} }

func TestTheKeysOfNamespacesAreCountedAndWhatStandsForKeysIsNot(t *testing.T) {
	t.Parallel()
	identity, err := keyring.GenerateIdentity(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own := *secretOf("own", pairOf(t, 0))
	own.Labels[v1alpha1.LabelSealingKey] = v1alpha1.SealingKeyNamespaced
	own.Annotations = map[string]string{v1alpha1.AnnotationKeyNamespaces: "a,b"}
	keys := load([]corev1.Secret{*secretOf("common", pairOf(t, time.Hour)), own}, OrderCertNotBefore, identity, unseen{})
	if n := keys.count(); n != 3 || len(keys.faults) != 0 {
		t.Errorf("%d keys, %d faults", n, len(keys.faults))
	}
}

func TestAFaultIsToldOnceForEachVersionOfItsSecret(t *testing.T) {
	t.Parallel()
	at := func(name, version string) fault {
		return fault{secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}}}
	}
	names := func(faults []fault) (out []string) {
		for _, f := range faults {
			out = append(out, f.secret.Name)
		}
		return out
	}
	reported := map[string]string{}
	for i, step := range []struct {
		faults []fault
		want   []string
	}{
		{[]fault{at("a", "1"), at("b", "1")}, []string{"a", "b"}},
		{[]fault{at("a", "1"), at("b", "2")}, []string{"b"}},
		{[]fault{at("b", "2")}, nil},
		{[]fault{at("a", "1"), at("b", "2")}, []string{"a"}},
	} {
		if diff := cmp.Diff(step.want, names(newFaults(reported, step.faults))); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
}

func TestAKeySecretLooksAsSealedSecretsWritesIt(t *testing.T) {
	t.Parallel()
	pair := pairOf(t, 0)
	extra := map[string]string{"team": "a", v1alpha1.LabelSealingKey: "no"}
	named := keySecret(client.ObjectKey{Namespace: "ns", Name: "n"}, pair, extra, map[string]string{"note": "b"})
	want := metav1.ObjectMeta{
		Namespace: "ns", Name: "n", Annotations: map[string]string{"note": "b"},
		Labels: map[string]string{"team": "a", v1alpha1.LabelSealingKey: "active"},
	}
	if diff := cmp.Diff(want, named.ObjectMeta); diff != "" || named.Type != corev1.SecretTypeTLS || extra[v1alpha1.LabelSealingKey] != "no" {
		t.Errorf("%s %s", named.Type, diff)
	}
	read, err := keyring.ParsePair(named.Data["tls.crt"], named.Data["tls.key"])
	if err != nil || read.Fingerprint() != pair.Fingerprint() {
		t.Errorf("read back: %v, %v", read, err)
	}
}

// issuedAnew returns a pair of the same key whose certificate begins when the other does and ends a year later.
func issuedAnew(t *testing.T, pair *keyring.Pair) *keyring.Pair {
	t.Helper()
	private, err := keyring.ParsePrivateKey(pair.PrivateKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: pair.NotBefore(), NotAfter: pair.NotAfter().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pair.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	again, err := keyring.ParsePair(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pair.PrivateKeyPEM())
	if err != nil {
		t.Fatal(err)
	}
	return again
}

func TestOnlyAChangeOfTheKeysReplacesTheRing(t *testing.T) {
	t.Parallel()
	a, b := pairOf(t, 0), pairOf(t, time.Hour)
	longer := issuedAnew(t, a)
	keeper := NewKeeper()
	ring, replaced := keeper.Ring()
	if ring != nil {
		t.Error("a ring before the keys were read")
	}
	for i, step := range []struct {
		ring *keyring.Ring
		want bool
	}{
		{keyring.New(), true}, {keyring.New(), false}, {keyring.New(a), true}, {keyring.New(a), false},
		{keyring.New(b, a), true}, {keyring.New(a, b), false}, {keyring.New(b), true}, {keyring.New(), true},
		{keyring.New(a), true}, {keyring.New(longer), true}, {keyring.New(longer), false},
		{keyring.New(b).WithNamespaces(map[string]*keyring.Ring{"ns": keyring.New(a)}), true},
		{keyring.New(b).WithNamespaces(map[string]*keyring.Ring{"ns": keyring.New(longer)}), true},
	} {
		if got := keeper.replace(step.ring); got != step.want {
			t.Errorf("step %d: replaced = %t", i, got)
		}
		select {
		case <-replaced:
			if !step.want {
				t.Errorf("step %d: readers were told of a change that is none", i)
			}
		default:
			if step.want {
				t.Errorf("step %d: readers were not told", i)
			}
		}
		_, replaced = keeper.Ring()
	}
}

// TestAKeyOfAnOldReleaseIsOneThatNothingHasMade: whoever may write an ExternalSecret or a SealedSecret in the controller's namespace plants
// no key under the name of those.
func TestAKeyOfAnOldReleaseIsOneThatNothingHasMade(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]bool{
		"app": true, v1alpha1.LabelSealingKey: false, v1alpha1.LabelNativeKey: false, v1alpha1.LabelSealedBy: false, esv1.LabelManaged: false,
	} {
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{label: "x"}}}
		if got := isLegacy(s); got != want {
			t.Errorf("with the label %s it is one: %t", label, got)
		}
	}
}
