package externalsecret_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/providers"
)

// workers is how many objects the controller of a world reconciles at once.
const workers = 10

// slowWorld is a world with the store "store" that answers at once, and others; each is ready. A request may take long.
func slowWorld(t *testing.T, others ...string) *world {
	t.Helper()
	w := prepare(t)
	w.limits.Timeout = 5 * time.Minute
	w.backend.put("db", `{"password":"`+canary+`"}`)
	for _, name := range append(others, "store") {
		w.store(name)
	}
	w.start()
	for _, name := range append(others, "store") {
		w.eventually("store "+name+" is ready", func() error {
			var store esv1.SecretStore
			if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, &store); err != nil {
				return err
			}
			if c := conditions.Ready(store.Status.Conditions); c.Status != metav1.ConditionTrue {
				return fmt.Errorf("it is %+v", c)
			}
			return nil
		})
	}
	return w
}

// users creates n objects of a store that read a key of their own each, in turn once and every hour, and returns their names,
// which are those of the keys.
func (w *world) users(store, prefix string, n int) []string {
	w.t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", prefix, i)
		w.backend.put(names[i], `{"password":"`+canary+`"}`)
		w.create(w.externalSecret(names[i], every(time.Duration(i%2)*time.Hour), func(es *esv1.ExternalSecret) {
			es.Spec.SecretStoreRef.Name = store
			es.Spec.Data[0].RemoteRef.Key = names[i]
		}))
	}
	return names
}

// holdsUp waits until a stall holds up n requests at least.
func (w *world) holdsUp(s *stall, n int) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d requests under way", n), func() error {
		if under, _, _ := s.counts(); under < n {
			return fmt.Errorf("%d", under)
		}
		return nil
	})
}

// othersAreServed creates and changes objects of the store that is not slow, while no request that a stall holds up ends.
func (w *world) othersAreServed(stalls ...*stall) {
	w.t.Helper()
	es := w.externalSecret("other")
	w.create(es)
	w.ready("other")
	w.backend.put("db2", canary)
	change(w, es, func(es *esv1.ExternalSecret) { es.Spec.Data[0].RemoteRef = esv1.RemoteRef{Key: "db2"} })
	w.ready("other")
	w.holds("other", map[string]string{"password": canary})
	for _, s := range stalls {
		if _, _, ended := s.counts(); ended > 0 {
			w.t.Errorf("they were served when %d slow requests were over", ended)
		}
	}
}

// wroteOnce checks that the status of each object was written once since the last reset.
func (w *world) wroteOnce(names []string) {
	w.t.Helper()
	writes := w.traffic.matching(http.MethodPut)
	for _, name := range names {
		if n := writes["PUT /apis/external-secrets.io/v1/namespaces/"+w.ns+"/externalsecrets/"+name+"/status"]; n != 1 {
			w.t.Errorf("%s: the status was written %d times, want once", name, n)
		}
	}
}

func TestObjectsOfASlowStoreHoldUpNoOthersAndAskItOnce(t *testing.T) {
	t.Parallel()
	w := slowWorld(t, "slow")
	// One that was read, and is read again by force while the store is slow and all others wait for it.
	forced := w.users("slow", "forced", 2)[1]
	w.ready(forced)
	slow := w.backend.stall(w.ns, "slow")
	w.traffic.reset()
	names := w.users("slow", "new", 3*workers)
	w.holdsUp(slow, workers)
	es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: forced}}
	change(w, es, func(es *esv1.ExternalSecret) { es.Annotations = map[string]string{"force-sync": "1"} })
	w.othersAreServed(slow)
	for _, name := range append(names, forced) {
		if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, es); err != nil {
			t.Fatal(err)
		}
		if c := conditions.Ready(es.Status.Conditions); name != forced && c.Status != "" || name == forced && c.Status != metav1.ConditionTrue {
			t.Errorf("%s says something while it waits: %+v", name, c)
		}
	}
	w.backend.put(forced, `{"password":"`+canary+`-new"}`)
	slow.end(nil)
	for _, name := range names {
		w.ready(name)
	}
	w.holds(forced, map[string]string{"password": canary + "-new"})
	w.eventually("the status of what was read by force says so", func() error {
		if es := w.ready(forced); es.Status.Target.ResourceVersion != w.secret(forced).ResourceVersion {
			return fmt.Errorf("it is %+v", es.Status.Target)
		}
		return nil
	})
	if _, most, _ := slow.counts(); most > workers {
		t.Errorf("%d requests at once, want as many as there are workers", most)
	}
	asked := w.backend.asked()
	for _, name := range names {
		if asked[name] != 1 {
			t.Errorf("%s was read %d times, want once", name, asked[name])
		}
	}
	if asked[forced] != 2 {
		t.Errorf("what was read by force was read %d times, want twice", asked[forced])
	}
	w.wroteOnce(append(names, forced))
}

func TestTwoSlowStoresTogetherHoldUpNoOthers(t *testing.T) {
	t.Parallel()
	w := slowWorld(t, "one", "two")
	one, two := w.backend.stall(w.ns, "one"), w.backend.stall(w.ns, "two")
	names := append(w.users("one", "one", 2*workers), w.users("two", "two", 2*workers)...)
	w.holdsUp(one, workers)
	w.holdsUp(two, workers)
	w.othersAreServed(one, two)
	one.end(nil)
	two.end(nil)
	for _, name := range names {
		w.ready(name)
	}
}

func TestAnyNumberOfSlowStoresHoldsUpNoOthers(t *testing.T) {
	t.Parallel()
	var stores, names []string
	for i := range 8 {
		stores = append(stores, fmt.Sprint("slow-", i))
	}
	w := slowWorld(t, stores...)
	slow := w.backend.stall(w.ns, stores...)
	for _, store := range stores {
		names = append(names, w.users(store, store, workers)...)
	}
	w.holdsUp(slow, 2*workers)
	w.othersAreServed(slow)
	slow.end(nil)
	for _, name := range names {
		w.ready(name)
	}
	// Of some nobody knew yet, in the first half second, that they would wait.
	if _, most, _ := slow.counts(); most > 4*workers {
		t.Errorf("%d requests at once", most)
	}
}

func TestObjectsThatHaveWaitedForASlowStoreSayWhenItFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err  error
		says string
	}{
		"the store gives up":   {providers.Errorf(providers.ErrUnavailable, "the store gave up"), "the store gave up"},
		"the store refuses":    {providers.Errorf(providers.ErrDenied, "the store refuses"), "the store refuses"},
		"the store asks later": {&providers.ThrottledError{After: time.Minute}, "throttled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := slowWorld(t, "slow")
			slow := w.backend.stall(w.ns, "slow")
			names := w.users("slow", "new", 2*workers)
			w.holdsUp(slow, workers)
			w.othersAreServed(slow)
			slow.end(tt.err)
			for _, name := range names {
				w.notReady(name, tt.says)
			}
		})
	}
}

func TestASlowLoginHoldsUpNoOthers(t *testing.T) {
	t.Parallel()
	w := slowWorld(t, "slow")
	w.stop()
	slow := w.backend.stall(w.ns, "slow") // the next process logs in anew
	w.start()
	w.traffic.reset()
	names := w.users("slow", "new", 3*workers)
	w.holdsUp(slow, 1)
	w.othersAreServed(slow)
	slow.end(nil)
	for _, name := range names {
		w.ready(name)
	}
	w.wroteOnce(names)
	if _, most, _ := slow.counts(); most > workers {
		t.Errorf("%d requests at once, want as many as there are workers", most)
	}
}

// TestAnObjectThatReadsASlowStoreAsksTheOtherOnce: what it has read there before it waits is not read again.
func TestAnObjectThatReadsASlowStoreAsksTheOtherOnce(t *testing.T) {
	t.Parallel()
	w := slowWorld(t, "slow")
	slow := w.backend.stall(w.ns, "slow")
	w.backend.put("first", canary)
	names := make([]string, 2*workers)
	for i := range names {
		names[i] = fmt.Sprintf("both-%d", i)
		own := fmt.Sprintf("own-%d", i)
		w.backend.put(names[i], canary)
		w.backend.put(own, canary)
		w.create(w.externalSecret(names[i], every(0), func(es *esv1.ExternalSecret) {
			es.Spec.Data = []esv1.Data{
				{SecretKey: "one", RemoteRef: esv1.RemoteRef{Key: own}},
				{SecretKey: "two", RemoteRef: esv1.RemoteRef{Key: names[i]}, SourceRef: &esv1.DataSourceRef{StoreRef: esv1.StoreRef{Name: "slow"}}},
			}
		}))
	}
	w.holdsUp(slow, workers)
	w.othersAreServed(slow)
	slow.end(nil)
	for i, name := range names {
		w.ready(name)
		if n := w.backend.asked()[fmt.Sprintf("own-%d", i)]; n != 1 {
			t.Errorf("%s read the store that is not slow %d times, want once", name, n)
		}
	}
}
