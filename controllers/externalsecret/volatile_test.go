package externalsecret_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// random makes the target of a template with random and time-dependent functions.
func random(es *esv1.ExternalSecret) {
	es.Spec.Target.Template = &esv1.Template{Data: map[string]string{
		"random": "{{ randAlphaNum 20 }}", "id": "{{ uuidv4 }}", "at": "{{ now | unixEpoch }}-{{ .password | len }}", "dsn": "pg://{{ .password }}",
	}}
}

// becomes waits until the data of a Secret is not as it was.
func (w *world) becomes(what string, before *corev1.Secret) *corev1.Secret {
	w.t.Helper()
	var now *corev1.Secret
	w.eventually(what, func() error {
		if now = w.secret(before.Name); string(now.Data["random"]) == string(before.Data["random"]) {
			return fmt.Errorf("the random value is the same")
		}
		return nil
	})
	if cmp.Equal(now.Data["id"], before.Data["id"]) {
		w.t.Errorf("%s: one value is new and another is not", what)
	}
	return now
}

// refreshed waits until the store was asked n times more.
func (w *world) refreshed(n int) {
	w.t.Helper()
	before, _ := w.backend.calls()
	w.eventually("refreshes", func() error {
		if now, _ := w.backend.calls(); now < before+n {
			return fmt.Errorf("%d of %d", now-before, n)
		}
		return nil
	})
}

func force(w *world, es *esv1.ExternalSecret, turn string) {
	w.t.Helper()
	before := es.Status.SyncedResourceVersion
	change(w, es, func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{esv1.AnnotationForceSync: turn} })
	w.eventually("sync "+turn, func() error {
		if es = w.ready(es.Name); es.Status.SyncedResourceVersion == before {
			return fmt.Errorf("synced %s", before)
		}
		return nil
	})
}

func TestARandomValueIsMadeOnceAndKeptUntilItsInputChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one-`+canary+`"}`)
	w.store("store")
	es := w.externalSecret("db", every(time.Second), random)
	w.create(es)
	es = w.ready("db")
	first := w.secret("db")
	same := func(when string, version bool) {
		t.Helper()
		w.eventually(when, func() error {
			now := w.secret("db")
			if diff := cmp.Diff(first.Data, now.Data); diff != "" {
				return fmt.Errorf("the data is another: %s", diff)
			}
			if version && now.ResourceVersion != first.ResourceVersion {
				return fmt.Errorf("the target was written")
			}
			return nil
		})
	}
	w.refreshed(3)
	same("after three refreshes", true)
	force(w, es, "1")
	same("after a forced sync", true)
	change(w, w.secret("db"), func(s *corev1.Secret) { s.Data["random"] = []byte("changed") })
	same("after a change by hand", false)
	if err := w.c.Delete(t.Context(), w.secret("db")); err != nil {
		t.Fatal(err)
	}
	w.eventually("the target is back", func() error {
		return w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "db"}, &corev1.Secret{})
	})
	same("after a deletion", false)
	w.ready("db")

	w.stop()
	w.start()
	first = w.secret("db")
	w.refreshed(3)
	same("after a restart", true)
	force(w, es, "2")
	same("after a restart and a forced sync", true)
	change(w, w.secret("db"), func(s *corev1.Secret) { s.Data["random"] = []byte("changed") })
	same("after a restart, refreshes and a change by hand", false)

	w.backend.put("db", `{"password":"two-`+canary+`"}`)
	second := w.becomes("another value", first)
	change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Target.Template.Data["more"] = "x" })
	w.becomes("another template", second)
}

func TestWhatSomebodyElsePutIntoARandomTargetIsNotTakenForOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("a", random), w.externalSecret("b", random))
	w.ready("a")
	w.ready("b")
	w.stop()
	a, b := w.secret("a"), w.secret("b")
	if a.Annotations[esv1.AnnotationInputs] == "" || a.Annotations[esv1.AnnotationInputs] == b.Annotations[esv1.AnnotationInputs] {
		t.Errorf("annotations %v and %v", a.Annotations, b.Annotations)
	}
	// The other target's data, hash and all, is not bound to these inputs' data of this template's last run.
	before := w.secret("a")
	change(w, a, func(s *corev1.Secret) {
		s.Data["random"] = []byte("planted")
		s.Annotations[esv1.AnnotationDataHash] = b.Annotations[esv1.AnnotationDataHash]
	})
	w.start()
	now := w.becomes("the planted value is gone", &corev1.Secret{ObjectMeta: a.ObjectMeta, Data: map[string][]byte{"random": []byte("planted")}})
	if string(now.Data["random"]) == string(before.Data["random"]) {
		t.Error("nobody knows what it was")
	}
	if got := w.secret("b"); got.ResourceVersion != b.ResourceVersion {
		t.Error("the other target was written")
	}
}
