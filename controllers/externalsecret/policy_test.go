package externalsecret_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/providers"
)

func policies(creation esv1.CreationPolicy, deletion esv1.DeletionPolicy) func(*esv1.ExternalSecret) {
	return func(es *esv1.ExternalSecret) {
		es.Spec.Target.CreationPolicy, es.Spec.Target.DeletionPolicy = creation, deletion
	}
}

// two adds a second key, "user", from a document of its own.
func two(es *esv1.ExternalSecret) {
	es.Spec.Data = append(es.Spec.Data, esv1.Data{SecretKey: "user", RemoteRef: esv1.RemoteRef{Key: "account", Property: "user"}})
}

// sync forces a refresh.
func (w *world) sync(name string) {
	w.t.Helper()
	change(w, &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}}, func(es *esv1.ExternalSecret) {
		es.Annotations = map[string]string{"sync": fmt.Sprint(time.Now().UnixNano())}
	})
}

// reason waits until the ExternalSecret is ready for a reason.
func (w *world) reason(name, reason, message string) *esv1.ExternalSecret {
	w.t.Helper()
	es := &esv1.ExternalSecret{}
	w.eventually(fmt.Sprintf("ExternalSecret %s has reason %s", name, reason), func() error {
		*es = *w.ready(name)
		if c := conditions.Ready(es.Status.Conditions); c.Reason != reason || c.Message != message {
			return fmt.Errorf("it is %s: %s", c.Reason, c.Message)
		}
		return nil
	})
	return es
}

func (w *world) noSecret(name string) {
	w.t.Helper()
	w.eventually("there is no Secret "+name, func() error {
		if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &corev1.Secret{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("there is one: %w", err)
		}
		return nil
	})
}

// foreign creates a Secret that the controller knows nothing of.
func (w *world) foreign(name string, data map[string][]byte) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Data: data}
	w.create(s)
	return s
}

func (w *world) unowned(s *corev1.Secret) {
	w.t.Helper()
	if len(s.OwnerReferences) > 0 || s.Labels[esv1.LabelCreatedBy] != "" || s.Labels[esv1.LabelManaged] != "true" {
		w.t.Errorf("Secret %s: owners %v, labels %v; want a managed one without owner", s.Name, s.OwnerReferences, s.Labels)
	}
}

func TestAnOrphanIsWrittenWholeAndOwnedByNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.foreign("db", map[string][]byte{"other": []byte("x")})
	es := w.externalSecret("db", policies(esv1.CreationOrphan, ""))
	w.create(es, w.externalSecret("once", policies(esv1.CreationOrphan, ""), every(0)))
	w.ready("db")
	want := map[string]string{"password": canary}
	w.unowned(w.holds("db", want))
	change(w, w.secret("db"), func(s *corev1.Secret) { s.Data["password"], s.Data["other"] = []byte("x"), []byte("x") })
	w.holds("db", want)
	if err := w.c.Delete(t.Context(), w.secret("db")); err != nil {
		t.Fatal(err)
	}
	w.holds("db", want)

	// Whoever takes over what is read once keeps it.
	w.ready("once")
	change(w, w.secret("once"), func(s *corev1.Secret) { s.Data["password"] = []byte("theirs") })
	if err := w.c.Delete(t.Context(), es); err != nil {
		t.Fatal(err)
	}
	w.eventually("the ExternalSecret is gone", func() error {
		if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(es), es); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there: %w", err)
		}
		return nil
	})
	time.Sleep(time.Second)
	w.holds("db", want)
	w.holds("once", map[string]string{"password": "theirs"})
}

func TestMergeWritesItsKeysAndNoOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.backend.put("account", `{"user":"app"}`)
	w.store("store")
	es := w.externalSecret("db", policies(esv1.CreationMerge, ""), two)
	w.create(es)
	w.reason("db", esv1.ReasonSecretMissing, "secret will not be created due to CreationPolicy=Merge")
	w.noSecret("db")
	w.foreign("db", map[string][]byte{"theirs": []byte("x"), "password": []byte("x")})
	w.sync("db")
	w.reason("db", esv1.ReasonSecretSynced, "secret synced")
	w.unowned(w.holds("db", map[string]string{"password": canary, "user": "app", "theirs": "x"}))

	change(w, w.secret("db"), func(s *corev1.Secret) { s.Data["password"], s.Data["theirs"] = []byte("y"), []byte("y") })
	w.holds("db", map[string]string{"password": canary, "user": "app", "theirs": "y"})
	change(w, w.secret("db"), func(s *corev1.Secret) { delete(s.Labels, esv1.LabelManaged); delete(s.Data, "user") })
	w.holds("db", map[string]string{"password": canary, "user": "app", "theirs": "y"})
	change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Data = es.Spec.Data[:1] })
	w.holds("db", map[string]string{"password": canary, "theirs": "y"})

	if err := w.c.Delete(t.Context(), w.secret("db")); err != nil {
		t.Fatal(err)
	}
	w.reason("db", esv1.ReasonSecretMissing, "secret will not be created due to CreationPolicy=Merge")
	w.noSecret("db")
}

func TestNobodyIsToldOfAPolicyThatIsNotHisAnyMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	es := w.externalSecret("db", policies(esv1.CreationMerge, ""), every(0))
	w.create(es)
	w.reason("db", esv1.ReasonSecretMissing, "secret will not be created due to CreationPolicy=Merge")
	change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Target.CreationPolicy = esv1.CreationNone })
	w.reason("db", esv1.ReasonSecretSynced, "secret synced")
	w.noSecret("db")
}

func TestCreateOrMergeMakesATargetThatOthersShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.backend.put("account", `{"user":"app"}`)
	w.store("store")
	es := w.externalSecret("db", policies(esv1.CreationCreateOrMerge, ""))
	w.foreign("found", map[string][]byte{"theirs": []byte("x")})
	w.create(es, w.externalSecret("found", policies(esv1.CreationCreateOrMerge, "")), w.externalSecret("nothing", policies(esv1.CreationNone, "")))
	w.ready("db")
	w.unowned(w.holds("db", map[string]string{"password": canary}))
	w.unowned(w.holds("found", map[string]string{"password": canary, "theirs": "x"}))
	change(w, w.secret("db"), func(s *corev1.Secret) { s.Data["theirs"] = []byte("x") })
	change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Data[0].SecretKey = "renamed" })
	w.holds("db", map[string]string{"renamed": canary, "theirs": "x"})
	w.reason("nothing", esv1.ReasonSecretSynced, "secret synced")
	w.noSecret("nothing")
}

func TestAnotherCreationPolicyChangesWhoOwnsTheTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	es := w.externalSecret("db")
	w.create(es)
	w.ready("db")
	uid := w.secret("db").UID
	for _, creation := range []esv1.CreationPolicy{esv1.CreationOrphan, esv1.CreationOwner, esv1.CreationMerge, esv1.CreationOwner, esv1.CreationCreateOrMerge} {
		change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Target.CreationPolicy = creation })
		w.ready("db")
		s := w.holds("db", map[string]string{"password": canary})
		if owned := metav1.IsControlledBy(s, es); owned != (creation == esv1.CreationOwner) || s.UID != uid || (s.Labels[esv1.LabelCreatedBy] != "") != owned {
			t.Errorf("%s: owned %v, labels %v", creation, owned, s.Labels)
		}
	}
}

func TestDeletionPolicyDeleteFollowsTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.backend.put("account", `{"user":"app"}`)
	w.store("store")
	es := w.externalSecret("db", policies("", esv1.DeletionDelete), two)
	w.create(es, w.externalSecret("orphan", policies(esv1.CreationOrphan, esv1.DeletionDelete)))
	w.ready("db")
	w.ready("orphan")
	w.holds("db", map[string]string{"password": canary, "user": "app"})

	w.backend.remove("account")
	w.sync("db")
	w.holds("db", map[string]string{"password": canary})
	w.backend.remove("db")
	w.sync("db")
	w.noSecret("db")
	w.reason("db", esv1.ReasonSecretDeleted, "secret deleted due to DeletionPolicy=Delete")
	w.eventually("the events", func() error {
		got := w.events("db")
		if !slices.Contains(got, esv1.ReasonMissingProviderSecret) || !slices.Contains(got, esv1.ReasonDeleted) {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	w.sync("orphan")
	w.notReady("orphan", "with creationPolicy Orphan it does not belong to the ExternalSecret")
	w.holds("orphan", map[string]string{"password": canary})

	w.backend.put("account", `{"user":"app"}`)
	w.sync("db")
	w.holds("db", map[string]string{"user": "app"})
	es = w.reason("db", esv1.ReasonSecretSynced, "secret synced")
	if !slices.Equal(es.Finalizers, []string{esv1.FinalizerExternalSecret}) {
		t.Errorf("finalizers %v", es.Finalizers)
	}
	if orphan := w.notReady("orphan", ""); len(orphan.Finalizers) > 0 {
		t.Errorf("finalizers of an orphan: %v", orphan.Finalizers)
	}
	if err := w.c.Delete(t.Context(), es); err != nil {
		t.Fatal(err)
	}
	w.eventually("the ExternalSecret is gone", func() error {
		if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(es), es); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there: %w", err)
		}
		return nil
	})
	if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(es), &corev1.Secret{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret outlives the ExternalSecret: %v", err)
	}
}

func TestATargetThatLostItsLabelIsDeletedWithItsValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("db", policies("", esv1.DeletionDelete)), w.externalSecret("left", policies("", esv1.DeletionDelete)))
	w.ready("db")
	w.ready("left")
	w.stop() // so that what it loses is not repaired before
	w.backend.remove("db")
	change(w, w.secret("db"), func(s *corev1.Secret) { delete(s.Labels, esv1.LabelManaged) })
	change(w, w.secret("left"), func(s *corev1.Secret) { s.Labels, s.OwnerReferences = nil, nil })
	w.start()
	w.reason("db", esv1.ReasonSecretDeleted, "secret deleted due to DeletionPolicy=Delete")
	w.noSecret("db")
	// What is nobody's is not deleted, and nobody is told that it was.
	w.notReady("left", "Secret "+w.ns+"/left is not deleted: the ExternalSecret is not its controller any more (metadata.ownerReferences); delete it, unless somebody else needs it")
	w.holds("left", map[string]string{"password": canary})
	if err := w.c.Delete(t.Context(), w.secret("left")); err != nil {
		t.Fatal(err)
	}
	change(w, w.externalSecret("left"), func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{"force-sync": "1"} })
	w.reason("left", esv1.ReasonSecretDeleted, "secret deleted due to DeletionPolicy=Delete")
}

func TestDeletionPolicyMergeKeepsTheTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.foreign("merged", map[string][]byte{"theirs": []byte("x")})
	w.create(w.externalSecret("owned", policies("", esv1.DeletionMerge)), w.externalSecret("merged", policies(esv1.CreationMerge, esv1.DeletionMerge)))
	w.ready("owned")
	w.ready("merged")
	w.backend.remove("db")
	w.sync("owned")
	w.sync("merged")
	w.holds("owned", map[string]string{})
	w.holds("merged", map[string]string{"theirs": "x"})
	w.reason("owned", esv1.ReasonSecretSynced, "secret synced")
}

// TestKeysThatNobodyOwnsAreNotOursToRemove: whoever applies stringData owns none of the keys that come of it.
func TestKeysThatNobodyOwnsAreNotOursToRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	for _, creation := range []esv1.CreationPolicy{esv1.CreationMerge, esv1.CreationCreateOrMerge} {
		name := strings.ToLower(string(creation))
		secret := corev1ac.Secret(name, w.ns).WithStringData(map[string]string{"theirs": "x"})
		if err := w.c.Apply(t.Context(), secret, client.FieldOwner("gitops")); err != nil {
			t.Fatal(err)
		}
		w.create(w.externalSecret(name, policies(creation, esv1.DeletionMerge)))
		w.ready(name)
		w.holds(name, map[string]string{"theirs": "x", "password": canary})
	}
	w.backend.remove("db")
	for _, name := range []string{"merge", "createormerge"} {
		w.sync(name)
		w.holds(name, map[string]string{"theirs": "x"})
		w.reason(name, esv1.ReasonSecretSynced, "secret synced")
	}
	w.backend.put("db", `{"password":"`+canary+`"}`)
	for _, name := range []string{"merge", "createormerge"} {
		w.sync(name)
		w.holds(name, map[string]string{"theirs": "x", "password": canary})
	}
}

func TestAStoreThatFailsDeletesNothingWhateverThePolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.backend.put("account", `{"user":"app"}`)
	w.store("store")
	want := map[string]string{"password": canary, "user": "app"}
	names := []string{"owner-delete", "owner-merge", "shared-merge"}
	w.create(w.externalSecret(names[0], policies("", esv1.DeletionDelete), two), w.externalSecret(names[1], policies("", esv1.DeletionMerge), two),
		w.externalSecret(names[2], policies(esv1.CreationCreateOrMerge, esv1.DeletionMerge), two))
	versions := map[string]string{}
	for _, name := range names {
		w.ready(name)
		versions[name] = w.holds(name, want).ResourceVersion
	}
	changed := func(fault string) {
		for _, name := range names {
			w.sync(name)
			w.notReady(name, fault)
			if now := w.secret(name).ResourceVersion; now != versions[name] {
				t.Errorf("%s: Secret %s was changed", fault, name)
			}
		}
	}
	for _, err := range []error{
		providers.Errorf(providers.ErrUnavailable, "no answer"), providers.Errorf(providers.ErrDenied, "denied"), providers.Errorf(providers.ErrInvalid, "garbage"),
		providers.Errorf(providers.ErrPropertyNotFound, "without property"), &providers.ThrottledError{}, errors.New("of no class"),
	} {
		w.backend.breakKey("account", err)
		changed(err.Error())
	}
	w.backend.breakKey("account", nil)
	for _, garbage := range []string{`{}`, `{"password":`, `[]`, "<html>"} { // there is a document, without what is asked for
		w.backend.put("db", garbage)
		w.sync(names[0])
		w.notReady(names[0], "")
		w.holds(names[0], want)
	}
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.backend.fail(providers.Errorf(providers.ErrUnavailable, "down"))
	changed("down")
	w.backend.fail(nil)
	for _, name := range names {
		w.eventually("it recovers", func() error { // forced, because the backoff is long by now
			w.sync(name)
			time.Sleep(500 * time.Millisecond)
			es := &esv1.ExternalSecret{}
			if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, es); err != nil {
				return err
			}
			if c := conditions.Ready(es.Status.Conditions); c.Status != metav1.ConditionTrue {
				return errors.New(c.Message)
			}
			return nil
		})
		w.holds(name, want)
	}
}
