package clusterexternalsecret_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
)

func TestEachSelectedNamespaceHasTheExternalSecretAndNoOther(t *testing.T) {
	w := newWorld(t)
	byLabel, byName, bySelector, other := w.namespace(w.mine()), w.namespace(nil), w.namespace(map[string]string{"old": w.name}), w.namespace(nil)
	w.create(w.ces(func(ces *esv1.ClusterExternalSecret) {
		ces.Spec.Namespaces = []string{byName, "no-such-namespace"}
		ces.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"old": w.name}}
		ces.Spec.ExternalSecretMetadata = esv1.ExternalSecretMetadata{
			Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"note": "b"},
		}
	}))
	ces := w.provisioned(byLabel, byName, bySelector)
	es := w.externalSecret(byName, "db")
	if diff := cmp.Diff(ces.Spec.ExternalSecretSpec, es.Spec); diff != "" || es.Labels["team"] != "a" || es.Annotations["note"] != "b" {
		t.Errorf("labels %v, annotations %v, spec (-want +got):\n%s", es.Labels, es.Annotations, diff)
	}
	want := []metav1.OwnerReference{{APIVersion: "external-secrets.io/v1", Kind: "ClusterExternalSecret", Name: ces.Name, UID: ces.UID,
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}}
	if diff := cmp.Diff(want, es.OwnerReferences); diff != "" {
		t.Errorf("owner (-want +got):\n%s", diff)
	}
	if ces.Status.ExternalSecretName != "db" || len(ces.Finalizers) > 0 {
		t.Errorf("name %q, finalizers %v", ces.Status.ExternalSecretName, ces.Finalizers)
	}

	late := w.namespace(w.mine())
	change(w, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: byLabel}}, func(ns *corev1.Namespace) { delete(ns.Labels, "ces") })
	w.provisioned(late, byName, bySelector)
	w.absent(byLabel, "db")
	change(w, ces, func(ces *esv1.ClusterExternalSecret) {
		ces.Spec.ExternalSecretName, ces.Spec.NamespaceSelector = "renamed", nil
	})
	w.provisioned(late, byName)
	for _, namespace := range []string{late, byName, bySelector} {
		w.absent(namespace, "db")
	}
	w.externalSecret(late, "renamed")
	w.absent(other, "db")

	// Nothing of ours holds a namespace or the object.
	leaving := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: late}}
	if err := w.c.Delete(t.Context(), leaving); err != nil {
		t.Fatal(err)
	}
	w.gone(leaving)
	w.provisioned(byName)
	if err := w.c.Delete(t.Context(), ces); err != nil {
		t.Fatal(err)
	}
	w.gone(ces)
	w.absent(byName, "renamed")
}

func TestAnExternalSecretOfSomebodyElseIsLeftAloneUntilItIsGone(t *testing.T) {
	w := newWorld(t)
	free, taken := w.namespace(w.mine()), w.namespace(w.mine())
	foreign := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: taken, Name: "db"}, Spec: w.ces().Spec.ExternalSecretSpec}
	w.create(foreign, w.ces())
	ces := w.provisioned(free)
	const why = "external secret already exists in namespace: it is not controlled by this ClusterExternalSecret"
	if f := ces.Status.FailedNamespaces; len(f) != 1 || f[0].Namespace != taken || !strings.HasPrefix(f[0].Reason, why) {
		t.Errorf("failed: %+v", f)
	}
	if c := conditions.Ready(ces.Status.Conditions); c.Reason != esv1.ReasonNamespacesFailed || !strings.Contains(c.Message, "1 of 2 namespaces failed") {
		t.Errorf("condition %+v", c)
	}
	if es := w.externalSecret(taken, "db"); es.ResourceVersion != foreign.ResourceVersion {
		t.Error("it was written to")
	}
	// A namespace that is selected no more fails no more.
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: taken}}
	failed := func(n int) {
		t.Helper()
		w.eventually(fmt.Sprintf("%d namespaces failed", n), func() error {
			if got := w.provisioned(free).Status.FailedNamespaces; len(got) != n {
				return fmt.Errorf("they are %+v", got)
			}
			return nil
		})
	}
	change(w, namespace, func(ns *corev1.Namespace) { delete(ns.Labels, "ces") })
	failed(0)
	change(w, namespace, func(ns *corev1.Namespace) { ns.Labels["ces"] = w.name })
	failed(1)
	if err := w.c.Delete(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	w.provisioned(free, taken)
}

func TestOfTwoThatWantOneExternalSecretTheSecondHasItWhenTheFirstIsGone(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace(w.mine())
	first, second := w.ces(func(ces *esv1.ClusterExternalSecret) { ces.Name += "-first" }), w.ces()
	w.create(first)
	w.eventually("the first has it", func() error {
		return w.c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "db"}, &esv1.ExternalSecret{})
	})
	es := w.externalSecret(ns, "db")
	w.create(second)
	const why = "external secret already exists in namespace: it is not controlled by this ClusterExternalSecret and was left alone; remove it, or set another spec.externalSecretName"
	if f := w.provisioned().Status.FailedNamespaces; len(f) != 1 || f[0].Reason != why {
		t.Errorf("failed: %+v", f)
	}
	if now := w.externalSecret(ns, "db"); now.ResourceVersion != es.ResourceVersion {
		t.Errorf("the ExternalSecret of the first was written: it belongs to %+v", now.OwnerReferences)
	}
	if err := w.c.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	w.provisioned(ns)
	if now := w.externalSecret(ns, "db"); now.UID == es.UID || !metav1.IsControlledBy(now, second) {
		t.Errorf("it belongs to %+v", now.OwnerReferences)
	}
}

func TestForceSyncIsMirroredAndLabelsOfOthersStay(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace(w.mine())
	ces := w.ces(func(ces *esv1.ClusterExternalSecret) {
		ces.Annotations = map[string]string{esv1.AnnotationForceSync: "1", "other": "x"}
		ces.Spec.ExternalSecretMetadata.Labels = map[string]string{"keep": "a", "drop": "b"}
	})
	w.create(ces)
	w.provisioned(ns)
	sees := func(want string) {
		t.Helper()
		w.eventually("labels and annotations "+want, func() error {
			es := w.externalSecret(ns, "db")
			if got := fmt.Sprint(es.Labels, es.Annotations); got != want {
				return fmt.Errorf("they are %s", got)
			}
			return nil
		})
	}
	sees("map[drop:b keep:a] map[external-secrets.io/force-sync:1]")
	change(w, w.externalSecret(ns, "db"), func(es *esv1.ExternalSecret) { es.Labels["foreign"] = "c" })
	change(w, ces, func(ces *esv1.ClusterExternalSecret) { ces.Annotations[esv1.AnnotationForceSync] = "2" })
	sees("map[drop:b foreign:c keep:a] map[external-secrets.io/force-sync:2]")
	change(w, ces, func(ces *esv1.ClusterExternalSecret) { delete(ces.Spec.ExternalSecretMetadata.Labels, "drop") })
	sees("map[foreign:c keep:a] map[external-secrets.io/force-sync:2]")
	change(w, ces, func(ces *esv1.ClusterExternalSecret) { delete(ces.Annotations, esv1.AnnotationForceSync) })
	sees("map[foreign:c keep:a] map[]")
}

func TestWhatIsChangedByHandIsPutBack(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace(w.mine())
	w.create(w.ces())
	spec := w.provisioned(ns).Spec.ExternalSecretSpec
	putBack := func() {
		t.Helper()
		w.eventually("the ExternalSecret is put back", func() error {
			es := &esv1.ExternalSecret{}
			if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "db"}, es); err != nil {
				return err
			}
			if diff := cmp.Diff(spec, es.Spec); diff != "" {
				return fmt.Errorf("spec (-want +got):\n%s", diff)
			}
			return nil
		})
	}
	change(w, w.externalSecret(ns, "db"), func(es *esv1.ExternalSecret) {
		es.Spec.Data[0].RemoteRef.Key = "other"
		es.Spec.Target.Template = &esv1.Template{Data: map[string]string{"more": "x"}}
	})
	putBack()
	if err := w.c.Delete(t.Context(), w.externalSecret(ns, "db")); err != nil {
		t.Fatal(err)
	}
	putBack()
}

func TestARestartWritesNothingAndKnowsWhatItMade(t *testing.T) {
	w := newWorld(t)
	stays, leaves := w.namespace(w.mine()), w.namespace(w.mine())
	w.create(w.ces())
	w.provisioned(stays, leaves)
	w.stop()
	w.written()
	w.start()
	// The namespace is provisioned after all that the start finds was looked at.
	late := w.namespace(w.mine())
	ces := w.provisioned(stays, leaves, late)
	for _, write := range w.written() {
		if !strings.Contains(write, late) && !strings.HasSuffix(write, w.name+"/status") {
			t.Errorf("an unneeded write: %s", write)
		}
	}
	w.stop()
	// A controller that was killed before it wrote the status has left this; what it made is found by its owner.
	ces.Status = esv1.ClusterExternalSecretStatus{}
	if err := w.c.Status().Update(t.Context(), ces); err != nil {
		t.Fatal(err)
	}
	change(w, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: leaves}}, func(ns *corev1.Namespace) { delete(ns.Labels, "ces") })
	w.start()
	w.provisioned(stays, late)
	w.absent(leaves, "db")
}

func TestANameOfAnyLengthIsProvisioned(t *testing.T) {
	w := prepare(t, role)
	w.name += strings.Repeat("-long", 20)
	w.start()
	ns := w.namespace(map[string]string{"kind": "long"})
	ces := w.ces(func(ces *esv1.ClusterExternalSecret) {
		ces.Spec.ExternalSecretName = ""
		ces.Spec.NamespaceSelectors[0].MatchLabels = map[string]string{"kind": "long"}
	})
	w.create(ces)
	w.provisioned(ns)
	w.externalSecret(ns, w.name)
}

func TestASelectorThatIsNoneIsSaidAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace(w.mine())
	ces := w.ces()
	w.create(ces)
	w.provisioned(ns)
	change(w, ces, func(ces *esv1.ClusterExternalSecret) {
		ces.Spec.NamespaceSelectors[0].MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like", Values: []string{"b"}}}
	})
	w.eventually("the condition says so", func() error {
		if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(ces), ces); err != nil {
			return err
		}
		c := conditions.Ready(ces.Status.Conditions)
		if c.Reason != esv1.ReasonInvalidSelector || !strings.Contains(c.Message, "spec.namespaceSelectors[0] cannot be read") {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
	if w.externalSecret(ns, "db"); len(ces.Status.ProvisionedNamespaces) != 1 {
		t.Errorf("status %+v", ces.Status)
	}
}

// A Secret that both names stand for is there all the time, and goes when the namespace is selected no more.
func TestARenameKeepsATargetOfTheSameName(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace(w.mine())
	ces := w.ces(func(ces *esv1.ClusterExternalSecret) { ces.Spec.ExternalSecretSpec.Target.Name = "target" })
	w.create(ces)
	w.provisioned(ns)
	of := func(es *esv1.ExternalSecret) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: es.Name, UID: es.UID,
			Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}}
	}
	target := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "target", OwnerReferences: of(w.externalSecret(ns, "db"))}}
	w.create(target)
	uid := target.UID
	change(w, ces, func(ces *esv1.ClusterExternalSecret) { ces.Spec.ExternalSecretName = "renamed" })
	w.provisioned(ns)
	w.absent(ns, "db")
	w.externalSecret(ns, "renamed")
	if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(target), target); err != nil || target.UID != uid || len(target.OwnerReferences) > 0 {
		t.Errorf("the target: %v, owners %v", err, target.OwnerReferences)
	}
	change(w, target, func(secret *corev1.Secret) { secret.OwnerReferences = of(w.externalSecret(ns, "renamed")) })
	change(w, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, func(ns *corev1.Namespace) { delete(ns.Labels, "ces") })
	w.absent(ns, "renamed")
	w.gone(target)
}

func TestAChangeIsOneWriteToEachExternalSecret(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace(w.mine())
	ces := w.ces()
	w.create(ces)
	w.provisioned(ns)
	// The fields that a create has set are handed to those that are applied, once.
	for _, revision := range []struct {
		key    string
		writes int
	}{{"first", 3}, {"second", 1}, {"third", 1}} {
		w.written()
		change(w, ces, func(ces *esv1.ClusterExternalSecret) {
			ces.Spec.ExternalSecretSpec.Data[0].RemoteRef.Key = revision.key
		})
		w.provisioned(ns)
		writes := slices.DeleteFunc(w.written(), func(s string) bool { return !strings.HasSuffix(s, "/externalsecrets/db") })
		if got := w.externalSecret(ns, "db").Spec.Data[0].RemoteRef.Key; got != revision.key || len(writes) != revision.writes {
			t.Errorf("the %s change made the key %s with %d writes, want %d: %v", revision.key, got, len(writes), revision.writes, writes)
		}
	}
}

// An ExternalSecret that changes is refreshed at once, which writes its status.
func TestAnExternalSecretThatIsReportedOnMeanwhileIsChangedAllTheSame(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace(w.mine())
	w.create(w.ces())
	ces := w.provisioned(ns)
	var patches atomic.Int32
	report := func(req *http.Request) {
		if !strings.HasSuffix(req.URL.Path, "/externalsecrets/db") || req.Header.Get("Content-Type") != string(types.JSONPatchType) {
			return
		}
		if n := patches.Add(1); n != 1 && n != 3 { // the first that hands fields over, and the first that puts the spec right
			return
		}
		es := &esv1.ExternalSecret{}
		err := w.c.Get(req.Context(), client.ObjectKey{Namespace: ns, Name: "db"}, es)
		es.Status.RefreshTime = metav1.NewTime(time.Unix(int64(patches.Load()), 0))
		if err := errors.Join(err, w.c.Status().Update(req.Context(), es)); err != nil {
			t.Error(err)
		}
	}
	w.before.Store(&report)
	change(w, w.externalSecret(ns, "db"), func(es *esv1.ExternalSecret) {
		es.Spec.Target.Template = &esv1.Template{Data: map[string]string{"more": "x"}}
	})
	w.eventually("the ExternalSecret is put back", func() error {
		if diff := cmp.Diff(ces.Spec.ExternalSecretSpec, w.externalSecret(ns, "db").Spec); diff != "" {
			return fmt.Errorf("spec (-want +got):\n%s", diff)
		}
		return nil
	})
	w.provisioned(ns)
	if log := w.logs.String(); strings.Contains(log, "not ready") || strings.Contains(log, "Reconciler error") || patches.Load() < 4 {
		t.Errorf("%d patches, and the log says\n%s", patches.Load(), log)
	}
}

func TestANamespaceThatGoesWhileItIsProvisionedIsNoFailure(t *testing.T) {
	w := prepare(t, role, takeover)
	stays, goes := w.namespace(w.mine()), w.namespace(w.mine(), "example.com/hold")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: goes}}
	if err := w.c.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w.unaware.Store(true)
	w.start()
	w.create(w.ces())
	ces := w.provisioned(stays)
	if log := w.logs.String(); len(ces.Status.FailedNamespaces) > 0 || strings.Contains(log, "not ready") || strings.Contains(log, "Reconciler error") {
		t.Errorf("failed: %+v; the log says\n%s", ces.Status.FailedNamespaces, log)
	}
	if !slices.ContainsFunc(w.written(), func(s string) bool { return strings.Contains(s, "/namespaces/"+goes+"/") }) {
		t.Error("nothing was tried in the namespace that goes")
	}
	change(w, namespace, func(ns *corev1.Namespace) { ns.Finalizers = nil })
}

func TestANamespaceIsProvisionedAnewWhoseExternalSecretWentUnseen(t *testing.T) {
	w := newWorld(t)
	namespace := w.namespace(w.mine())
	ces := w.ces()
	w.create(ces)
	w.provisioned(namespace)
	before := w.externalSecret(namespace, "db")
	var once sync.Once
	goes := func(req *http.Request) {
		if req.Method == http.MethodPatch && strings.HasSuffix(req.URL.Path, "/externalsecrets/db") {
			once.Do(func() {
				if err := w.c.Delete(t.Context(), w.externalSecret(namespace, "db")); err != nil {
					t.Error(err)
				}
			})
		}
	}
	w.before.Store(&goes)
	change(w, ces, func(ces *esv1.ClusterExternalSecret) { ces.Spec.ExternalSecretSpec.Data[0].RemoteRef.Key = "another" })
	w.provisioned(namespace)
	if es := w.externalSecret(namespace, "db"); es.UID == before.UID || es.Spec.Data[0].RemoteRef.Key != "another" {
		t.Errorf("uid %s of %s, key %s", es.UID, before.UID, es.Spec.Data[0].RemoteRef.Key)
	}
	if log := w.logs.String(); strings.Contains(log, "not ready") {
		t.Errorf("somebody was told that it is not: %s", log)
	}
}
