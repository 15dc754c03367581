package externalsecret_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers/builtin"
)

// TestEachPairOfPoliciesDoesWhatTheTablesSay takes one object of each pair through a store that loses one of two documents, then
// both, and has them again.
func TestEachPairOfPoliciesDoesWhatTheTablesSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	full := func() {
		w.backend.put("db", `{"password":"`+canary+`"}`)
		w.backend.put("account", `{"user":"app"}`)
	}
	full()
	w.store("store")
	const stays, untouched = "stays", "it is nobody's to delete"
	pairs := map[esv1.CreationPolicy]map[esv1.DeletionPolicy]string{ // what becomes of a target of which nothing is left in the store
		esv1.CreationOwner:         {esv1.DeletionRetain: stays, esv1.DeletionDelete: "goes", esv1.DeletionMerge: "is emptied"},
		esv1.CreationOrphan:        {esv1.DeletionRetain: stays, esv1.DeletionDelete: untouched, esv1.DeletionMerge: "is emptied"},
		esv1.CreationCreateOrMerge: {esv1.DeletionRetain: stays, esv1.DeletionDelete: "refused", esv1.DeletionMerge: "is emptied"},
		esv1.CreationMerge:         {esv1.DeletionRetain: stays, esv1.DeletionDelete: "refused", esv1.DeletionMerge: "is emptied"},
		esv1.CreationNone:          {esv1.DeletionRetain: stays, esv1.DeletionDelete: "refused", esv1.DeletionMerge: "refused"},
	}
	shared := map[esv1.CreationPolicy]bool{esv1.CreationMerge: true, esv1.CreationCreateOrMerge: true}
	each := func(do func(name string, creation esv1.CreationPolicy, deletion esv1.DeletionPolicy, end string)) {
		for creation, of := range pairs {
			for deletion, end := range of {
				if end != "refused" {
					do(strings.ToLower(string(creation)+"-"+string(deletion)), creation, deletion, end)
				}
			}
		}
	}
	// has waits until the target holds the values, and what others put into it.
	has := func(name string, creation esv1.CreationPolicy, values map[string]string) {
		t.Helper()
		want := map[string]string{}
		for k, v := range values {
			want[k] = v
		}
		if shared[creation] {
			want["theirs"] = "x"
		}
		if creation == esv1.CreationNone {
			w.noSecret(name)
			return
		}
		if s := w.holds(name, want); (len(s.OwnerReferences) == 1) != (creation == esv1.CreationOwner) {
			t.Errorf("%s: owners %v", name, s.OwnerReferences)
		}
	}
	both, password := map[string]string{"password": canary, "user": "app"}, map[string]string{"password": canary}
	for creation, of := range pairs {
		for deletion, end := range of {
			err := w.c.Create(t.Context(), w.externalSecret("refused", policies(creation, deletion)), client.DryRunAll)
			if apierrors.IsInvalid(err) != (end == "refused") {
				t.Errorf("%s with %s: the API server says %v", creation, deletion, err)
			}
		}
	}
	each(func(name string, creation esv1.CreationPolicy, deletion esv1.DeletionPolicy, _ string) {
		if shared[creation] {
			w.foreign(name, map[string][]byte{"theirs": []byte("x")})
		}
		w.create(w.externalSecret(name, policies(creation, deletion), two))
	})
	each(func(name string, creation esv1.CreationPolicy, _ esv1.DeletionPolicy, _ string) {
		w.reason(name, esv1.ReasonSecretSynced, "secret synced")
		has(name, creation, both)
	})

	w.backend.remove("account")
	each(func(name string, _ esv1.CreationPolicy, _ esv1.DeletionPolicy, _ string) { w.sync(name) })
	each(func(name string, creation esv1.CreationPolicy, deletion esv1.DeletionPolicy, _ string) {
		if deletion == esv1.DeletionRetain {
			w.notReady(name, `no key "account"`)
			has(name, creation, both)
			return
		}
		has(name, creation, password)
		w.reason(name, esv1.ReasonSecretSynced, "secret synced")
	})

	w.backend.remove("db")
	each(func(name string, _ esv1.CreationPolicy, _ esv1.DeletionPolicy, _ string) { w.sync(name) })
	each(func(name string, creation esv1.CreationPolicy, _ esv1.DeletionPolicy, end string) {
		switch end {
		case stays:
			w.notReady(name, `no key "db"`)
			has(name, creation, both)
		case untouched:
			w.notReady(name, "with creationPolicy Orphan it does not belong to the ExternalSecret")
			has(name, creation, password)
		case "goes":
			w.reason(name, esv1.ReasonSecretDeleted, "secret deleted due to DeletionPolicy=Delete")
			w.noSecret(name)
		default:
			has(name, creation, nil)
			w.reason(name, esv1.ReasonSecretSynced, "secret synced")
		}
	})

	full()
	each(func(name string, _ esv1.CreationPolicy, _ esv1.DeletionPolicy, _ string) { w.sync(name) })
	each(func(name string, creation esv1.CreationPolicy, _ esv1.DeletionPolicy, _ string) {
		has(name, creation, both)
		w.reason(name, esv1.ReasonSecretSynced, "secret synced")
	})
}

// TestAStoreWithoutValuesIsNoStoreThatFails uses the real provider fake: a document without fields, and a search that finds
// nothing, are answers.
func TestAStoreWithoutValuesIsNoStoreThatFails(t *testing.T) {
	t.Parallel()
	w := prepare(t)
	w.providers = builtin.All()
	store := w.store("store", stores.FakeData{Key: "db", Value: `{}`})
	w.start()
	extract := func(es *esv1.ExternalSecret) {
		es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "db"}}}
	}
	find := func(es *esv1.ExternalSecret) {
		es.Spec.Data, es.Spec.DataFrom = nil, []esv1.DataFrom{{Find: named("^app")}}
	}
	retain, merge, remove := policies("", ""), policies("", esv1.DeletionMerge), policies("", esv1.DeletionDelete)
	w.create(w.externalSecret("retain", extract, retain), w.externalSecret("merge", extract, merge), w.externalSecret("delete", extract, remove),
		w.externalSecret("retain-found", find, retain), w.externalSecret("merge-found", find, merge), w.externalSecret("delete-found", find, remove))
	const retained = "secret retained due to DeletionPolicy=Retain"
	ends := map[string]struct{ reason, message string }{
		"retain": {"SecretSynced", retained}, "retain-found": {"SecretSynced", retained},
		"merge": {"SecretSynced", "secret synced"}, "merge-found": {"SecretSynced", "secret synced"},
		"delete": {"SecretDeleted", "secret deleted due to DeletionPolicy=Delete"}, "delete-found": {"SecretDeleted", "secret deleted due to DeletionPolicy=Delete"},
	}
	before := map[string]metav1.Time{}
	for name, end := range ends {
		before[name] = w.reason(name, end.reason, end.message).Status.RefreshTime
		if !strings.HasPrefix(name, "merge") {
			w.noSecret(name)
		}
	}

	answer := func(data ...stores.FakeData) {
		change(w, store, func(s *esv1.SecretStore) { s.Spec.Provider.Fake.Data = data })
	}
	answer(stores.FakeData{Key: "db", Value: `{"password":"p"}`}, stores.FakeData{Key: "app", Value: "p"})
	versions := map[string]string{}
	for name := range ends {
		want := map[string]string{"password": "p"}
		if strings.HasSuffix(name, "-found") {
			want = map[string]string{"app": "p"}
		}
		versions[name] = w.holds(name, want).ResourceVersion
		w.reason(name, "SecretSynced", "secret synced")
	}

	time.Sleep(1100 * time.Millisecond) // refreshTime is in seconds
	answer(stores.FakeData{Key: "db", Value: `{}`})
	for name, end := range ends {
		// What is merged says the same before and after, so that what it says does not show that it was read again.
		w.eventually(name+" is read again", func() error {
			if es := w.reason(name, end.reason, end.message); !es.Status.RefreshTime.After(before[name].Time) {
				return fmt.Errorf("refreshTime stays at %s", es.Status.RefreshTime)
			}
			return nil
		})
		switch {
		case strings.HasPrefix(name, "retain"):
			if now := w.secret(name).ResourceVersion; now != versions[name] {
				t.Errorf("%s: the target was written", name)
			}
		case strings.HasPrefix(name, "merge"):
			w.holds(name, map[string]string{})
		default:
			w.noSecret(name)
		}
	}
}

func TestARefreshPolicySaysWhenValuesAreReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"one"}`)
	w.store("store")
	policy := func(p esv1.RefreshPolicy) func(*esv1.ExternalSecret) {
		return func(es *esv1.ExternalSecret) { es.Spec.RefreshPolicy = p }
	}
	once := w.externalSecret("once", every(time.Second), policy(esv1.RefreshCreatedOnce))
	changed := w.externalSecret("changed", every(time.Second), policy(esv1.RefreshOnChange))
	w.create(once, changed, w.externalSecret("periodic", every(time.Second), policy(esv1.RefreshPeriodic)))
	one, two, three := map[string]string{"password": "one"}, map[string]string{"password": "two"}, map[string]string{"password": "three"}
	for _, name := range []string{"once", "changed", "periodic"} {
		w.ready(name)
		w.holds(name, one)
	}
	w.backend.put("db", `{"password":"two"}`)
	w.holds("periodic", two)
	w.refreshed(2)
	w.holds("once", one)
	w.holds("changed", one)

	// A change: of a label, and of the spec.
	for _, es := range []*esv1.ExternalSecret{once, changed} {
		change(w, es, func(es *esv1.ExternalSecret) { es.Labels = map[string]string{"any": "label"} })
	}
	w.holds("changed", two)
	w.backend.put("db", `{"password":"three"}`)
	w.holds("periodic", three)
	for _, es := range []*esv1.ExternalSecret{once, changed} {
		change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Data[0].SecretKey = "renamed" })
	}
	w.holds("changed", map[string]string{"renamed": "three"})
	w.ready("once")
	w.holds("once", one)

	// What is read once is read again for a target that is gone, and by another object of the name.
	if err := w.c.Delete(t.Context(), w.secret("once")); err != nil {
		t.Fatal(err)
	}
	w.holds("once", map[string]string{"renamed": "three"})
	w.ready("once")
	if err := w.c.Delete(t.Context(), once); err != nil {
		t.Fatal(err)
	}
	w.eventually("the object is gone", func() error {
		if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(once), once); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
	w.backend.put("db", `{"password":"four"}`)
	w.create(w.externalSecret("once", policy(esv1.RefreshCreatedOnce)))
	w.holds("once", map[string]string{"password": "four"})
	w.ready("once")
}

// TestNothingIsMadeOfSomeOfTheValues: each entry names its store, so that the object names none; one of the entries fails.
func TestNothingIsMadeOfSomeOfTheValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("all", `{"user":"app","host":"h"}`)
	w.store("store")
	ref := esv1.StoreRef{Name: "store"} // of no kind: a SecretStore
	w.create(w.externalSecret("db", func(es *esv1.ExternalSecret) {
		es.Spec.SecretStoreRef = esv1.StoreRef{}
		es.Spec.DataFrom = []esv1.DataFrom{{Extract: &esv1.RemoteRef{Key: "all"}, SourceRef: &esv1.DataFromSourceRef{StoreRef: &ref}}}
		es.Spec.Data[0].SourceRef = &esv1.DataSourceRef{StoreRef: ref}
	}))
	w.notReady("db", `spec.data[0] (password): SecretStore `+w.ns+`/store: no key "db"`)
	w.noSecret("db")
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.sync("db")
	w.ready("db")
	want := map[string]string{"user": "app", "host": "h", "password": canary}
	before := w.holds("db", want)

	w.backend.put("all", `{"user":"another","host":"h"}`)
	w.backend.remove("db")
	w.sync("db")
	es := w.notReady("db", `no key "db"`)
	if after := w.secret("db"); after.ResourceVersion != before.ResourceVersion {
		t.Error("a part of the values was written")
	}
	if got := es.Status.Target; got.UID != before.UID || got.ResourceVersion != before.ResourceVersion {
		t.Errorf("the status says that the target is %+v", got)
	}
}
