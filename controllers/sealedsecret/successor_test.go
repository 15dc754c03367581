package sealedsecret_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
