package externalsecret_test

import (
	"fmt"
	"testing"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// TestAValueThatOneObjectReadsAnewReachesTheOthersAtOnce has objects that are due once an hour; one of them is synced by
// force and sees another value.
func TestAValueThatOneObjectReadsAnewReachesTheOthersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one-`+canary+`"}`)
	w.backend.put("other", `{"password":"other"}`)
	w.store("store")
	const objects = 20
	first := w.externalSecret("es-0")
	w.create(first)
	for i := 1; i < objects; i++ {
		w.create(w.externalSecret(fmt.Sprintf("es-%d", i)))
	}
	w.create(
		w.externalSecret("unrelated", func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.Key = "other" }),
		w.externalSecret("once", func(es *esv1.ExternalSecret) { es.Spec.RefreshPolicy = esv1.RefreshCreatedOnce }),
	)
	for i := range objects {
		w.ready(fmt.Sprintf("es-%d", i))
	}
	w.ready("unrelated")
	w.ready("once")
	before, _ := w.backend.calls()
	unrelated := w.secret("unrelated").ResourceVersion
	w.backend.put("db", `{"password":"two-`+canary+`"}`)
	change(w, first, func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{esv1.AnnotationForceSync: "1"} })
	for i := range objects {
		w.holds(fmt.Sprintf("es-%d", i), map[string]string{"password": "two-" + canary})
	}
	if after, _ := w.backend.calls(); after-before != 1 {
		t.Errorf("%d requests to the store, want 1 for all", after-before)
	}
	w.holds("once", map[string]string{"password": "one-" + canary})
	if now := w.secret("unrelated").ResourceVersion; now != unrelated {
		t.Error("an object that reads another key was written")
	}
}
