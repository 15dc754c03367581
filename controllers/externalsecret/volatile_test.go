package externalsecret_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// shuffled renames what is read, at random.
func shuffled(es *esv1.ExternalSecret) {
	es.Spec.Data = nil
	es.Spec.DataFrom = []esv1.DataFrom{
		{Extract: &esv1.RemoteRef{Key: "db"}, Rewrite: []esv1.Rewrite{{Transform: &esv1.RewriteTransform{Template: "{{ .value }}_{{ randAlphaNum 12 }}"}}}},
		{Extract: &esv1.RemoteRef{Key: "plain"}},
	}
}

func TestANameThatARuleMakesAtRandomIsKeptUntilItsInputChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one-`+canary+`","user":"app"}`)
	w.backend.put("plain", `{"host":"db"}`)
	w.store("store")
	es := w.externalSecret("db", every(time.Second), shuffled)
	w.create(es)
	es = w.ready("db")
	first := w.secret("db")
	if len(first.Data) != 3 || len(first.Data["host"]) == 0 {
		t.Fatalf("keys %v", keysOf(first))
	}
	same := func(when string, version bool) {
		t.Helper()
		now := w.secret("db")
		if diff := cmp.Diff(keysOf(first), keysOf(now)); diff != "" || version && now.ResourceVersion != first.ResourceVersion {
			t.Errorf("%s: version %s of %s, keys %s", when, now.ResourceVersion, first.ResourceVersion, diff)
		}
	}
	w.refreshed(3)
	same("after three refreshes", true)
	change(w, w.secret("db"), func(s *corev1.Secret) { s.Data = map[string][]byte{"foreign": []byte("x")} })
	w.eventually("a change by hand is repaired", func() error {
		if diff := cmp.Diff(first.Data, w.secret("db").Data); diff != "" {
			return fmt.Errorf("the keys are %v", keysOf(w.secret("db")))
		}
		return nil
	})
	first = w.secret("db")

	w.stop()
	w.start()
	w.refreshed(3)
	same("after a restart and three refreshes", true)
	w.stop()
	change(w, w.secret("db"), func(s *corev1.Secret) { s.Data["foreign"] = []byte("x") })
	w.start()
	w.eventually("a key of somebody else is removed after a restart", func() error {
		if diff := cmp.Diff(first.Data, w.secret("db").Data); diff != "" {
			return fmt.Errorf("the keys are %v", keysOf(w.secret("db")))
		}
		return nil
	})
	force(w, es, "1")
	same("after a forced sync", false)

	for input, edit := range map[string]func(){
		"a value of the names": func() { w.backend.put("db", `{"password":"two-`+canary+`","user":"app"}`) },
		"the rule": func() {
			change(w, es, func(es *esv1.ExternalSecret) { es.Spec.DataFrom[0].Rewrite[0].Transform.Template += "{{/* 2 */}}" })
		},
	} {
		before := keysOf(w.secret("db"))
		edit()
		w.eventually(input+" makes new names", func() error {
			if now := keysOf(w.secret("db")); cmp.Equal(before, now) || len(now) != 3 {
				return fmt.Errorf("the keys are %v", now)
			}
			return nil
		})
	}
}

func keysOf(s *corev1.Secret) []string { return slices.Sorted(maps.Keys(s.Data)) }

func TestWhatIsSharedAndMetadataAreRecognizedAfterARestartToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one-`+canary+`"}`)
	w.store("store")
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "both"}, Data: map[string][]byte{"theirs": []byte("x")}})
	merging := func(policy esv1.CreationPolicy, key string) func(*esv1.ExternalSecret) {
		return func(es *esv1.ExternalSecret) {
			es.Spec.Target.Name, es.Spec.Target.CreationPolicy = "both", policy
			es.Spec.Target.Template = &esv1.Template{Data: map[string]string{key: "{{ randAlphaNum 20 }}"}}
		}
	}
	w.create(
		w.externalSecret("a", every(time.Second), merging(esv1.CreationMerge, "a")),
		w.externalSecret("b", every(time.Second), merging(esv1.CreationCreateOrMerge, "b")),
		w.externalSecret("marked", every(time.Second), random, func(es *esv1.ExternalSecret) {
			es.Spec.Target.Template.Metadata = esv1.TemplateMetadata{
				Labels: map[string]string{"build": "b{{ randNumeric 8 }}"}, Annotations: map[string]string{"at": "{{ now | unixEpoch }}-{{ uuidv4 }}"},
			}
		}),
	)
	for _, name := range []string{"a", "b", "marked"} {
		w.ready(name)
	}
	both, marked := w.secret("both"), w.secret("marked")
	if len(both.Data) != 3 || len(marked.Labels["build"]) != 9 {
		t.Fatalf("keys %v, labels %v", keysOf(both), marked.Labels)
	}
	for turn := range 2 {
		w.stop()
		w.start()
		w.refreshed(9)
		if now := w.secret("both"); now.ResourceVersion != both.ResourceVersion {
			t.Errorf("restart %d: the shared target was written: %s", turn, cmp.Diff(both.ObjectMeta, now.ObjectMeta))
		}
		if now := w.secret("marked"); now.ResourceVersion != marked.ResourceVersion {
			t.Errorf("restart %d: the target with metadata was written: %s", turn, cmp.Diff(marked.ObjectMeta, now.ObjectMeta))
		}
	}
}

func TestALabelOfSealingKeysDoesNotGetOnATargetThatIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.backend.put("plain", `{"host":"db"}`)
	w.store("store")
	es := w.externalSecret("db", every(time.Second), shuffled)
	w.create(es)
	w.ready("db")
	change(w, es, func(es *esv1.ExternalSecret) {
		es.Labels = map[string]string{"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}
	})
	w.notReady("db", "sealed-secrets-key")
	if labels := w.secret("db").Labels; len(labels) != 2 {
		t.Errorf("labels %v", labels)
	}
	change(w, es, func(es *esv1.ExternalSecret) { es.Labels = map[string]string{"team": "a"} })
	w.eventually("a label of the object reaches the target that is kept", func() error {
		if labels := w.secret("db").Labels; labels["team"] != "a" {
			return fmt.Errorf("labels %v", labels)
		}
		return nil
	})
}
