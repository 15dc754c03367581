package gitsync_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/providers"
)

func configMap(name, value string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}, data: {key: %q}}`, name, value)
}

func secretDoc(name, value string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Secret, metadata: {name: %s}, stringData: {password: %q}}`, name, value)
}

func deployment(name, secret string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: 1
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - name: app
        image: example/app
        env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: %[2]s, key: password}}}]
`, name, secret)
}

func TestWhatIsInGitIsInTheClusterAndFollowsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.push("app", secretDoc("db", canary), deployment("api", "db"), configMap("a", "1"))
	w.gitSync("app", nil)
	s := w.ready("app", "main@sha1:"+strings.Repeat("0", 39)+"1")
	if len(s.Status.Inventory.Entries) != 3 || len(s.Status.History) != 1 || s.Status.BuildDigest == "" {
		t.Errorf("status %+v", s.Status)
	}
	if got := w.secret("db")["password"]; got != canary {
		t.Errorf("the Secret holds %q", got)
	}
	if labels := w.object("v1", "ConfigMap", "a").GetLabels(); labels[v1alpha1.LabelName] != "app" || labels[v1alpha1.LabelNamespace] != w.ns {
		t.Errorf("labels %v", labels)
	}

	revision := w.push("app", secretDoc("db", canary), configMap("a", "2"), configMap("b", "1"))
	s = w.ready("app", revision)
	if w.exists("apps/v1", "Deployment", "api") {
		t.Error("what is gone from Git was not pruned")
	}
	if v := w.object("v1", "ConfigMap", "a").Object["data"].(map[string]any)["key"]; v != "2" {
		t.Errorf("the ConfigMap holds %v", v)
	}
	if len(s.Status.Inventory.Entries) != 3 || len(s.Status.History) != 2 {
		t.Errorf("status %+v", s.Status)
	}
	w.eventually("events name what changed", func() bool {
		all := strings.Join(w.events(), "\n")
		return strings.Contains(all, "3 created: ConfigMap "+w.ns+"/a") && strings.Contains(all, "1 created, 1 configured, 1 pruned")
	})
}

func TestWhatSomebodyChangesOrDeletesComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	revision := w.push("app", secretDoc("db", canary), deployment("api", "db"), configMap("a", "1"))
	w.gitSync("app", nil)
	w.ready("app", revision)
	asked, _ := w.git.counts()

	w.delete("v1", "Secret", "db")
	w.eventually("the Secret comes back", func() bool { return w.exists("v1", "Secret", "db") })
	if got := w.secret("db")["password"]; got != canary {
		t.Errorf("the Secret holds %q", got)
	}
	w.kubectl("", "scale", "deployment/api", "--replicas=5")
	w.eventually("the Deployment is as in Git", func() bool {
		spec, _ := w.object("apps/v1", "Deployment", "api").Object["spec"].(map[string]any)
		return spec["replicas"] == int64(1)
	})
	w.kubectl("", "patch", "configmap", "a", "-p", `{"data":{"key":"x","more":"y"}}`)
	w.eventually("the ConfigMap is as in Git", func() bool {
		data, _ := w.object("v1", "ConfigMap", "a").Object["data"].(map[string]any)
		return data["key"] == "1" && data["more"] == nil
	})
	w.kubectl("", "label", "configmap", "a", v1alpha1.LabelName+"-")
	w.eventually("the label comes back", func() bool {
		return w.object("v1", "ConfigMap", "a").GetLabels()[v1alpha1.LabelName] == "app"
	})
	if now, _ := w.git.counts(); now != asked {
		t.Errorf("repairs asked Git %d times, want none", now-asked)
	}
}

func TestAnIdleTickAsksGitOnceAndWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	revision := w.push("app", secretDoc("db", canary), deployment("api", "db"), configMap("a", "1"))
	w.gitSync("app", func(s *v1alpha1.GitSyncSpec) { s.Wait = false })
	before := w.ready("app", revision)
	w.eventually("the Deployment controller has written all that it has to write", func() bool {
		status, _ := w.object("apps/v1", "Deployment", "api").Object["status"].(map[string]any)
		return status["updatedReplicas"] == int64(1) && status["unavailableReplicas"] == int64(1)
	})
	w.quiet()
	asked, built := w.git.counts()
	w.traffic.reset()
	w.request("app")
	w.eventually("Git is asked", func() bool { now, _ := w.git.counts(); return now == asked+1 })
	w.quiet()
	seen, writes := w.traffic.since()
	if writes != 0 || len(seen) != 0 {
		t.Errorf("the tick sent %d requests, %d of them writes: %q", len(seen), writes, seen)
	}
	if _, now := w.git.counts(); now != built {
		t.Error("the tick built again")
	}
	after := w.get("app")
	if diff := cmp.Diff(before.Status, after.Status); diff != "" {
		t.Errorf("the tick changed the status:\n%s", diff)
	}
}

// quiet waits until the controller has sent nothing for a while.
func (w *world) quiet() {
	w.Helper()
	const still = time.Second
	last, since := -1, time.Now()
	w.eventually("the controller is quiet", func() bool {
		seen, _ := w.traffic.since()
		if len(seen) != last {
			last, since = len(seen), time.Now()
		}
		return time.Since(since) > still
	})
}

func TestARestartInSyncWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	revision := w.push("app", secretDoc("db", canary), deployment("api", "db"), configMap("a", "1"))
	w.gitSync("app", nil)
	w.ready("app", revision)
	w.quiet()
	w.halt()
	asked, _ := w.git.counts()
	w.traffic.reset()
	w.start()
	w.eventually("Git is asked", func() bool { now, _ := w.git.counts(); return now == asked+1 })
	w.quiet()
	if seen, writes := w.traffic.since(); writes != 0 {
		t.Errorf("the restart wrote: %q", seen)
	}
}

func TestARevisionThatChangesNothingOfThePathIsOnlyNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.applied("app", configMap("a", "1"))
	_, built := w.git.counts()
	w.quiet()
	w.traffic.reset()
	revision := w.push("app", configMap("a", "1"))
	w.ready("app", revision)
	if _, now := w.git.counts(); now != built {
		t.Error("the same files were built again")
	}
	if seen, writes := w.traffic.since(); writes != 1 {
		t.Errorf("writes %d, want the status alone: %q", writes, seen)
	}
}

// applied pushes, creates the GitSync and waits until it is ready.
func (w *world) applied(name string, docs ...string) {
	w.Helper()
	revision := w.push(name, docs...)
	w.gitSync(name, nil)
	w.ready(name, revision)
}

func TestWhatAFailedApplyCreatedIsPrunedWhenItLeavesGit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	bad := `{apiVersion: v1, kind: Service, metadata: {name: bad}, spec: {ports: [{port: 99999}]}}`
	w.push("app", configMap("a", "1"), configMap("stays", "1"), bad)
	w.gitSync("app", nil)
	message := w.failing("app", v1alpha1.ReasonApplyFailed)
	if !strings.Contains(message, "Service "+w.ns+"/bad") || !strings.Contains(message, "port") {
		t.Errorf("message %q", message)
	}
	if !w.exists("v1", "ConfigMap", "a") {
		t.Error("an independent object was not applied")
	}
	revision := w.push("app", configMap("stays", "1"))
	w.ready("app", revision)
	if w.exists("v1", "ConfigMap", "a") {
		t.Error("what the failed apply created was not pruned")
	}
}

func TestAnObjectThatAFinalizerKeepsIsPrunedWithoutAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	revision := w.push("app", configMap("a", "1"), `{apiVersion: v1, kind: ConfigMap, metadata: {name: held, finalizers: [example.com/hold]}}`)
	w.gitSync("app", func(s *v1alpha1.GitSyncSpec) { s.RetryInterval = &metav1.Duration{Duration: time.Hour} })
	w.ready("app", revision)
	t.Cleanup(func() {
		held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "held"}}
		if err := w.Patch(context.WithoutCancel(t.Context()), held, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
			t.Error(err)
		}
	})
	w.ready("app", w.push("app", configMap("a", "1")))
	if held := w.object("v1", "ConfigMap", "held"); held == nil || held.GetDeletionTimestamp() == nil {
		t.Errorf("it is %+v, want that it is being deleted", held)
	}
	for _, event := range w.events() {
		if strings.HasPrefix(event, "Warning") {
			t.Errorf("event %s", event)
		}
	}
}

func TestAnInvalidSecretIsNamedWithoutItsValue(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"a list as a value":  `{apiVersion: v1, kind: Secret, metadata: {name: db}, stringData: {password: [` + canary + `]}}`,
		"not base64":         `{apiVersion: v1, kind: Secret, metadata: {name: db}, data: {password: "` + canary + `!"}}`,
		"a key with a space": `{apiVersion: v1, kind: Secret, metadata: {name: db}, stringData: {"` + canary + ` x": z}}`,
		"a wrong type":       `{apiVersion: v1, kind: Secret, metadata: {name: db}, immutable: ` + canary + `}`,
		"an unknown field":   `{apiVersion: v1, kind: Secret, metadata: {name: db}, ` + canary + `: {a: b}}`,
		"too large":          `{apiVersion: v1, kind: Secret, metadata: {name: db}, stringData: {password: "` + strings.Repeat(canary, 80000) + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start()
			w.push("app", doc)
			w.gitSync("app", nil)
			var message string
			w.eventually("the GitSync fails", func() bool {
				c := condition(w.get("app"), v1alpha1.ConditionReady)
				message = c.Message
				return c.Status == metav1.ConditionFalse
			})
			if !strings.Contains(message, "/db") || strings.Contains(message, canary) {
				t.Errorf("message %q", message)
			}
			t.Log(message)
		})
	}
}

func TestAnImmutableFieldNeedsForce(t *testing.T) {
	t.Parallel()
	immutable := func(value string) string {
		return `{apiVersion: v1, kind: Secret, metadata: {name: db}, immutable: true, stringData: {password: ` + value + `}}`
	}
	w := newWorld(t)
	w.start()
	w.applied("app", immutable("one"))
	w.push("app", immutable(canary))
	message := w.failing("app", v1alpha1.ReasonApplyFailed)
	if !strings.Contains(message, "immutable") || !strings.Contains(message, "spec.force") {
		t.Errorf("message %q", message)
	}
	if condition(w.get("app"), v1alpha1.ConditionStalled).Status != metav1.ConditionTrue {
		t.Error("not stalled")
	}
	if got := w.secret("db")["password"]; got != "one" {
		t.Errorf("the Secret holds %q", got)
	}
	s := w.get("app")
	if err := w.Patch(t.Context(), s, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"force":true}}`))); err != nil {
		t.Fatal(err)
	}
	w.eventually("the Secret is made anew", func() bool {
		var secret corev1.Secret // read once: between two reads it may be deleted
		err := w.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: "db"}, &secret)
		return err == nil && string(secret.Data["password"]) == canary
	})
}

func TestAKindAndItsObjectCanComeInOneCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	group := strings.ReplaceAll(w.ns, ".", "-") + ".example.com"
	crd := fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.%[1]s}
spec:
  group: %[1]s
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing, listKind: ThingList}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`, group)
	thing := fmt.Sprintf(`{apiVersion: %s/v1, kind: Thing, metadata: {name: one}, spec: {a: b}}`, group)
	revision := w.push("app", thing, crd)
	w.gitSync("app", func(s *v1alpha1.GitSyncSpec) { s.RetryInterval = &metav1.Duration{Duration: time.Hour} }) // it is the event that counts
	w.ready("app", revision)
	w.delete(group+"/v1", "Thing", "one")
	w.eventually("the object comes back", func() bool { return w.exists(group+"/v1", "Thing", "one") })
	w.ready("app", w.push("app", configMap("a", "1")))
}

func TestAFailingRepositoryChangesNothingAndIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.applied("app", configMap("a", "1"))
	w.git.fail(w.url("app"), providers.Errorf(providers.ErrUnavailable, "repository x: the connection failed"))
	w.request("app")
	message := w.failing("app", v1alpha1.ReasonGitOperationFailed)
	if message != "repository x: the connection failed" {
		t.Errorf("message %q", message)
	}
	w.delete("v1", "ConfigMap", "a")
	w.eventually("it is repaired although Git is down", func() bool { return w.exists("v1", "ConfigMap", "a") })
	w.git.fail(w.url("app"), nil)
	w.ready("app", w.get("app").Status.Revision)
}

func TestAnEmptyBuildPrunesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.applied("app", configMap("a", "1"))
	w.push("app")
	w.failing("app", v1alpha1.ReasonEmptyBuild)
	if !w.exists("v1", "ConfigMap", "a") {
		t.Error("it was pruned")
	}
}

func TestAnObjectOfAnotherSyncOrToolIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.kubectl(`{apiVersion: v1, kind: ConfigMap, metadata: {name: fluxed, labels: {kustomize.toolkit.fluxcd.io/name: apps}}, data: {key: theirs}}`, "apply", "-f", "-")
	w.applied("one", configMap("a", "1"))
	w.push("two", configMap("a", "2"), configMap("b", "1"), configMap("fluxed", "ours"))
	w.gitSync("two", nil)
	message := w.failing("two", v1alpha1.ReasonOwnedByOther)
	if !strings.Contains(message, "GitSync "+w.ns+"/one") || !strings.Contains(message, "Flux, in a Kustomization") {
		t.Errorf("message %q", message)
	}
	if condition(w.get("two"), v1alpha1.ConditionStalled).Status != metav1.ConditionTrue {
		t.Error("not stalled")
	}
	if !w.exists("v1", "ConfigMap", "b") {
		t.Error("an independent object was not applied")
	}
	for _, name := range []string{"a", "fluxed"} {
		if v := w.object("v1", "ConfigMap", name).Object["data"].(map[string]any)["key"]; v == "2" || v == "ours" {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestAnObjectMadeByHandIsTakenOverWholly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.kubectl(`{apiVersion: v1, kind: Secret, metadata: {name: db}, stringData: {password: old, extra: `+canary+`}}`, "apply", "-f", "-")
	w.applied("app", secretDoc("db", canary))
	if got := w.secret("db"); len(got) != 1 || got["password"] != canary {
		t.Errorf("the Secret has the keys of both hands")
	}
	if w.object("v1", "Secret", "db").GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"] != "" {
		t.Error("the annotation with the old values stayed")
	}
}

func TestAGitSyncThatIsDeletedTakesItsObjectsAlongAsItsPolicySays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		edit  func(*v1alpha1.GitSyncSpec)
		stays bool
	}{
		"MirrorPrune with prune":    {nil, false},
		"MirrorPrune without prune": {func(s *v1alpha1.GitSyncSpec) { s.Prune = false }, true},
		"Delete without prune": {func(s *v1alpha1.GitSyncSpec) {
			s.Prune, s.DeletionPolicy = false, v1alpha1.DeletionDelete
		}, false},
		"WaitForTermination": {func(s *v1alpha1.GitSyncSpec) { s.DeletionPolicy = v1alpha1.DeletionWaitForTermination }, false},
		"Orphan":             {func(s *v1alpha1.GitSyncSpec) { s.DeletionPolicy = v1alpha1.DeletionOrphan }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start()
			revision := w.push("app", configMap("a", "1"),
				`{apiVersion: v1, kind: ConfigMap, metadata: {name: precious, annotations: {gitsync.sealbridge.dev/prune: disabled}}}`)
			w.gitSync("app", tc.edit)
			w.ready("app", revision)
			w.git.fail(w.url("app"), providers.Errorf(providers.ErrUnavailable, "gone"))
			w.delete("sealbridge.dev/v1alpha1", "GitSync", "app")
			w.eventually("the GitSync is gone", func() bool { return !w.exists("sealbridge.dev/v1alpha1", "GitSync", "app") })
			if w.exists("v1", "ConfigMap", "a") != tc.stays {
				t.Errorf("the object stays: %v, want %v", !tc.stays, tc.stays)
			}
			if !w.exists("v1", "ConfigMap", "precious") {
				t.Error("the object that asks to be kept is gone")
			}
		})
	}
}

func TestASuspendedGitSyncDoesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.push("app", configMap("a", "1"))
	w.gitSync("app", func(s *v1alpha1.GitSyncSpec) { s.Suspend = true })
	w.eventually("it says so", func() bool {
		return condition(w.get("app"), v1alpha1.ConditionReady).Reason == v1alpha1.ReasonSuspended
	})
	if asked, _ := w.git.counts(); asked != 0 {
		t.Error("Git was asked")
	}
	if err := w.Patch(t.Context(), w.get("app"), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":false}}`))); err != nil {
		t.Fatal(err)
	}
	w.eventually("it goes on", func() bool { return w.exists("v1", "ConfigMap", "a") })
}

func TestAFieldThatIsNotHonouredStallsAndIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.push("app", configMap("a", "1"))
	w.gitSync("app", func(s *v1alpha1.GitSyncSpec) {
		s.PostBuild = &v1alpha1.PostBuild{Substitute: map[string]string{"a": "b"}}
	})
	message := w.failing("app", v1alpha1.ReasonUnsupported)
	if !strings.Contains(message, "spec.postBuild") || w.exists("v1", "ConfigMap", "a") {
		t.Errorf("message %q", message)
	}
}

func TestADependentFollowsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.push("second", configMap("b", "1"))
	w.gitSync("second", func(s *v1alpha1.GitSyncSpec) { s.DependsOn = []v1alpha1.DependencyRef{{Name: "first"}} })
	message := w.failing("second", v1alpha1.ReasonDependencyNotReady)
	if !strings.Contains(message, w.ns+"/first") || w.exists("v1", "ConfigMap", "b") {
		t.Errorf("message %q", message)
	}
	w.applied("first", configMap("a", "1"))
	w.eventually("the dependent is applied", func() bool { return w.exists("v1", "ConfigMap", "b") })
}
