package sealedsecret_test

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func newest(w *world) *keyring.Pair { pair, _ := w.ring().Newest(); return pair }

func decode64(t *testing.T, text string) []byte {
	t.Helper()
	out, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func generate(t *testing.T, age time.Duration) *keyring.Pair {
	t.Helper()
	return generateBits(t, 2048, age)
}

func generateBits(t *testing.T, bits int, age time.Duration) *keyring.Pair {
	t.Helper()
	pair, err := keyring.Generate(keyring.Options{Bits: bits, NotBefore: time.Now().Add(-age)})
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// keySecret returns a key Secret as an administrator restores it from a backup.
func (w *world) keySecret(name string, pair *keyring.Pair) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name, Labels: map[string]string{v1alpha1.LabelSealingKey: "active"}},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{"tls.crt": pair.CertificatePEM(), "tls.key": pair.PrivateKeyPEM()},
	}
}

func TestAKeyThatIsAddedOpensWhatNoneCouldAndOneThatIsRemovedDoesNot(t *testing.T) {
	t.Parallel()
	w := started(t)
	restored := generate(t, 365*24*time.Hour)
	obj := w.object("old", nil)
	obj.Spec.EncryptedData = map[string]string{
		"a": w.sealedTo(restored, seal.Strict, w.ns, "old", canary), "b": w.sealed(seal.Strict, "old", "2"),
	}
	w.create(obj)
	w.failed("old", "no key could decrypt secret (a)")
	settle(w)
	before := w.operations()

	key := w.keySecret("restored", restored)
	w.create(key)
	if got := w.synced("old"); got.Status.Conditions[0].Message != "" {
		t.Errorf("%+v", got.Status.Conditions[0])
	}
	if w.data("old")["a"] != canary {
		t.Error("not opened")
	}
	// The key that failed for a is not asked again, and the one that opened b is asked once more.
	if n := w.operations() - before; n != 2 {
		t.Errorf("the new key took %d private-key operations, want 2", n)
	}
	if newest(w).Fingerprint() == restored.Fingerprint() {
		t.Error("an old key became the one that is sealed to")
	}

	if err := w.client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	w.eventually("the key is gone", func() bool { return w.ring().Len() == 1 })
	w.create(func() *v1alpha1.SealedSecret {
		again := w.object("again", nil)
		again.Spec.EncryptedData["a"] = w.sealedTo(restored, seal.Strict, w.ns, "again", canary)
		return again
	}())
	w.failed("again", "no key could decrypt secret (a)")
	if w.data("old")["a"] != canary {
		t.Error("a Secret was changed although nothing but the keys has")
	}
	w.checkCanary()
}

// A key that comes back after it was missed, and before anybody can read that.
func TestAKeyThatComesWhileItsAbsenceIsReportedOpens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	restored := generate(t, 365*24*time.Hour)
	known := func() bool { return w.ring().Has(restored.Fingerprint()) }
	var once sync.Once
	reports, back := make(chan struct{}), make(chan struct{})
	w.fault = func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		if strings.HasSuffix(req.URL.Path, "/sealedsecrets/db/status") && w.ring().Len() == 1 {
			once.Do(func() {
				close(reports)
				select {
				case <-back:
				case <-t.Context().Done():
				}
			})
		}
		return nil, nil
	}
	w.start()
	key := w.keySecret("restored", restored)
	w.create(key)
	w.eventually("there are two keys", func() bool { return w.ring().Len() == 2 })
	obj := w.object("db", nil)
	obj.Spec.EncryptedData = map[string]string{"a": w.sealedTo(restored, seal.Strict, w.ns, "db", canary)}
	w.create(obj)
	w.synced("db")
	settle(w)
	if err := w.client.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	w.eventually("the key is gone", func() bool { return !known() })
	secret := w.secret("db")
	secret.Data["a"] = []byte("edited")
	if err := w.client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	select {
	case <-reports:
	case <-time.After(deadline):
		t.Fatal("nothing is reported")
	}
	w.create(w.keySecret("restored", restored))
	w.eventually("the key is back", known)
	time.Sleep(500 * time.Millisecond) // so that whoever is told of it has looked
	close(back)
	w.eventually("the Secret is as it was", func() bool { return w.data("db")["a"] == canary })
	w.synced("db")
}

func TestAKeyThatCannotBeUsedIsLeftOutWithAWarning(t *testing.T) {
	t.Parallel()
	w := started(t)
	first := newest(w)
	pair, other := generate(t, 0), generate(t, -time.Hour) // the newest, whenever the first one was made
	for name, data := range map[string]map[string][]byte{
		"empty":        nil,
		"no-key":       {"tls.crt": pair.CertificatePEM(), "tls.key": []byte(canary)},
		"no-cert":      {"tls.crt": []byte(canary), "tls.key": pair.PrivateKeyPEM()},
		"not-matching": {"tls.crt": other.CertificatePEM(), "tls.key": pair.PrivateKeyPEM()},
	} {
		secret := w.keySecret(name, pair)
		secret.Type, secret.Data = corev1.SecretTypeOpaque, data
		w.create(secret)
	}
	for _, name := range []string{"empty", "no-key", "no-cert", "not-matching"} {
		w.eventually("a warning about "+name, func() bool {
			return slices.ContainsFunc(w.events(name), func(e string) bool { return strings.HasPrefix(e, "Warning ErrSealingKey sealing key left out: ") })
		})
	}
	if w.ring().Len() != 1 || newest(w).Fingerprint() != first.Fingerprint() {
		t.Errorf("%d keys", w.ring().Len())
	}
	w.create(w.object("app", map[string]string{"k": canary}))
	w.synced("app")

	// Repaired, it counts.
	update(w, w.keySecret("empty", pair), func(s *corev1.Secret) {
		s.Data = map[string][]byte{"tls.crt": other.CertificatePEM(), "tls.key": other.PrivateKeyPEM()}
	})
	w.eventually("the repaired key", func() bool { return newest(w).Fingerprint() == other.Fingerprint() })
	w.checkCanary()
}

func TestAPoisonousObjectIsWorkedOnInSharesAndDelaysNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.patience = 4 * time.Minute // 1200 operations are much for a machine that is far too busy
	const keys, values = 40, 30
	for i := range keys {
		w.create(w.keySecret("key-"+string(rune('a'+i/10))+string(rune('0'+i%10)), generateBits(t, 1024, time.Duration(i)*time.Hour)))
	}
	w.start()
	w.eventually("all keys", func() bool { return w.ring().Len() == keys })
	stranger := generateBits(t, 1024, 0)
	poison := w.object("poison", nil)
	for i := range values {
		poison.Spec.EncryptedData["k"+string(rune('a'+i%26))+string(rune('0'+i/26))] = w.sealedTo(stranger, seal.Strict, w.ns, "poison", canary)
	}
	w.create(poison)
	began := time.Now()
	w.create(w.object("app", map[string]string{"k": canary}))
	w.synced("app")
	t.Logf("an object beside it took %s", time.Since(began))
	w.failed("poison", "no key could decrypt secret (ka0, ka1, kb0")
	// Every key once for every value, and never again.
	settle(w)
	if n := w.operations(); n != keys*values+1 {
		t.Errorf("%d private-key operations, want %d", n, keys*values+1)
	}
	update(w, poison, func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData["ka0"] = w.sealed(seal.Strict, "poison", "1") })
	w.failed("poison", "no key could decrypt secret (ka1, kb0")
	settle(w)
	if n := w.operations(); n != keys*values+2 {
		t.Errorf("%d private-key operations after one value was replaced, want %d", n, keys*values+2)
	}
}

func TestTheRightsOfTheMarkersAreEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg, err := w.cp.ServiceAccountConfig(t.Context(), w.ns, "controller")
	if err != nil {
		t.Fatal(err)
	}
	rule := func(group, resource string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
	}
	err = w.cp.Allow(t.Context(), controlplane.ServiceAccount(w.ns, "controller"), w.ns,
		rule("bitnami.com", "sealedsecrets", "get", "list", "watch"),
		rule("bitnami.com", "sealedsecrets/status", "patch", "update"),
		rule("", "secrets", "get", "list", "watch", "create", "update", "patch"),
		rule("events.k8s.io", "events", "create"))
	if err != nil {
		t.Fatal(err)
	}
	w.config = cfg
	w.start()
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "shared", Annotations: map[string]string{v1alpha1.AnnotationPatch: "true", v1alpha1.AnnotationManaged: "true"}}})
	for _, name := range []string{"app", "shared"} {
		w.create(w.object(name, map[string]string{"k": canary}))
		w.synced(name)
		if owners := w.secret(name).OwnerReferences; len(owners) != 1 {
			t.Errorf("%s: owners %v", name, owners)
		}
	}
	update(w, w.secret("app"), func(s *corev1.Secret) { s.Data["k"] = []byte("edited") })
	w.eventually("the edit is undone", func() bool { return w.data("app")["k"] == canary })
}
