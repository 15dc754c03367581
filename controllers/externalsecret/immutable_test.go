package externalsecret_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

func immutable(es *esv1.ExternalSecret) { es.Spec.Target.Immutable = true }

func TestAnImmutableTargetIsWrittenOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one-`+canary+`"}`)
	w.store("store")
	w.foreign("found", map[string][]byte{"theirs": []byte("x")})
	shared := w.externalSecret("shared", immutable, policies(esv1.CreationCreateOrMerge, ""))
	w.create(w.externalSecret("db", immutable), w.externalSecret("found", immutable), shared)
	for name, want := range map[string]map[string]string{"db": {"password": "one-" + canary}, "shared": {"password": "one-" + canary}, "found": {"theirs": "x"}} {
		es := w.ready(name)
		s := w.holds(name, want)
		if !ptr.Deref(s.Immutable, false) || s.Labels[esv1.LabelManaged] != "true" || metav1.IsControlledBy(s, es) != (name != "shared") {
			t.Errorf("%s: immutable %v, labels %v, owners %v", name, s.Immutable, s.Labels, s.OwnerReferences)
		}
	}
	w.backend.put("db", `{"password":"two-`+canary+`"}`)
	before := w.secret("db").ResourceVersion
	w.sync("db")
	w.reason("db", esv1.ReasonSecretSynced, "secret synced")
	if now := w.holds("db", map[string]string{"password": "one-" + canary}); now.ResourceVersion != before {
		t.Error("the Secret was written again")
	}
	change(w, w.secret("db"), func(s *corev1.Secret) { delete(s.Labels, esv1.LabelManaged); s.OwnerReferences = nil })
	w.eventually("its marks come back", func() error {
		if s := w.secret("db"); s.Labels[esv1.LabelManaged] != "true" || len(s.OwnerReferences) != 1 {
			return fmt.Errorf("labels %v, owners %v", s.Labels, s.OwnerReferences)
		}
		return nil
	})
	if err := w.c.Delete(t.Context(), w.secret("db")); err != nil {
		t.Fatal(err)
	}
	w.holds("db", map[string]string{"password": "two-" + canary})
}

func TestASecretThatSomebodyMadeImmutableIsReportedUntilItGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one-`+canary+`"}`)
	w.store("store")
	es := w.externalSecret("db")
	w.create(es)
	w.ready("db")
	change(w, w.secret("db"), func(s *corev1.Secret) { s.Immutable = ptr.To(true) })
	change(w, es, func(es *esv1.ExternalSecret) { es.Labels = map[string]string{"team": "a"} })
	w.eventually("its labels are written, because its data are right", func() error {
		if s := w.secret("db"); s.Labels["team"] != "a" {
			return fmt.Errorf("labels %v", s.Labels)
		}
		return nil
	})
	w.ready("db")
	w.backend.put("db", `{"password":"two-`+canary+`"}`)
	w.sync("db")
	w.notReady("db", "Secret "+w.ns+"/db is immutable: delete it, and it is written anew")
	w.holds("db", map[string]string{"password": "one-" + canary})
	if err := w.c.Delete(t.Context(), w.secret("db")); err != nil {
		t.Fatal(err)
	}
	w.holds("db", map[string]string{"password": "two-" + canary})
	w.ready("db")
}

func TestFinalizersOfTheTemplateAreOnTheTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	es := w.externalSecret("db", func(es *esv1.ExternalSecret) {
		es.Spec.Target.Template = &esv1.Template{Metadata: esv1.TemplateMetadata{Finalizers: []string{"example.com/a", "example.com/b"}}}
	})
	w.create(es)
	w.ready("db")
	s := w.holds("db", map[string]string{"password": canary})
	if !slices.Equal(s.Finalizers, []string{"example.com/a", "example.com/b"}) {
		t.Errorf("finalizers %v", s.Finalizers)
	}
	change(w, s, func(s *corev1.Secret) { s.Finalizers = append(s.Finalizers, "example.com/theirs") })
	change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Target.Template.Metadata.Finalizers = []string{"example.com/a"} })
	w.eventually("the finalizer that left the spec is gone", func() error {
		if s := w.secret("db"); !slices.Equal(s.Finalizers, []string{"example.com/a", "example.com/theirs"}) {
			return fmt.Errorf("finalizers %v", s.Finalizers)
		}
		return nil
	})
	// A target that is on its way out is not held back: who removes its finalizer has the last word.
	if err := w.c.Delete(t.Context(), w.secret("db")); err != nil {
		t.Fatal(err)
	}
	w.sync("db")
	change(w, w.secret("db"), func(s *corev1.Secret) { s.Finalizers = []string{"example.com/theirs"} })
	w.sync("db")
	w.notReady("db", "Secret "+w.ns+"/db is being deleted")
	uid := w.secret("db").UID
	change(w, w.secret("db"), func(s *corev1.Secret) { s.Finalizers = nil })
	w.eventually("it is made anew", func() error {
		if s := w.holds("db", map[string]string{"password": canary}); s.UID == uid {
			return fmt.Errorf("it is the same object")
		}
		return nil
	})
	w.ready("db")
	change(w, w.secret("db"), func(s *corev1.Secret) { s.Finalizers = nil })
	change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Target.Template = nil })
	w.eventually("nothing holds the target", func() error {
		if s := w.secret("db"); len(s.Finalizers) > 0 {
			return fmt.Errorf("finalizers %v", s.Finalizers)
		}
		return nil
	})
}
