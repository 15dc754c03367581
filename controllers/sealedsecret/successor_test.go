package sealedsecret_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

func TestASealedSecretThatIsMadeAnewTakesTheSecretOfItsPredecessor(t *testing.T) {
	t.Parallel()
	const rounds = 10
	w := started(t)
	obj := w.object("app", map[string]string{"a": canary})
	for range rounds {
		obj := obj.DeepCopy()
		w.create(obj)
		w.synced("app")
		w.eventually("the Secret is that of the new object", func() bool {
			s := w.secret("app")
			return s != nil && metav1.IsControlledBy(s, obj) && string(s.Data["a"]) == canary
		})
		// The garbage collector is after its Secret from now on.
		if err := w.client.Delete(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	for _, event := range w.events("app") {
		if strings.Contains(event, "not managed") {
			t.Errorf("it was told: %s", event)
		}
	}
}

func TestALeaderThatWasPausedTakesNoSecretFromTheSuccessorOfASealedSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reached, woken := make(chan struct{}), make(chan struct{})
	pause := sync.OnceFunc(func() { close(reached); <-woken })
	var old types.UID
	var mu sync.Mutex
	taken := 0
	w.fault = func(req *http.Request, next http.RoundTripper) (*http.Response, error) {
		body := bodyOf(req)
		if req.Method != http.MethodPut || !strings.HasSuffix(req.URL.Path, "/secrets/app") {
			return nil, nil
		}
		pause()
		resp, err := next.RoundTrip(req)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && resp.StatusCode == http.StatusOK && strings.Contains(body, string(old)) {
			taken++
		}
		return resp, err
	}
	w.start()
	obj := w.object("app", map[string]string{"a": "1"})
	w.create(obj)
	w.synced("app")
	mu.Lock()
	old = obj.UID
	mu.Unlock()
	update(w, obj, func(s *v1alpha1.SealedSecret) { s.Spec.EncryptedData["a"] = w.sealed(seal.Strict, "app", "2") })
	select {
	case <-reached:
	case <-time.After(deadline):
		t.Error("the Secret was not written again")
	}
	anew := w.successor(obj)
	close(woken)
	w.synced("app")
	w.eventually("the Secret has the value of the new object", func() bool { return w.data("app")["a"] == "anew" })
	mu.Lock()
	defer mu.Unlock()
	if s := w.secret("app"); taken > 0 || !metav1.IsControlledBy(s, anew) {
		t.Errorf("the Secret was taken from its owner %d times; it belongs to %+v", taken, s.OwnerReferences)
	}
}

// successor deletes a SealedSecret, makes it anew with another value, and gives it the Secret, as another leader does.
func (w *world) successor(old *v1alpha1.SealedSecret) *v1alpha1.SealedSecret {
	w.t.Helper()
	anew := w.object(old.Name, map[string]string{"a": "anew"})
	update(w, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: old.Name}}, func(s *corev1.Secret) { s.OwnerReferences = nil })
	if err := w.client.Delete(w.t.Context(), old.DeepCopy()); err != nil {
		w.t.Fatal(err)
	}
	w.create(anew)
	update(w, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: old.Name}}, func(s *corev1.Secret) {
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(anew, v1alpha1.GroupVersion().WithKind(v1alpha1.KindSealedSecret))}
		s.Labels[v1alpha1.LabelSealedBy] = string(anew.UID)
	})
	return anew
}
