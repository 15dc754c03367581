package externalsecrets_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var (
	recordFlag   = flag.Bool("record", false, "write down what the operator makes of the cases, instead of comparing ours with it")
	operatorFlag = flag.String("operator", "bin/external-secrets", "the operator's program, below the repository's root; its definitions are beside it: NAME-crds.yaml")
	settleFlag   = flag.Duration("settle", 6*time.Second, "how long nothing may change before the operator's answer is taken for its last")
	patienceFlag = flag.Duration("patience", 2*time.Minute, "how long our answer may take")
)

// TestMain lets all cases wait at once: what they wait for is one controller. The operator works on one object at a time.
func TestMain(m *testing.M) {
	flag.Parse()
	atOnce := "100"
	if *recordFlag {
		atOnce = "8"
	}
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestOurAnswersAreThoseOfTheOperator(t *testing.T) {
	t.Parallel()
	var w *world
	if *recordFlag {
		w = besideTheOperator(t)
	} else {
		w = besideOurs(t)
	}
	w.giveGoogleKey(t)
	for _, c := range readCases(t, w.values()...) {
		w.fillGoogle(c)
		t.Run(c.namespace, func(t *testing.T) {
			t.Parallel()
			w.prepare(t, c)
			if *recordFlag {
				w.record(t, c)
			} else {
				w.compare(t, c)
			}
		})
	}
}

// record writes down what the operator makes.
func (w *world) record(t *testing.T, c *conformanceCase) {
	t.Helper()
	l := newLooker(w, c)
	var answers []answer
	for _, s := range c.Steps {
		w.do(t, c, s)
		answers = append(answers, w.settled(t, l))
	}
	if !t.Failed() {
		c.record(t, answers)
	}
}

// settled waits until nothing has changed for a while, longer while an object has no condition yet: some never have one.
func (w *world) settled(t *testing.T, l *looker) answer {
	t.Helper()
	var last answer
	for since := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		now, err := l.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal(now, last) {
			last, since = now, time.Now()
		}
		long := *settleFlag
		for _, es := range now["ExternalSecret"] {
			if es["ready"] == nil {
				long = 4 * *settleFlag
			}
		}
		if time.Since(since) > long {
			return last
		}
	}
}

// compare holds what we make of each step to what the operator made.
func (w *world) compare(t *testing.T, c *conformanceCase) {
	t.Helper()
	if len(c.Answers) != len(c.Steps) {
		t.Fatalf("%d answers are recorded for %d steps: -record it", len(c.Answers), len(c.Steps))
	}
	l := newLooker(w, c)
	for i, s := range c.Steps {
		want := c.ours(t, i)
		w.do(t, c, s)
		if diff := w.becomes(t, l, want); diff != "" {
			t.Errorf("step %d: what we make (+) is not what we should (-):\n%s%s", i, diff, w.messages(t, l))
		}
	}
}

// becomes waits until there is what is wanted, and says what differs when that does not come. It must stay so in some looks, for seconds:
// a run that is still to come, because a store has become ready, waits behind those of all other cases, and would see the next step.
func (w *world) becomes(t *testing.T, l *looker, want answer) (diff string) {
	t.Helper()
	const looks = 30
	begin := time.Now()
	for same, seen := 0, -1; same < looks; time.Sleep(100 * time.Millisecond) {
		if now := l.seen(); now != seen {
			got, err := l.look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			diff, seen = differences(want, got), now
		}
		switch {
		case diff == "":
			same++
		case time.Since(begin) > *patienceFlag:
			return diff
		default:
			same = 0
		}
	}
	return ""
}

func TestEachDifferenceIsARowOfThePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "compatibility.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range readCases(t) {
		for i, d := range c.Differs {
			if !strings.Contains(string(page), "\n| "+d.Row+" | ") {
				t.Errorf("%s: differs[%d]: docs/compatibility.md has no row %q", c.file, i, d.Row)
			}
		}
	}
}

// TestNoTwoCasesShareAStore: stores of the operator's provider fake with one name share what they hold, wherever they are.
func TestNoTwoCasesShareAStore(t *testing.T) {
	t.Parallel()
	of := map[string]string{}
	for _, c := range readCases(t) {
		names := map[string]bool{}
		c.objects(func(o *unstructured.Unstructured) {
			if strings.HasSuffix(o.GetKind(), "SecretStore") || o.GetNamespace() == "" {
				names[o.GetKind()[max(0, len(o.GetKind())-5):]+" "+o.GetName()] = true
			}
		})
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if of[name] != "" {
				t.Errorf("%s and %s both have a %s", of[name], c.file, name)
			}
			of[name] = c.file
		}
	}
}
