package faults_test

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestManyFaultsInAnyOrderCostNothingButTime(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = mathrand.Uint64()
	}
	t.Logf("repeat this with: go test ./test/faults -v -seed %d -steps %d", seed, *stepsFlag)
	w := newWorld(t, seed)
	w.prepare()
	w.note("everything is as it shall be at first")
	w.storm(*stepsFlag)
	w.recover()
	w.note("the faults are over")
	w.converged("everything is as it shall be after the storm")
	w.note("everything is as it shall be")
	before := w.quiet()
	leaders := w.fleet.leaders()
	if len(leaders) != 1 {
		t.Fatalf("%d replicas lead", len(leaders))
	}
	old := w.usage(leaders[0])

	// A process that knows nothing of all that finds nothing to do, and the one before has not grown much beyond it.
	w.fleet.stop()
	w.fleet.again()
	w.fleet.keep(0)
	fresh := w.fleet.leader()
	w.worked(fresh)
	for _, change := range changes(before, w.quiet()) {
		t.Errorf("after a restart: %s", change)
	}
	w.converged("everything is still as it shall be after a restart")
	w.compare(old, w.usage(fresh))
	w.note(fmt.Sprintf("%d states of Secrets were seen; a document went back to an older version %d times", w.witness.states, w.witness.back))
}

// note logs something with the time that has gone by.
func (w *world) note(text string) {
	w.t.Helper()
	w.t.Logf("%6.1fs %s", time.Since(w.began).Seconds(), text)
}

// prepare makes the tenants and waits until everything is as it shall be.
func (w *world) prepare() {
	w.t.Helper()
	w.do("make the namespace "+system, func(ctx context.Context) error {
		return w.client.Create(ctx, &corev1.Namespace{ObjectMeta: meta("", system)})
	})
	w.witness.watch()
	for slot := range 2 {
		w.fleet.keep(slot)
	}
	w.openShared()
	w.spreadOut()
	for _, t := range w.tenants {
		t.zoned = true
		w.settle(t)
	}
	w.converged("everything is as it shall be at first")
}

// storm deals acts until there were so many.
func (w *world) storm(steps int) {
	w.t.Helper()
	var dealt []act
	for w.step = 1; w.step <= steps; w.step++ {
		if len(dealt) == 0 {
			dealt = w.deal()
		}
		text := dealt[0](w)
		dealt = dealt[1:]
		w.note(fmt.Sprintf("%d: %s", w.step, text))
		if w.random.IntN(3) > 0 {
			w.rest(time.Second)
		}
		w.judge()
	}
}

// judge ends the test when something was seen that must not be.
func (w *world) judge() {
	w.t.Helper()
	wrong := append(w.witness.verdict(), w.fleet.check()...)
	if c, err := w.look(); err == nil {
		wrong = append(wrong, w.reveals(c)...)
	}
	if len(wrong) > 0 {
		w.t.Fatalf("at step %d:\n  %s", w.step, strings.Join(wrong, "\n  "))
	}
}

func (w *world) converged(what string) {
	w.t.Helper()
	eventually(w.t, what, func() []string {
		if wrong := w.witness.verdict(); len(wrong) > 0 {
			w.t.Fatalf("until %s:\n  %s", what, strings.Join(wrong, "\n  "))
		}
		return w.wrong()
	})
	w.judge()
}

// worked waits until a replica has looked at each object.
func (w *world) worked(r *replica) {
	w.t.Helper()
	want := map[string]int{}
	if w.spread.uid != "" {
		want["clusterexternalsecret"]++
	}
	for _, t := range w.tenants {
		if t.reached() {
			want["externalsecret"]++
		}
		for _, e := range t.externals {
			if e.uid != "" {
				want["externalsecret"]++
			}
		}
		for _, s := range t.sealed {
			if s.uid != "" {
				want["sealedsecret"]++
			}
		}
	}
	eventually(w.t, "the new process has looked at everything", func() []string {
		text := r.get(w.t.Context(), endMetrics, "/metrics")
		for kind, n := range want {
			if seen := metric(text, "controller_runtime_reconcile_total", `controller="`+kind+`"`); int(seen) < n {
				return []string{fmt.Sprintf("it has looked at %g of %d of %s", seen, n, kind)}
			}
		}
		return nil
	})
}

// usage is what a process needs.
type usage struct{ goroutines, heap float64 }

func (w *world) usage(r *replica) usage {
	w.t.Helper()
	w.fleet.mu.Lock()
	name := r.Name()
	w.fleet.mu.Unlock()
	r.get(w.t.Context(), endProfiles, "/debug/pprof/heap?gc=1")
	text := r.get(w.t.Context(), endMetrics, "/metrics")
	u := usage{goroutines: metric(text, "go_goroutines", ""), heap: metric(text, "go_memstats_heap_alloc_bytes", "")}
	w.t.Logf("%s has %.0f goroutines and %.1f MiB of heap", name, u.goroutines, u.heap/(1<<20))
	if u.goroutines == 0 || u.heap == 0 {
		w.t.Fatalf("%s does not say what it needs", name)
	}
	return u
}

// compare is generous: of some 340 goroutines there are ten more or fewer, as sessions of before are not closed yet. One for each
// read would be hundreds.
func (w *world) compare(old, fresh usage) {
	w.t.Helper()
	if old.goroutines > fresh.goroutines+120 {
		w.t.Errorf("after the storm there were %.0f goroutines, in a new process %.0f", old.goroutines, fresh.goroutines)
	}
	if old.heap > 2*fresh.heap+(16<<20) {
		w.t.Errorf("after the storm the heap had %.0f bytes, in a new process %.0f", old.heap, fresh.heap)
	}
}
