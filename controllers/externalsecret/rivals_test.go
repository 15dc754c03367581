package externalsecret_test

import (
	"crypto/sha3"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

func target(name string) func(*esv1.ExternalSecret) {
	return func(es *esv1.ExternalSecret) { es.Spec.Target.Name = name }
}

func key(name string) func(*esv1.ExternalSecret) {
	return func(es *esv1.ExternalSecret) { es.Spec.Data[0].SecretKey = name }
}

// settled fails when a Secret changes though nobody changed anything.
func (w *world) settled(name string) {
	w.t.Helper()
	var before string
	w.eventually("Secret "+name+" stays as it is for a second", func() error {
		before = w.secret(name).ResourceVersion
		time.Sleep(time.Second)
		if now := w.secret(name).ResourceVersion; now != before {
			return errors.New("it changes")
		}
		return nil
	})
}

func TestTwoThatWriteOneSecretShareItOrAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.backend.put("other", `{"password":"other-`+canary+`"}`)
	w.store("store")
	other := func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.Key = "other" }
	shared := policies(esv1.CreationCreateOrMerge, "")
	orphan := policies(esv1.CreationOrphan, "")
	w.create(
		w.externalSecret("a", target("keys"), shared), w.externalSecret("orphan-1", target("orphans"), orphan),
		w.externalSecret("whole", target("both"), orphan), w.externalSecret("owner", target("owned")))
	for _, name := range []string{"a", "orphan-1", "whole", "owner"} {
		w.ready(name)
	}
	w.create(
		w.externalSecret("b", target("keys"), shared, key("b")), w.externalSecret("c", target("keys"), shared, other),
		w.externalSecret("orphan-2", target("orphans"), orphan, key("b")),
		w.externalSecret("part", target("both"), policies(esv1.CreationMerge, ""), key("part")),
		w.externalSecret("guest", target("owned"), policies(esv1.CreationMerge, ""), key("b")))
	w.ready("b")
	w.ready("part")
	w.notReady("c", "target is owned by another: ExternalSecret a writes data.password of Secret "+w.ns+"/keys")
	w.notReady("orphan-2", "target is owned by another: ExternalSecret orphan-1 writes")
	w.notReady("guest", "target is owned by another: Secret "+w.ns+"/owned is controlled by ExternalSecret owner")
	for name, want := range map[string]map[string]string{
		"keys": {"password": canary, "b": canary}, "orphans": {"password": canary}, "both": {"password": canary, "part": canary}, "owned": {"password": canary},
	} {
		w.holds(name, want)
		w.settled(name)
	}
	if err := w.c.Delete(t.Context(), &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "a"}}); err != nil {
		t.Fatal(err)
	}
	w.ready("c")
	w.holds("keys", map[string]string{"password": "other-" + canary, "b": canary})
}

func TestAKeyThatTwoWriteWithOneValueIsRotatedAndWhoHasAnotherIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.backend.put("other", `{"password":"other-`+canary+`"}`)
	w.store("store")
	a := w.externalSecret("a", target("keys"), policies(esv1.CreationCreateOrMerge, ""))
	b := w.externalSecret("b", target("keys"), policies(esv1.CreationMerge, ""))
	w.create(a)
	w.ready("a")
	w.create(b)
	w.ready("b")
	w.backend.put("db", `{"password":"`+canary+`-2"}`)
	for _, es := range []*esv1.ExternalSecret{b, a} {
		change(w, es, func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{"force-sync": "1"} })
		w.ready(es.Name)
		w.holds("keys", map[string]string{"password": canary + "-2"})
	}
	w.settled("keys")
	change(w, b, func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef.Key = "other" })
	w.ready("b")
	w.holds("keys", map[string]string{"password": "other-" + canary})
	change(w, a, func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{"force-sync": "2"} })
	w.notReady("a", "target is owned by another: ExternalSecret b writes data.password of Secret "+w.ns+"/keys")
	w.settled("keys")
}

// operatorLeft creates an ExternalSecret and its Secret as External Secrets Operator writes them: by update, with labels that
// have left the spec since. Releases before 0.11 set no label that says whose it is.
func (w *world) operatorLeft(name string, creation esv1.CreationPolicy, release string) *esv1.ExternalSecret {
	w.t.Helper()
	es := w.externalSecret(name, policies(creation, ""))
	es.Labels = map[string]string{"team": "a"}
	w.create(es)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name,
		Labels:      map[string]string{"team": "a", "stale": "x", esv1.LabelManaged: "true"},
		Annotations: map[string]string{"stale": "x", esv1.AnnotationDataHash: "x"},
	}, Data: map[string][]byte{"password": []byte(canary), "stale": []byte("x")}}
	if release == "0.10" {
		delete(s.Labels, esv1.LabelManaged)
	}
	if creation == esv1.CreationOwner {
		s.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(es, esv1.GroupVersion().WithKind("ExternalSecret"))}
	}
	// The name has more than 27 letters, with which the operator looks for its labels under another manager than it writes.
	manager := fmt.Sprintf("externalsecrets.external-secrets.io/sha3/%x", sha3.Sum224([]byte(name)))
	if err := w.c.Create(w.t.Context(), s, client.FieldOwner(manager)); err != nil {
		w.t.Fatal(err)
	}
	change(w, s, func(s *corev1.Secret) { s.Labels["theirs"] = "x" })
	return es
}

func TestFieldsThatTheOperatorWroteGoWhenTheyLeaveTheSpec(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	objects := []*esv1.ExternalSecret{
		w.operatorLeft("an-owner-of-more-than-28-letters", esv1.CreationOwner, "2.9"),
		w.operatorLeft("a-merger-of-more-than-28-letters", esv1.CreationCreateOrMerge, "2.9"),
		w.operatorLeft("an-owner-of-an-older-release-of-it", esv1.CreationOwner, "0.10"),
		w.operatorLeft("a-merger-of-an-older-release-of-it", esv1.CreationCreateOrMerge, "0.10"),
		w.operatorLeft("an-orphan-of-an-older-release-of-it", esv1.CreationOrphan, "0.10"),
	}
	w.start()
	for _, es := range objects {
		w.ready(es.Name)
		s := w.holds(es.Name, map[string]string{"password": canary})
		if s.Labels["stale"] != "" || s.Annotations["stale"] != "" || s.Labels["team"] != "a" || s.Labels["theirs"] != "x" {
			t.Errorf("%s: labels %v, annotations %v", es.Name, s.Labels, s.Annotations)
		}
		change(w, es, func(es *esv1.ExternalSecret) { es.Labels = nil })
		w.eventually("the label is gone", func() error {
			if s := w.secret(es.Name); s.Labels["team"] != "" || s.Labels["theirs"] != "x" || len(s.Data) != 1 {
				return fmt.Errorf("labels %v", s.Labels)
			}
			return nil
		})
	}
}
