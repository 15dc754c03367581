package secretstore_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/providers"
)

func TestAStoreThatIsReadIsNotAskedBesides(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "right"}, StringData: map[string]string{"token": "right"}})
	const interval = 4 * time.Second
	store := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "s"}, Spec: vaultSpec(w.class, "right", "")}
	text := intstr.FromString(interval.String())
	store.Spec.RefreshInterval = &text
	w.create(store)
	w.reports(store, "True", "Valid", "")
	known, err := w.pool.Translate(store)
	if err != nil {
		t.Fatal(err)
	}
	w.vault.mu.Lock()
	before := w.vault.checks
	w.vault.mu.Unlock()
	const checks = 4
	stood := 0 // how often the machine stood still for so long that nothing was read for most of an interval
	for begin, last := time.Now(), time.Now(); time.Since(begin) < checks*interval; time.Sleep(interval / 20) {
		if time.Since(last) > interval/2 {
			stood++
		}
		last = time.Now()
		if _, err := w.pool.Fetch(t.Context(), sessions.Request{Store: known, Namespace: w.ns, Refs: []providers.Ref{{Key: "a"}}}); err != nil {
			t.Fatal(err)
		}
	}
	w.vault.mu.Lock()
	defer w.vault.mu.Unlock()
	if more := w.vault.checks - before; more > stood {
		t.Errorf("checked %d times more, though a document was read in each interval", more)
	}
}
