package secretstore_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

func TestTheSessionsOfAStoreThatIsMadeAnewAtOnceAreClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credential := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "cred"}, StringData: map[string]string{"token": "slow"}}
	w.create(credential)
	store := func() *esv1.SecretStore {
		return &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "s"}, Spec: vaultSpec(w.class, "cred", "")}
	}
	eventually := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("it did not happen: %s", what)
			}
		}
	}
	count := func(of *int) int {
		w.vault.mu.Lock()
		defer w.vault.mu.Unlock()
		return *of
	}
	old := store()
	w.create(old)
	eventually("the first is being checked", func() bool { return count(&w.vault.held) > 0 })
	if err := w.c.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	anew := store()
	w.create(anew)
	close(w.vault.slow) // the controller has seen no moment without a store
	w.reports(anew, metav1.ConditionTrue, esv1.ReasonStoreValid, "")
	eventually("the session of the first is closed", func() bool { return count(&w.vault.closed) == 1 })
}
