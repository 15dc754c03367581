package gitsync_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
)

// walk does things at random to one GitSync, and knows what Git holds.
type walk struct {
	*world
	random *rand.Rand
	// pushed is what was pushed, now what Git holds of it.
	pushed []map[string]string
	now    map[string]string
	said   []string
}

// names are the ConfigMaps that a revision may hold.
func names() []string { return []string{"a", "b", "c"} }

// docs are the documents of a revision: the ConfigMaps, and a SealedSecret that its controller takes time for.
func docs(revision map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(revision)) {
		if name == "sealed" {
			out = append(out, strings.Replace(sealedSecret, "AAAA", revision[name], 1))
			continue
		}
		out = append(out, configMap(name, revision[name]))
	}
	return out
}

// revision makes content at random; one ConfigMap and the SealedSecret are always there.
func (w *walk) revision() map[string]string {
	out := map[string]string{"sealed": []string{"AAAA", "BBBB"}[w.random.IntN(2)], "always": fmt.Sprint(w.random.IntN(3))}
	for _, name := range names() {
		if w.random.IntN(3) > 0 {
			out[name] = fmt.Sprint(w.random.IntN(3))
		}
	}
	return out
}

// act does one thing.
func (w *walk) act() {
	w.Helper()
	name := names()[w.random.IntN(len(names()))]
	switch w.random.IntN(9) {
	case 0, 1, 2:
		w.commit()
	case 3:
		n := w.random.IntN(min(3, len(w.pushed)))
		w.now = w.pushed[len(w.pushed)-1-n]
		w.say("back by %d to %v", n, w.now)
		w.git.back(w.url("app"), n, docs(w.now))
		w.request("app")
	case 4:
		w.say("delete %s", name)
		w.by(name, func(o client.Object) error { return w.Delete(context.WithoutCancel(w.Context()), o) })
	case 5, 6:
		w.say("edit %s", name)
		w.by(name, func(o client.Object) error {
			return w.Patch(w.Context(), o, client.RawPatch(types.MergePatchType, []byte(`{"data":{"key":"edited"}}`)))
		})
	case 7:
		w.say("Git is down")
		w.git.fail(w.url("app"), errors.New("down"))
		w.request("app")
	default:
		w.say("Git is up")
		w.git.fail(w.url("app"), nil)
		w.request("app")
	}
}

// commit pushes content made at random.
func (w *walk) commit() {
	w.Helper()
	w.now = w.revision()
	w.pushed = append(w.pushed, w.now)
	w.say("push %v", w.now)
	w.push("app", docs(w.now)...)
}

func (w *walk) say(format string, args ...any) { w.said = append(w.said, fmt.Sprintf(format, args...)) }

// by does something to a ConfigMap as somebody else, if it is there.
func (w *walk) by(name string, do func(client.Object) error) {
	w.Helper()
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("v1")
	u.SetKind("ConfigMap")
	u.SetNamespace(w.ns)
	u.SetName(name)
	if err := do(u); client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
}

// unseal plays the controller of SealedSecrets until the test ends, which is late from time to time.
func (w *walk) unseal(ctx context.Context, late *rand.Rand) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(late.IntN(400)) * time.Millisecond)
		u := &unstructured.Unstructured{}
		u.SetAPIVersion("bitnami.com/v1alpha1")
		u.SetKind("SealedSecret")
		if err := w.Get(ctx, client.ObjectKey{Namespace: w.ns, Name: "api"}, u); err != nil {
			continue
		}
		patch := fmt.Appendf(nil, `{"status":{"observedGeneration": %d, "conditions": [{"type": "Synced", "status": "True", %s,
			"lastUpdateTime": "2026-01-01T00:00:00Z"}]}}`, u.GetGeneration(), now)
		_ = w.Status().Patch(ctx, u, client.RawPatch(types.MergePatchType, patch)) // the next round does it
	}
}

// agrees says how the cluster differs from Git; "" when it does not.
func (w *walk) agrees() string {
	for _, name := range append(names(), "always") {
		if got, want := w.value(name), w.now[name]; got != want {
			return fmt.Sprintf("ConfigMap %s is %q, Git has %q", name, got, want)
		}
	}
	return ""
}

// TestWhateverHappensTheClusterComesToWhatGitHolds lets people push, take back, delete and edit, and Git fail, in an order
// made at random, while the controller of a SealedSecret lags behind and our own is restarted.
func TestWhateverHappensTheClusterComesToWhatGitHolds(t *testing.T) {
	t.Parallel()
	for range 4 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &walk{world: newWorld(t), random: rand.New(rand.NewPCG(seed, 1))}
			w.start()
			w.materialise("api")
			w.commit()
			w.gitSync("app", nil)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); w.unseal(ctx, rand.New(rand.NewPCG(seed, 2))) }()
			defer func() { cancel(); <-ended }()
			for round := range 4 {
				for range 8 {
					w.act()
					time.Sleep(time.Duration(w.random.IntN(300)) * time.Millisecond)
				}
				if round == 2 {
					w.say("restart")
					w.halt()
					w.start()
				}
				w.git.fail(w.url("app"), nil)
				w.request("app")
				if !w.comes(5*time.Minute, func() bool {
					ready := condition(w.get("app"), v1alpha1.ConditionReady)
					return ready.Status == metav1.ConditionTrue && w.agrees() == ""
				}) {
					t.Fatalf("%s; Ready is %v; after:\n%s", w.agrees(), condition(w.get("app"), v1alpha1.ConditionReady), strings.Join(w.said, "\n"))
				}
				w.say("the cluster agrees")
			}
		})
	}
}

// comes waits until something is so, and says whether it became so.
func (w *walk) comes(limit time.Duration, is func() bool) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if is() {
			return true
		}
	}
	return false
}
