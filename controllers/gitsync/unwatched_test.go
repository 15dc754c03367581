package gitsync_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/test/harness/capture"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// restrict makes the controller a ServiceAccount that has the role gitsync, of the role gitsync-drift what watched says, and in
// its namespace what rules say.
func (w *world) restrict(watched rbacv1.PolicyRule, rules ...rbacv1.PolicyRule) {
	w.Helper()
	const name = "controller"
	text, err := os.ReadFile("../../config/rbac/gitsync_role.yaml")
	if err != nil {
		w.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(text, &role); err != nil || len(role.Rules) == 0 {
		w.Fatalf("the role has %d rules: %v", len(role.Rules), err)
	}
	if w.as, err = w.cp.ServiceAccountConfig(w.Context(), w.ns, name); err != nil {
		w.Fatal(err)
	}
	w.as.QPS = -1
	account := controlplane.ServiceAccount(w.ns, name)
	for namespace, rules := range map[string][]rbacv1.PolicyRule{"": append(role.Rules, watched), w.ns: rules} {
		if err := w.cp.Allow(w.Context(), account, namespace, rules...); err != nil {
			w.Fatal(err)
		}
	}
}

// of returns the requests that end in a part of a path.
func of(seen []string, suffix string) []string {
	return slices.DeleteFunc(slices.Clone(seen), func(line string) bool {
		return !strings.HasSuffix(strings.TrimSuffix(line, " (dry run)"), suffix)
	})
}

func TestDriftOfAKindThatMayNotBeWatchedIsFoundByDryRunAtTheInterval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.restrict(
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"list", "watch"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts", "configmaps"}, Verbs: []string{"get", "create", "patch", "delete"}},
	)
	w.start()
	const account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: app, labels: {team: a}}\n"
	revision := w.push("app", configMap("a", "1"), account)
	w.gitSync("app", func(s *v1alpha1.GitSyncSpec) { s.Interval = metav1.Duration{Duration: 2 * time.Second} })
	w.ready("app", revision)

	// In rest, each interval compares the one kind and writes nothing.
	dryRuns := func(n int) {
		w.Helper()
		w.eventually(fmt.Sprintf("%d comparisons", n), func() bool {
			seen, _ := w.traffic.since()
			return len(of(seen, "PATCH /api/v1/namespaces/"+w.ns+"/configmaps/a")) >= n
		})
	}
	w.traffic.reset()
	dryRuns(1)
	w.traffic.reset()
	dryRuns(3)
	seen, writes := w.traffic.since()
	if writes != 0 || len(of(seen, "/serviceaccounts/app")) != 0 {
		t.Errorf("%d writes in rest: %q", writes, seen)
	}

	// What somebody changes or deletes comes back, and no other object is written.
	data := func() string {
		cm := w.object("v1", "ConfigMap", "a")
		if cm == nil {
			return ""
		}
		return fmt.Sprint(cm.Object["data"])
	}
	for what, edit := range map[string]func(){
		"changed": func() { w.kubectl("", "patch", "configmap", "a", "-p", `{"data":{"key":"x","more":"y"}}`) },
		"deleted": func() { w.delete("v1", "ConfigMap", "a") },
	} {
		w.traffic.reset()
		edit()
		w.eventually("the ConfigMap that was "+what+" is as in Git", func() bool { return data() == "map[key:1]" })
		dryRuns(2)
		seen, _ := w.traffic.since()
		written := slices.DeleteFunc(seen, func(line string) bool {
			return strings.HasPrefix(line, "GET ") || strings.HasSuffix(line, "(dry run)") || strings.Contains(line, "/gitsyncs/")
		})
		// One write takes what somebody else wrote away from him, and one is the object.
		if n := len(written); n == 0 || n > 2 || len(of(written, "PATCH /api/v1/namespaces/"+w.ns+"/configmaps/a")) != n {
			t.Errorf("%s: written %q", what, written)
		}
		w.ready("app", revision)
	}

	// The kind that may be watched is repaired at once all the same.
	w.kubectl("", "label", "serviceaccount", "app", "team=b", "--overwrite")
	w.eventually("the ServiceAccount is as in Git", func() bool { return w.object("v1", "ServiceAccount", "app").GetLabels()["team"] == "a" })
}

// The event of such a change comes before it is known what was applied.
func TestWhatSomebodyChangesBeforeTheAnswerToItsWriteComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var once sync.Once
	w.as = w.cp.Config()
	w.as.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return capture.RoundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(req)
			if req.Method == http.MethodPatch && strings.HasSuffix(req.URL.Path, "/"+w.ns+"/configmaps/a") && req.URL.Query().Get("dryRun") == "" {
				once.Do(func() {
					cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "a"}}
					if err := w.Patch(t.Context(), cm, client.RawPatch(types.MergePatchType, []byte(`{"data":{"key":"x"}}`))); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Second) // so that its event has come
				})
			}
			return resp, err
		})
	})
	w.start()
	revision := w.push("app", configMap("a", "1"))
	w.gitSync("app", nil)
	w.ready("app", revision)
	w.eventually("the ConfigMap is as in Git", func() bool { return fmt.Sprint(w.object("v1", "ConfigMap", "a").Object["data"]) == "map[key:1]" })
}
