package clusterexternalsecret_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
)

// operated makes a ClusterExternalSecret, its finalizer on a namespace and its ExternalSecret there, as External Secrets
// Operator 2.9 leaves them.
func operated(w *world) (*esv1.ClusterExternalSecret, *esv1.ExternalSecret) {
	w.t.Helper()
	ns := w.namespace(w.mine(), esv1.FinalizerNamespacePrefix+w.name)
	ces := w.ces(func(ces *esv1.ClusterExternalSecret) {
		ces.Finalizers = []string{esv1.FinalizerClusterExternalSecret}
		ces.Spec.ExternalSecretMetadata.Labels = map[string]string{"team": "a", "old": "b"}
		ces.Spec.ExternalSecretSpec.Target.Template = &esv1.Template{Data: map[string]string{"kept": "1", "dropped": "2"}}
	})
	w.create(ces)
	es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{
		Namespace: ns, Name: "db", Labels: ces.Spec.ExternalSecretMetadata.Labels, Finalizers: []string{esv1.FinalizerExternalSecret},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "external-secrets.io/v1", Kind: "ClusterExternalSecret", Name: ces.Name, UID: ces.UID,
			Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}},
	}, Spec: ces.Spec.ExternalSecretSpec}
	if err := w.c.Create(w.t.Context(), es, client.FieldOwner("external-secrets")); err != nil {
		w.t.Fatal(err)
	}
	// The operator's conditions have neither reason nor time.
	ces.Status = esv1.ClusterExternalSecretStatus{ExternalSecretName: "db", ProvisionedNamespaces: []string{ns},
		Conditions: []esv1.Condition{{Type: esv1.ConditionReady, Status: metav1.ConditionTrue}}}
	if err := w.c.Status().Update(w.t.Context(), ces); err != nil {
		w.t.Fatal(err)
	}
	return ces, es
}

// holds returns an error while the object carries a finalizer of the operator's for ClusterExternalSecrets.
func holds(w *world, obj client.Object) error {
	if err := w.c.Get(w.t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
		return err
	}
	for _, f := range obj.GetFinalizers() {
		if strings.HasPrefix(f, esv1.FinalizerNamespacePrefix) || f == esv1.FinalizerClusterExternalSecret {
			return fmt.Errorf("finalizers %v", obj.GetFinalizers())
		}
	}
	return nil
}

func TestWhatTheOperatorLeftIsTakenOverAsItIs(t *testing.T) {
	w := prepare(t, role, takeover)
	ces, es := operated(w)
	w.start()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: es.Namespace}}
	w.eventually("the finalizer of the namespace is gone", func() error { return holds(w, ns) })
	w.eventually("the finalizer of the object is gone", func() error { return holds(w, ces) })
	w.provisioned(es.Namespace)
	if now := w.externalSecret(es.Namespace, es.Name); now.ResourceVersion != es.ResourceVersion {
		t.Errorf("the ExternalSecret was rewritten")
	}
	// What the operator wrote goes when it is not wanted any more.
	change(w, ces, func(ces *esv1.ClusterExternalSecret) {
		delete(ces.Spec.ExternalSecretMetadata.Labels, "old")
		delete(ces.Spec.ExternalSecretSpec.Target.Template.Data, "dropped")
	})
	w.eventually("labels and spec follow", func() error {
		now := w.externalSecret(es.Namespace, es.Name)
		if len(now.Labels) != 1 || len(now.Spec.Target.Template.Data) != 1 || now.UID != es.UID {
			return fmt.Errorf("labels %v, template %v", now.Labels, now.Spec.Target.Template.Data)
		}
		return nil
	})
}

func TestManyThatTakeTheirFinalizersFromOneNamespaceDoNotFailAtEachOther(t *testing.T) {
	w := prepare(t, role, takeover)
	const objects = 12
	names := make([]string, objects)
	finalizers := make([]string, objects)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", w.name, i)
		finalizers[i] = esv1.FinalizerNamespacePrefix + names[i]
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace(w.mine(), append(finalizers, "example.com/other")...)}}
	for _, name := range names {
		ces := w.ces(func(ces *esv1.ClusterExternalSecret) { ces.Name, ces.Spec.ExternalSecretName = name, name })
		w.create(ces)
		t.Cleanup(func() {
			if err := w.c.Delete(context.WithoutCancel(t.Context()), ces); err != nil {
				t.Error(err)
			}
		})
	}
	w.start()
	w.eventually("the finalizers are gone", func() error { return holds(w, ns) })
	if !slices.Equal(ns.Finalizers, []string{"example.com/other"}) {
		t.Errorf("finalizers %v: want the other's alone", ns.Finalizers)
	}
	for _, name := range names {
		w.eventually("provisioned", func() error {
			ces := &esv1.ClusterExternalSecret{}
			if err := w.c.Get(t.Context(), client.ObjectKey{Name: name}, ces); err != nil {
				return err
			}
			if c := conditions.Ready(ces.Status.Conditions); c.Status != metav1.ConditionTrue {
				return fmt.Errorf("condition %+v", c)
			}
			return nil
		})
	}
	if strings.Contains(w.logs.String(), "answered Conflict") {
		t.Error("one failed because another had changed the namespace")
	}
	change(w, ns, func(ns *corev1.Namespace) { ns.Finalizers = nil })
}

func TestNoNamespaceIsStuckOnAFinalizerOfTheOperator(t *testing.T) {
	w := prepare(t, role, takeover)
	// Its ClusterExternalSecret selects it no more, or is gone: the operator forgets such namespaces.
	left := w.namespace(nil, esv1.FinalizerNamespacePrefix+w.name)
	orphan := w.namespace(nil, esv1.FinalizerNamespacePrefix+"no-such-object", "example.com/other")
	w.create(w.ces(func(ces *esv1.ClusterExternalSecret) { ces.Finalizers = []string{esv1.FinalizerClusterExternalSecret} }))
	for _, name := range []string{left, orphan} {
		if err := w.c.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	w.start()
	w.gone(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: left}})
	other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: orphan}}
	w.eventually("the finalizer without an owner is gone", func() error { return holds(w, other) })
	if len(other.Finalizers) != 1 {
		t.Errorf("finalizers %v: want the other's alone", other.Finalizers)
	}
	change(w, other, func(ns *corev1.Namespace) { ns.Finalizers = nil })
	w.provisioned()
}

func TestOfWhatIsGoneItIsForgottenThatItsFinalizersWereRemoved(t *testing.T) {
	w := prepare(t, role, takeover)
	finalizer := esv1.FinalizerNamespacePrefix + w.name
	stays, goes := w.namespace(w.mine(), finalizer), w.namespace(w.mine(), finalizer)
	ces := w.ces(func(ces *esv1.ClusterExternalSecret) { ces.Finalizers = []string{esv1.FinalizerClusterExternalSecret} })
	w.create(ces)
	w.start()
	remembers := func(n int) {
		t.Helper()
		w.eventually(fmt.Sprintf("%d objects are remembered", n), func() error {
			if got := w.reconciler.Freed(); got != n {
				return fmt.Errorf("there are %d", got)
			}
			return nil
		})
	}
	remembers(3) // the object and two namespaces
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: goes}}
	if err := w.c.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	w.gone(namespace)
	w.provisioned(stays)
	remembers(2)
	if err := w.c.Delete(t.Context(), ces); err != nil {
		t.Fatal(err)
	}
	w.gone(ces)
	remembers(0)
}

func TestWithoutTheRightItIsSaidWhatHoldsNamespaces(t *testing.T) {
	w := prepare(t, role)
	ces, es := operated(w)
	w.start()
	const what = "1 namespaces carry a finalizer of External Secrets Operator that the controller may not remove: apply config/takeover"
	ready := func(status metav1.ConditionStatus) func() error {
		return func() error {
			if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(ces), ces); err != nil {
				return err
			}
			if c := conditions.Ready(ces.Status.Conditions); c.Status != status || !strings.Contains(c.Message, what) {
				return fmt.Errorf("condition %+v", c)
			}
			return nil
		}
	}
	w.eventually("the object works and says so", ready(metav1.ConditionTrue))
	change(w, ces, func(ces *esv1.ClusterExternalSecret) {
		ces.Finalizers = append(ces.Finalizers, esv1.FinalizerClusterExternalSecret)
	})
	if err := w.c.Delete(t.Context(), ces); err != nil {
		t.Fatal(err)
	}
	w.eventually("the object that is deleted waits and says so", ready(metav1.ConditionFalse))
	change(w, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: es.Namespace}}, func(ns *corev1.Namespace) { ns.Finalizers = nil })
	w.gone(ces)
}
