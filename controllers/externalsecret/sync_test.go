package externalsecret_test

import (
	"crypto/sha3"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/providers"
)

func TestAnExternalSecretIsMaterialized(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`","host":"db.local"}`)
	w.store("store")
	es := w.externalSecret("db", func(es *esv1.ExternalSecret) {
		es.Labels = map[string]string{"team": "a"}
		es.Annotations = map[string]string{"note": "n", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
	})
	w.create(es)
	es = w.ready("db")
	secret := w.holds("db", map[string]string{"password": canary})
	if secret.Type != corev1.SecretTypeOpaque {
		t.Errorf("type %s", secret.Type)
	}
	owner := metav1.GetControllerOf(secret)
	if owner == nil || owner.UID != es.UID || owner.BlockOwnerDeletion == nil || !*owner.BlockOwnerDeletion {
		t.Errorf("owner %+v", owner)
	}
	if secret.Labels["team"] != "a" || secret.Labels[esv1.LabelManaged] != "true" || secret.Labels[esv1.LabelCreatedBy] == "" {
		t.Errorf("labels %v", secret.Labels)
	}
	if secret.Annotations["note"] != "n" || secret.Annotations[esv1.AnnotationDataHash] == "" || len(secret.Annotations) != 2 {
		t.Errorf("annotations %v", secret.Annotations)
	}
	want := esv1.ExternalSecretStatus{
		RefreshTime: es.Status.RefreshTime, Conditions: es.Status.Conditions, SyncedResourceVersion: es.Status.SyncedResourceVersion,
		ObservedGeneration: es.Generation, Binding: esv1.Binding{Name: "db"},
		Sources: []esv1.Source{{StoreRef: esv1.StoreRef{Name: "store", Kind: esv1.KindSecretStore}, Key: "db"}},
		Target:  esv1.TargetStatus{UID: secret.UID, ResourceVersion: secret.ResourceVersion}, StoresHash: es.Status.StoresHash,
	}
	if diff := cmp.Diff(want, es.Status); diff != "" || es.Status.RefreshTime.IsZero() || es.Status.SyncedResourceVersion == "" || es.Status.StoresHash == "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	w.eventually("one event", func() error {
		if got := w.events("db"); !slices.Equal(got, []string{"Created"}) {
			return fmt.Errorf("events %v", got)
		}
		return nil
	})
	if manager := secret.ManagedFields[0].Manager; len(secret.ManagedFields) != 1 || manager != "externalsecrets.external-secrets.io/db" {
		t.Errorf("managed by %q and %d others", manager, len(secret.ManagedFields)-1)
	}
}

func TestATemplateShapesTheTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`","user":"app"}`)
	w.store("store")
	literal := "extra: {{ .user | quote }}\n"
	w.create(w.externalSecret("db", func(es *esv1.ExternalSecret) {
		es.Labels = map[string]string{"not": "copied"}
		es.Spec.Data = nil
		es.Spec.DataFrom = []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "db"}}}
		es.Spec.Target = esv1.Target{Name: "dsn", Template: &esv1.Template{
			Type: "example.com/dsn", Data: map[string]string{"dsn": "pg://{{ .user }}:{{ .password }}@db"},
			Metadata:     esv1.TemplateMetadata{Labels: map[string]string{"user": "{{ .user }}"}},
			TemplateFrom: []esv1.TemplateFrom{{Literal: &literal}},
		}}
	}))
	es := w.ready("db")
	secret := w.holds("dsn", map[string]string{"dsn": "pg://app:" + canary + "@db", "extra": "app"})
	if secret.Type != "example.com/dsn" || secret.Labels["user"] != "app" || secret.Labels["not"] != "" || es.Status.Binding.Name != "dsn" {
		t.Errorf("type %s, labels %v, binding %q", secret.Type, secret.Labels, es.Status.Binding.Name)
	}
}

func TestRewrittenNamesAreTheKeysOfTheTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("app/db", `{"app/db/user":"app","app/db/password":"`+canary+`","internal/a":"1","internal/b":"2"}`)
	w.backend.put("layers", `{"base":{"host":"h","port":5432,"password":"x"},"override":{"password":"`+canary+`"}}`)
	w.store("store")
	w.create(w.externalSecret("db", func(es *esv1.ExternalSecret) {
		es.Spec.Data = nil
		es.Spec.DataFrom = []esv1.DataFrom{
			{Extract: &esv1.RemoteRef{Key: "app/db"}, Rewrite: []esv1.Rewrite{
				{Regexp: &esv1.RewriteRegexp{Source: "^internal/.*", Target: ""}},
				{Regexp: &esv1.RewriteRegexp{Source: "^app/(.*)/(.*)$", Target: "${1}_$2"}},
				{Transform: &esv1.RewriteTransform{Template: "{{ .value | upper }}"}},
			}},
			{Extract: &esv1.RemoteRef{Key: "layers"}, Rewrite: []esv1.Rewrite{
				{Merge: &esv1.RewriteMerge{Priority: []string{"override"}, ConflictPolicy: esv1.MergeConflictIgnore}},
			}},
		}
	}))
	w.ready("db")
	w.holds("db", map[string]string{"DB_USER": "app", "DB_PASSWORD": canary, "host": "h", "port": "5432", "password": canary})
}

func TestDriftIsRepaired(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("db"))
	w.ready("db")
	want := map[string]string{"password": canary}
	w.holds("db", want)
	for name, drift := range map[string]func(*corev1.Secret){
		"a changed value":      func(s *corev1.Secret) { s.Data["password"] = []byte("changed") },
		"a removed value":      func(s *corev1.Secret) { delete(s.Data, "password") },
		"a foreign key":        func(s *corev1.Secret) { s.Data["foreign"] = []byte("x") },
		"the label removed":    func(s *corev1.Secret) { delete(s.Labels, esv1.LabelManaged) },
		"label and value gone": func(s *corev1.Secret) { delete(s.Labels, esv1.LabelManaged); s.Data["password"] = []byte("x") },
		"the hash changed":     func(s *corev1.Secret) { s.Annotations[esv1.AnnotationDataHash] = "x" },
	} {
		secret := w.secret("db")
		hash := secret.Annotations[esv1.AnnotationDataHash]
		change(w, secret, drift)
		w.eventually(name, func() error {
			s := w.secret("db")
			if s.Labels[esv1.LabelManaged] != "true" || s.Annotations[esv1.AnnotationDataHash] != hash || len(s.Data) != 1 || string(s.Data["password"]) != canary {
				return fmt.Errorf("labels %v, %d keys", s.Labels, len(s.Data))
			}
			return nil
		})
	}
	if err := w.c.Delete(t.Context(), w.secret("db")); err != nil {
		t.Fatal(err)
	}
	w.holds("db", want)
	w.ready("db")
}

func TestAChangedValueArrivesByRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one-`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("db", every(time.Second)))
	w.holds("db", map[string]string{"password": "one-" + canary})
	w.backend.put("db", `{"password":"two-`+canary+`"}`)
	w.holds("db", map[string]string{"password": "two-" + canary})
}

func TestAnyChangeOfMetadataForcesARefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one"}`)
	w.store("store")
	es := w.externalSecret("db")
	w.create(es)
	w.holds("db", map[string]string{"password": "one"})
	w.backend.put("db", `{"password":"two"}`)
	change(w, es, func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{esv1.AnnotationForceSync: "1"} })
	w.holds("db", map[string]string{"password": "two"})
	w.backend.put("db", `{"password":"three"}`)
	change(w, es, func(es *esv1.ExternalSecret) { es.Labels = map[string]string{"any": "label"} })
	w.holds("db", map[string]string{"password": "three"})
}

func TestAnObjectThatIsReadOnceIsReadOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one"}`)
	w.store("store")
	es := w.externalSecret("db", every(0))
	w.create(es)
	w.ready("db")
	w.backend.put("db", `{"password":"two"}`)
	change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Data[0].SecretKey = "renamed" })
	w.ready("db")
	w.holds("db", map[string]string{"password": "one"})
}

func TestARenamedTargetReplacesTheOldOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	es := w.externalSecret("db")
	w.create(es)
	w.ready("db")
	change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Target.Name = "other" })
	w.holds("other", map[string]string{"password": canary})
	w.eventually("the old target is gone", func() error {
		if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "db"}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there: %w", err)
		}
		return nil
	})
}

func TestTwoHundredObjectsThatShareAKeyCostOneRequest(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	w.patience = 2 * time.Minute
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	for i := range 200 {
		w.create(w.externalSecret(fmt.Sprintf("es-%d", i)))
	}
	w.start()
	for i := range 200 {
		w.ready(fmt.Sprintf("es-%d", i))
	}
	if fetches, _ := w.backend.calls(); fetches != 1 {
		t.Errorf("%d requests to the store for one key, want 1", fetches)
	}
	for request, n := range w.traffic.matching("PATCH", "PUT", "POST", "DELETE") {
		if n > 1 && request != fmt.Sprintf("POST /apis/events.k8s.io/v1/namespaces/%s/events", w.ns) {
			t.Errorf("%s was sent %d times, want once", request, n)
		}
	}
	if reads := w.traffic.matching("GET"); reads[fmt.Sprintf("GET /api/v1/namespaces/%s/secrets/es-1", w.ns)] > 0 {
		t.Errorf("a target was read live: %v", reads)
	}
}

func TestIdleMeansIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	for i := range 20 {
		w.create(w.externalSecret(fmt.Sprintf("es-%d", i)))
	}
	w.create(w.externalSecret("busy", every(time.Second)))
	for i := range 20 {
		w.ready(fmt.Sprintf("es-%d", i))
	}
	w.ready("busy")
	w.eventually("all are announced", func() error {
		for _, name := range []string{"store", "busy"} {
			if len(w.events(name)) == 0 {
				return fmt.Errorf("%s is not", name)
			}
		}
		for i := range 20 {
			if name := fmt.Sprintf("es-%d", i); len(w.events(name)) == 0 {
				return fmt.Errorf("%s is not", name)
			}
		}
		return nil
	})
	time.Sleep(1500 * time.Millisecond) // whatever is on its way arrives
	w.traffic.reset()
	before, _ := w.backend.calls()
	w.eventually("three refreshes of the busy one", func() error {
		if now, _ := w.backend.calls(); now < before+3 {
			return fmt.Errorf("%d", now-before)
		}
		return nil
	})
	if all := w.traffic.matching("GET", "PATCH", "PUT", "POST", "DELETE"); len(all) > 0 {
		t.Errorf("requests while nothing changed: %v", all)
	}

	w.stop()
	w.logs.Write([]byte("--- restart ---\n"))
	change(w, &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "busy"}},
		func(es *esv1.ExternalSecret) { es.Spec.RefreshInterval.Duration = 8760 * time.Hour })
	w.start()
	w.eventually("the changed one is seen", func() error {
		if es := w.ready("busy"); es.Status.SyncedResourceVersion[0] != '2' {
			return fmt.Errorf("version %s", es.Status.SyncedResourceVersion)
		}
		return nil
	})
	w.stop()
	time.Sleep(1100 * time.Millisecond)
	w.traffic.reset()
	_, beforeAll := w.backend.calls()
	w.start()
	w.eventually("the controller works", func() error {
		if len(w.traffic.matching("GET")) == 0 {
			return fmt.Errorf("no request yet")
		}
		return nil
	})
	time.Sleep(3 * time.Second)
	if writes := w.traffic.matching("PATCH", "PUT", "POST", "DELETE"); len(writes) > 0 {
		t.Errorf("a restart with everything in sync wrote: %v", writes)
	}
	if _, all := w.backend.calls(); all != beforeAll {
		t.Errorf("a restart with everything in sync asked the store %d times", all-beforeAll)
	}
	if reads := w.traffic.matching("GET"); reads[fmt.Sprintf("GET /api/v1/namespaces/%s/secrets/es-1", w.ns)] > 0 {
		t.Errorf("a target was read live: %v", reads)
	}
}

func TestAStoreThatIsDownChangesNothingAndRecovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one-`+canary+`"}`)
	w.store("store")
	es := w.externalSecret("db")
	w.create(es)
	w.ready("db")
	w.backend.fail(providers.Errorf(providers.ErrUnavailable, "the store did not answer"))
	change(w, es, func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{"sync": "1"} })
	es = w.notReady("db", "the store did not answer")
	if es.Status.Target.UID == "" || es.Status.RefreshTime.IsZero() {
		t.Errorf("the status forgot the target: %+v", es.Status)
	}
	w.holds("db", map[string]string{"password": "one-" + canary})
	w.backend.put("db", `{"password":"two-`+canary+`"}`)
	w.backend.fail(nil)
	w.ready("db")
	w.holds("db", map[string]string{"password": "two-" + canary})
}

func TestAStoreThatIsReconfiguredIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one"}`)
	store := w.store("store")
	w.create(w.externalSecret("db"))
	w.holds("db", map[string]string{"password": "one"})
	w.ready("db")
	w.backend.put("db", `{"password":"two"}`)
	change(w, store, func(s *esv1.SecretStore) { s.Spec.Provider.Fake.Data[0].Value = "moved" })
	w.holds("db", map[string]string{"password": "two"})
}

func TestMetadataThatDependsOnValuesFollowsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"p","user":"one"}`)
	w.store("store")
	literal := "{{ .user }}: x"
	w.create(w.externalSecret("db", every(time.Second), func(es *esv1.ExternalSecret) {
		es.Spec.Data = append(es.Spec.Data, esv1.Data{SecretKey: "user", RemoteRef: esv1.RemoteRef{Key: "db", Property: "user"}})
		es.Spec.Target.Template = &esv1.Template{Data: map[string]string{"password": "{{ .password }}"}, TemplateFrom: []esv1.TemplateFrom{
			{Literal: &literal, Target: "Annotations"}}}
	}))
	for _, user := range []string{"one", "two"} {
		w.backend.put("db", `{"password":"p","user":"`+user+`"}`)
		w.eventually("the annotation of user "+user, func() error {
			s := &corev1.Secret{}
			if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "db"}, s); err != nil {
				return err
			}
			if s.Annotations[user] != "x" || len(s.Annotations) != 2 {
				return fmt.Errorf("annotations %v", s.Annotations)
			}
			return nil
		})
	}
}

func TestAHeartbeatOfZeroMovesTheRefreshTimeEachTime(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	w.heartbeat = 0
	w.start()
	w.backend.put("db", `{"password":"p"}`)
	w.store("store")
	w.create(w.externalSecret("db", every(time.Second)))
	first := w.ready("db").Status.RefreshTime
	secret := w.secret("db")
	w.eventually("the refresh time moves", func() error {
		if now := w.ready("db").Status.RefreshTime; !now.After(first.Add(1500 * time.Millisecond)) {
			return fmt.Errorf("it is %s, first %s", now, first)
		}
		return nil
	})
	if now := w.secret("db"); now.ResourceVersion != secret.ResourceVersion {
		t.Error("the Secret was written though nothing changed")
	}
}

func TestNobodyTestsAGuessWithWhatATargetShowsOfItsData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"1234"}`)
	w.store("store")
	w.create(w.externalSecret("one"), w.externalSecret("two"))
	before := w.ready("one").Status.SyncedResourceVersion
	w.ready("two")
	one, two := w.secret("one"), w.secret("two")
	guess := fmt.Sprintf("%x", sha3.Sum224(fmt.Appendf(nil, "%+v", one.Data))) // what External Secrets Operator shows
	for _, secret := range []*corev1.Secret{one, two} {
		if hash := secret.Annotations[esv1.AnnotationDataHash]; hash == "" || hash == guess {
			t.Errorf("Secret %s says %q of its data", secret.Name, hash)
		}
	}
	if one.Annotations[esv1.AnnotationDataHash] == two.Annotations[esv1.AnnotationDataHash] {
		t.Error("two Secrets show that they hold the same")
	}
	w.stop()
	w.start()
	change(w, w.externalSecret("one"), func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{"force-sync": "1"} })
	w.eventually("the object is refreshed after the restart", func() error {
		if w.ready("one").Status.SyncedResourceVersion == before {
			return errors.New("not yet")
		}
		return nil
	})
	if now := w.secret("one"); now.Annotations[esv1.AnnotationDataHash] != one.Annotations[esv1.AnnotationDataHash] {
		t.Errorf("the hash was %s and is %s", one.Annotations[esv1.AnnotationDataHash], now.Annotations[esv1.AnnotationDataHash])
	}
}
