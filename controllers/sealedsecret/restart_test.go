package sealedsecret_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

func TestARestartWithEverythingInSyncDoesNothing(t *testing.T) {
	t.Parallel()
	w := started(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.create(w.object(name, map[string]string{"k": canary, "l": "2"}))
	}
	w.synced("a")
	w.synced("b")
	w.synced("c")
	w.synced("d")
	if n := w.operations(); n != 8 {
		t.Errorf("eight values took %d private-key operations", n)
	}
	settle(w)
	w.stop()

	w.start()
	w.create(w.object("last", map[string]string{"k": "1"}))
	w.synced("last") // every object was queued before it
	settle(w)
	if n := w.operations(); n != 1 {
		t.Errorf("%d private-key operations after the restart, want one for the new object", n)
	}
	writes := slices.DeleteFunc(w.requests.writes(), func(s string) bool { return strings.Contains(s, "/events") })
	if len(writes) != 2 {
		t.Errorf("writes after the restart, want the Secret and the status of the new object:\n%s", strings.Join(writes, "\n"))
	}
	gets := w.requests.with(func(s string) bool {
		return strings.HasPrefix(s, "GET ") && strings.Contains(s, "/secrets/") && !strings.HasSuffix(s, "/sealed-secrets-key")
	})
	if len(gets) > 0 {
		t.Errorf("Secrets were read one by one:\n%s", strings.Join(gets, "\n"))
	}
	objects := w.requests.with(func(s string) bool { return strings.HasPrefix(s, "GET ") && strings.Contains(s, "/sealedsecrets/") })
	if len(objects) > 0 {
		t.Errorf("SealedSecrets were read one by one, also the new one, of which the cache has shown all:\n%s", strings.Join(objects, "\n"))
	}
	w.checkCanary()
}

// settle waits until the controller has asked the API server for nothing during half a second.
func settle(w *world) {
	w.t.Helper()
	count := func() int { return len(w.requests.with(func(string) bool { return true })) }
	last, since := count(), time.Now()
	w.eventually("the controller is idle", func() bool {
		if n := count(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
}

func TestAnObjectIsWrittenOnceAndReportedOnce(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.create(w.object("app", map[string]string{"k": canary}))
	w.synced("app")
	w.eventually("the event", func() bool { return len(w.events("app")) > 0 })
	settle(w)
	writes := w.requests.with(func(s string) bool { return !strings.HasPrefix(s, "GET ") && strings.Contains(s, "/app") })
	posts := w.requests.with(func(s string) bool { return strings.HasPrefix(s, "POST ") && strings.HasSuffix(s, "/secrets") })
	if len(writes) != 1 || len(posts) != 2 { // the status; the Secret and the first sealing key
		t.Errorf("got %v and %v", writes, posts)
	}
	if n := len(w.events("app")); n != 1 {
		t.Errorf("%d events: %v", n, w.events("app"))
	}
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "app"}, &corev1.Secret{}); err != nil {
		t.Fatal(err)
	}
}

func TestWorkThatWasCutOffIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	w := started(t)
	obj := w.object("app", map[string]string{"k": canary})
	w.create(obj)
	w.synced("app")
	settle(w)
	w.stop()
	before := w.secret("app")

	// Killed after the Secret was written and before that was reported.
	update(w, obj, func(s *v1alpha1.SealedSecret) { s.Status = v1alpha1.SealedSecretStatus{} })
	obj.Status = v1alpha1.SealedSecretStatus{}
	if err := w.client.Status().Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.synced("app")
	if after := w.secret("app"); after.ResourceVersion != before.ResourceVersion {
		t.Error("the Secret was written again although nothing in it has changed")
	}

	// Changed while no controller ran.
	w.stop()
	update(w, w.secret("app"), func(s *corev1.Secret) { s.Data["k"] = []byte("edited") })
	w.start()
	w.eventually("the edit is undone", func() bool { return w.data("app")["k"] == canary })

	w.stop()
	update(w, obj, func(s *v1alpha1.SealedSecret) {
		s.Annotations = map[string]string{v1alpha1.AnnotationNamespaceWide: "true"}
		s.Spec.EncryptedData["k"] = w.sealed(seal.NamespaceWide, "app", "2")
	})
	w.start()
	w.eventually("the new value in the new scope", func() bool { return w.data("app")["k"] == "2" })
	w.synced("app")
	w.checkCanary()
}
