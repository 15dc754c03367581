package sealedsecret_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// tenantKey returns a key Secret for some namespaces.
func (w *world) tenantKey(name string, pair *keyring.Pair, namespaces string) *corev1.Secret {
	s := w.keySecret(name, pair)
	s.Labels[v1alpha1.LabelSealingKey] = v1alpha1.SealingKeyNamespaced
	s.Annotations = map[string]string{v1alpha1.AnnotationKeyNamespaces: namespaces}
	return s
}

func TestANamespaceWithAKeyOfItsOwnOpensWithItAndWithOthersOnlyIfItsPolicySaysSo(t *testing.T) {
	t.Parallel()
	w := started(t)
	own, foreign := generate(t, 2*time.Hour), generate(t, time.Hour)
	before := w.object("before", map[string]string{"k": canary})
	w.create(before)
	w.synced("before")

	key := w.tenantKey("tenant", own, w.ns)
	w.create(key)
	w.create(w.tenantKey("others", foreign, "somewhere-else"))
	w.eventually("the keys of namespaces", func() bool { return w.ring().For(w.ns) != w.ring() && w.ring().For("somewhere-else") != w.ring() })
	if w.ring().Len() != 1 {
		t.Error("a key of a namespace is one of all")
	}
	sealedTo := func(name string, pair *keyring.Pair, scope seal.Scope) *v1alpha1.SealedSecret {
		obj := w.object(name, nil)
		obj.Spec.EncryptedData["k"] = w.sealedTo(pair, scope, w.ns, name, canary)
		if scope == seal.ClusterWide {
			obj.Annotations = map[string]string{seal.AnnotationClusterWide: "true"}
		}
		return obj
	}
	w.create(sealedTo("own", own, seal.Strict))
	w.create(sealedTo("common", newest(w), seal.Strict))
	w.create(sealedTo("everywhere", newest(w), seal.ClusterWide))
	w.create(sealedTo("foreign", foreign, seal.ClusterWide))
	w.synced("own")
	if w.data("own")["k"] != canary {
		t.Error("not opened")
	}
	for _, name := range []string{"common", "everywhere", "foreign"} {
		w.failed(name, "no key could decrypt secret (k): seal again with the certificate of this namespace (/v1/cert.pem?namespace="+w.ns+")")
		if w.secret(name) != nil {
			t.Errorf("%s was opened", name)
		}
	}
	w.synced("before") // what was opened before the namespace had keys stays

	// Values of before are let in while they are sealed again.
	update(w, key, func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationCommonKeys] = v1alpha1.CommonKeysAllow })
	w.synced("common")
	w.synced("everywhere")
	w.failed("foreign", "no key could decrypt secret (k)")
	if pair, _ := w.ring().For(w.ns).Newest(); pair.Fingerprint() != own.Fingerprint() {
		t.Error("the namespace seals to a common key")
	}

	// Without its key the namespace has the common ones again.
	if err := w.client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	w.eventually("the common keys", func() bool { return w.ring().For(w.ns) == w.ring() })
	w.create(sealedTo("after", own, seal.Strict))
	w.failed("after", "seal again with this cluster's certificate")
	w.checkCanary()
}
