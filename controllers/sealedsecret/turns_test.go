package sealedsecret

import (
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

type fixed struct{ ring *keyring.Ring }

func (f fixed) Ring() (*keyring.Ring, <-chan struct{}) { return f.ring, nil }

// opener is a controller of which only the opening is used.
type opener struct {
	*Controller
	t *testing.T
}

func newOpener(t *testing.T, ring *keyring.Ring) opener {
	t.Helper()
	c, err := New(Deps{Keys: fixed{ring}, Metrics: prometheus.NewRegistry(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return opener{c, t}
}

// run does one run over an object, and returns how many private-key operations it took and whether it came to its end.
func (o opener) run(obj *v1alpha1.SealedSecret) (operations int, ended bool, err error) {
	before := count(o.t, o.meters.operations)
	s := &scope{obj: obj, whole: obj, record: o.memory.of(types.NamespacedName{Name: obj.Name}, obj.UID), sealScope: seal.Strict}
	err = o.open(o.t.Context(), s)
	return count(o.t, o.meters.operations) - before, !s.unfinished, err
}

func count(t *testing.T, c prometheus.Counter) int {
	t.Helper()
	registry := prometheus.NewRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return int(families[0].GetMetric()[0].GetCounter().GetValue())
}

func sealedObject(t *testing.T, name string, values int, to *keyring.Pair) *v1alpha1.SealedSecret {
	t.Helper()
	obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
	obj.Spec.EncryptedData = map[string]string{}
	for i := range values {
		text, err := seal.Seal(rand.Reader, seal.Compat(to.Public()), seal.Strict, "ns", name, []byte("canary"))
		if err != nil {
			t.Fatal(err)
		}
		obj.Spec.EncryptedData[fmt.Sprintf("k%03d", i)] = text
	}
	return obj
}

func ringOf(t *testing.T, n int) (ring *keyring.Ring, pairs []*keyring.Pair) {
	t.Helper()
	for i := range n {
		pair, err := keyring.Generate(keyring.Options{Bits: 1024, NotBefore: time.Now().Add(-time.Duration(i) * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, pair)
	}
	return keyring.New(pairs...), pairs
}

func TestObjectsThatCannotBeOpenedTakeTurnsAndOthersNone(t *testing.T) {
	t.Parallel()
	const keys, values, poisons = 60, 100, 5
	ring, pairs := ringOf(t, keys)
	_, strangers := ringOf(t, 1)
	o := newOpener(t, ring)
	poison := sealedObject(t, "poison", values, strangers[0])
	var others []*v1alpha1.SealedSecret
	for i := range poisons {
		others = append(others, sealedObject(t, fmt.Sprintf("poison%d", i), 2, strangers[0]))
	}
	total, runs := 0, 0
	for ended := false; !ended; runs++ {
		operations, done, err := o.run(poison)
		if operations > maxWasted {
			t.Fatalf("a run took %d private-key operations", operations)
		}
		total, ended = total+operations, done
		if ended && (err == nil || runs < keys*values/maxWasted) {
			t.Fatalf("after %d runs: %v", runs, err)
		}
		if runs > 0 {
			continue
		}
		// While it has its turn, those that are like it get a few tries once, and one that opens gets all it needs.
		if !o.turn.take() {
			t.Fatal("a run has kept its turn")
		}
		for again := range 3 {
			for _, other := range others {
				operations, done, err := o.run(other)
				if want := freeTries; again == 0 && operations != want || again > 0 && operations != 0 || done || err == nil {
					t.Fatalf("%s took %d operations without the turn, ended %t: %v", other.Name, operations, done, err)
				}
			}
			good := sealedObject(t, fmt.Sprintf("good%d", again), 3, pairs[0])
			if operations, done, err := o.run(good); operations != 3 || !done || err != nil {
				t.Fatalf("a good object took %d operations, ended %t: %v", operations, done, err)
			}
		}
		o.turn.give()
	}
	if total != keys*values {
		t.Errorf("%d private-key operations, want each key once for each value", total)
	}
	if operations, _, err := o.run(poison); operations != 0 || err == nil {
		t.Errorf("%d more, %v", operations, err)
	}
}

func TestAKeyThatOpenedAnotherObjectIsTriedFirst(t *testing.T) {
	t.Parallel()
	ring, pairs := ringOf(t, 12)
	o := newOpener(t, ring)
	oldest := pairs[11]
	for i, want := range []int{12 + 1, 2, 2} { // the first object finds the key
		if operations, _, err := o.run(sealedObject(t, fmt.Sprintf("old%d", i), 2, oldest)); operations != want || err != nil {
			t.Errorf("object %d took %d operations, want %d: %v", i, operations, want, err)
		}
	}
	if operations, _, err := o.run(sealedObject(t, "new", 2, pairs[0])); operations != 3 || err != nil {
		t.Errorf("an object of the newest key took %d operations: %v", operations, err)
	}
	if operations, _, err := o.run(sealedObject(t, "old", 1, oldest)); operations != 2 || err != nil {
		t.Errorf("an object of the oldest key took %d operations: %v", operations, err)
	}
	// What the object's own status says counts before.
	known := sealedObject(t, "known", 2, pairs[5])
	known.Status.SealingKey = pairs[5].Fingerprint()
	if operations, _, err := o.run(known); operations != 2 || err != nil {
		t.Errorf("an object of a known key took %d operations: %v", operations, err)
	}
}

func TestATurnIsGivenBackWhateverHappens(t *testing.T) {
	t.Parallel()
	ring, _ := ringOf(t, 12)
	o := newOpener(t, ring)
	_, strangers := ringOf(t, 1)
	for _, values := range []int{1, 20} {
		if _, _, err := o.run(sealedObject(t, fmt.Sprintf("p%d", values), values, strangers[0])); errors.Is(err, nil) {
			t.Error("opened")
		}
		if !o.turn.take() {
			t.Error("the turn is still taken")
		}
		o.turn.give()
	}
}

func TestTheKeysThatWereUsefulAreRememberedWithinABound(t *testing.T) {
	t.Parallel()
	var r recency
	for i := range 10 * maxRecent {
		r.used(fmt.Sprint(i))
		r.used("often")
	}
	if len(r.fingerprints) != maxRecent || r.fingerprints[0] != "often" || r.fingerprints[1] != fmt.Sprint(10*maxRecent-1) {
		t.Errorf("it remembers %d keys, the last are %q", len(r.fingerprints), r.fingerprints[:2])
	}
}
