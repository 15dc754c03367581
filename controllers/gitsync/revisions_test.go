package gitsync_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
)

// value returns what a ConfigMap made by configMap holds, "" when there is none.
func (w *world) value(name string) string {
	w.Helper()
	u := w.object("v1", "ConfigMap", name)
	if u == nil {
		return ""
	}
	data, _ := u.Object["data"].(map[string]any)
	value, _ := data["key"].(string)
	return value
}

// waiting is a world whose GitSync is ready with a = 1 and waits with a = 2 for the controller of a SealedSecret.
func waiting(t *testing.T) (w *world, second string) {
	t.Helper()
	w = newWorld(t)
	w.start()
	w.materialise("api")
	first := w.push("app", firstRevision()...)
	w.gitSync("app", nil)
	w.eventually("the SealedSecret is applied", func() bool { return w.exists("bitnami.com/v1alpha1", "SealedSecret", "api") })
	w.unsealed(1)
	w.ready("app", first)
	second = w.push("app", configMap("a", "2"), strings.Replace(sealedSecret, "AAAA", "BBBB", 1))
	w.failing("app", v1alpha1.ReasonProgressing)
	w.eventually("what need not wait is applied", func() bool { return w.value("a") == "2" })
	w.quiet() // it has looked again, and nothing has come
	return w, second
}

func firstRevision() []string {
	return []string{configMap("a", "1"), configMap("leaves", "1"), sealedSecret}
}

// unsealed plays the controller of the SealedSecret.
func (w *world) unsealed(generation int) {
	w.Helper()
	w.report("bitnami.com/v1alpha1", "SealedSecret", "api", fmt.Sprintf(`{"observedGeneration": %d,
		"conditions": [{"type": "Synced", "status": "True", %s, "lastUpdateTime": "2026-01-01T00:00:00Z"}]}`, generation, now))
}

func TestARevisionThatHadToWaitIsTheOneThatIsKept(t *testing.T) {
	t.Parallel()
	w, second := waiting(t)
	w.unsealed(2)
	w.ready("app", second)
	if w.exists("v1", "ConfigMap", "leaves") {
		t.Error("what left Git was not pruned")
	}
	w.delete("v1", "ConfigMap", "a")
	w.eventually("the ConfigMap is back", func() bool { return w.exists("v1", "ConfigMap", "a") })
	if got := w.value("a"); got != "2" {
		t.Errorf("the repair wrote value %q of the revision before", got)
	}
}

func TestARevisionThatIsTakenBackWhileItWaitsLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(w *world){
		"by the commit before":       func(w *world) { w.git.back(w.url("app"), 1, firstRevision()); w.request("app") },
		"by one with the same files": func(w *world) { w.push("app", firstRevision()...) },
		"by one with another file":   func(w *world) { w.push("app", append(firstRevision(), configMap("b", "1"))...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := waiting(t)
			again(w)
			w.eventually("the first content is back", func() bool { return w.value("a") == "1" })
		})
	}
}
