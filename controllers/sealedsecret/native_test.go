package sealedsecret_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// nativeWorld returns a world whose cluster has keys of both formats, and its recipient.
func nativeWorld(t *testing.T) (*world, *agebox.Recipient) {
	t.Helper()
	w := newWorld(t)
	w.native = true
	w.start()
	w.eventually("keys of both formats", func() bool { return w.ring().Len() == 2 })
	newest, ok := w.ring().NewestIdentity()
	if !ok {
		t.Fatal("no identity")
	}
	return w, newest.Recipient()
}

func identity(t *testing.T, age time.Duration) *keyring.Identity {
	t.Helper()
	i, err := keyring.GenerateIdentity(time.Now().Add(-age))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func (w *world) nativeSecret(name string, i *keyring.Identity) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name, Labels: map[string]string{v1alpha1.LabelNativeKey: "active"}},
		Data:       map[string][]byte{v1alpha1.IdentityKey: i.Text()},
	}
}

func TestBothFormatsOpenInOneSealedSecretWithOneOperationForEachValue(t *testing.T) {
	t.Parallel()
	w, cluster := nativeWorld(t)
	others := make([]*agebox.Recipient, 0, 3)
	for range 3 {
		others = append(others, identity(t, 0).Recipient())
	}
	obj := w.object("both", nil)
	obj.Spec.EncryptedData = map[string]string{
		"compat":  w.sealed(seal.Strict, "both", canary+"-1"),
		"native":  w.sealedNative(seal.Strict, w.ns, "both", canary+"-2", cluster),
		"several": w.sealedNative(seal.Strict, w.ns, "both", canary+"-3", append(others, cluster)...),
		"text":    w.sealedNative(seal.Strict, w.ns, "both", canary+"-4", cluster),
	}
	w.create(obj)
	got := w.synced("both")
	for key, want := range map[string]string{"compat": "-1", "native": "-2", "several": "-3", "text": "-4"} {
		if w.data("both")[key] != canary+want {
			t.Errorf("%s was not opened", key)
		}
	}
	if n := w.operations(); n != 4 {
		t.Errorf("four values took %d private-key operations", n)
	}
	if got.Status.SealingKey != cluster.Fingerprint() {
		t.Errorf("the status names the key %s", got.Status.SealingKey)
	}
}

func TestANativeValueOfAnotherPlaceOrClusterIsReportedAsAnyOther(t *testing.T) {
	t.Parallel()
	w, cluster := nativeWorld(t)
	foreign := identity(t, 0)
	good := w.sealedNative(seal.Strict, w.ns, "bad", canary, cluster)
	obj := w.object("bad", nil)
	obj.Spec.EncryptedData = map[string]string{
		"damaged":   flip(good),
		"elsewhere": w.sealedNative(seal.Strict, "elsewhere", "bad", canary, cluster),
		"renamed":   w.sealedNative(seal.Strict, w.ns, "good", canary, cluster),
		"wider":     w.sealedNative(seal.ClusterWide, "", "", canary, cluster),
		"foreign":   w.sealedNative(seal.Strict, w.ns, "bad", canary, foreign.Recipient()),
	}
	w.create(obj)
	w.failed("bad", "no key could decrypt secret (damaged, elsewhere, foreign, renamed, wider)")
	if w.secret("bad") != nil {
		t.Error("a Secret was made")
	}
	// Nothing but the key of the foreign value cures any of them, and a key that the value does not name is not asked.
	before := w.operations()
	w.create(w.nativeSecret("foreign", foreign))
	w.failed("bad", "no key could decrypt secret (damaged, elsewhere, renamed, wider)")
	if n := w.operations() - before; n != 1 {
		t.Errorf("a new key took %d private-key operations", n)
	}
}

func TestAnIdentityThatIsRestoredOpensWhatWasSealedToIt(t *testing.T) {
	t.Parallel()
	w, cluster := nativeWorld(t)
	lost := identity(t, 365*24*time.Hour)
	obj := w.object("old", nil)
	obj.Spec.EncryptedData = map[string]string{"a": w.sealedNative(seal.NamespaceWide, w.ns, "", canary, lost.Recipient())}
	obj.Annotations = map[string]string{seal.AnnotationNamespaceWide: "true"}
	w.create(obj)
	w.failed("old", "no key could decrypt secret (a)")
	w.create(w.nativeSecret("restored", lost))
	w.synced("old")
	if w.data("old")["a"] != canary {
		t.Error("not opened")
	}
	if newest, _ := w.ring().NewestIdentity(); newest.Fingerprint() != cluster.Fingerprint() {
		t.Error("an old key that was restored is sealed to")
	}
}
