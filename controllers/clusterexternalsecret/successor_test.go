package clusterexternalsecret_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

// collector is the user as which the garbage collector deletes.
const collector = "system:serviceaccount:kube-system:generic-garbage-collector"

// noGarbageCollection keeps the garbage collector from the ExternalSecrets of the selected namespaces, which it then goes on
// wanting to delete, until the end of the test.
func (w *world) noGarbageCollection(es *esv1.ExternalSecret) {
	w.t.Helper()
	mine := &metav1.LabelSelector{MatchLabels: w.mine()}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: w.name}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{NamespaceSelector: mine, ResourceRules: []admissionv1.NamedRuleWithOperations{{
			RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Delete},
				Rule:       admissionv1.Rule{APIGroups: []string{esv1.Group}, APIVersions: []string{"*"}, Resources: []string{"externalsecrets"}},
			},
		}}},
		Validations: []admissionv1.Validation{{Expression: fmt.Sprintf("request.userInfo.username != %q", collector)}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: w.name}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: w.name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}}
	w.create(policy, binding)
	w.t.Cleanup(func() {
		for _, obj := range []client.Object{binding, policy} {
			if err := w.c.Delete(context.WithoutCancel(w.t.Context()), obj); err != nil {
				w.t.Error(err)
			}
		}
	})
	cfg := rest.CopyConfig(w.cp.Config())
	cfg.Impersonate.UserName = collector
	c, err := client.New(cfg, client.Options{Scheme: scheme(w.t)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.eventually("the garbage collector may not delete", func() error {
		err := c.Delete(w.t.Context(), es.DeepCopy(), client.DryRunAll)
		if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
			return nil
		}
		return fmt.Errorf("it may: %w", err)
	})
}

func TestAClusterExternalSecretThatIsMadeAnewTakesTheExternalSecretsOfItsPredecessor(t *testing.T) {
	w := newWorld(t)
	ns := w.namespace(w.mine())
	ces := w.ces(func(ces *esv1.ClusterExternalSecret) {
		ces.Spec.ExternalSecretMetadata.Labels = map[string]string{"team": "a", "old": "b"}
	})
	w.create(ces)
	w.provisioned(ns)
	// What was applied belongs to other fields than what was created.
	change(w, ces, func(ces *esv1.ClusterExternalSecret) { ces.Spec.ExternalSecretMetadata.Labels["team"] = "b" })
	w.eventually("the label is applied", func() error {
		if got := w.externalSecret(ns, "db").Labels["team"]; got != "b" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	before := w.externalSecret(ns, "db")
	w.noGarbageCollection(before)
	if err := w.c.Delete(t.Context(), ces); err != nil {
		t.Fatal(err)
	}
	w.gone(ces)
	anew := w.ces(func(ces *esv1.ClusterExternalSecret) {
		ces.Spec.ExternalSecretMetadata.Labels = map[string]string{"team": "c"}
	})
	w.create(anew)
	if got := w.provisioned(ns); len(got.Status.FailedNamespaces) > 0 {
		t.Errorf("failed: %+v", got.Status.FailedNamespaces)
	}
	w.eventually("the ExternalSecret is that of the new object", func() error {
		es := w.externalSecret(ns, "db")
		if es.UID != before.UID || !metav1.IsControlledBy(es, anew) || len(es.OwnerReferences) != 1 || fmt.Sprint(es.Labels) != "map[team:c]" {
			return fmt.Errorf("%s of %+v with labels %v", es.UID, es.OwnerReferences, es.Labels)
		}
		return nil
	})
}

func TestALeaderWhoseCacheIsBehindTakesNothingFromTheSuccessor(t *testing.T) {
	w := prepare(t, role)
	ns := w.namespace(w.mine())
	old := w.ces()
	w.create(old)
	if err := w.c.Delete(t.Context(), old.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	w.gone(old.DeepCopy())
	anew := w.ces()
	w.create(anew)
	es := &esv1.ExternalSecret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "db", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "external-secrets.io/v1", Kind: esv1.KindClusterExternalSecret, Name: anew.Name, UID: anew.UID, Controller: ptr.To(true),
	}}}, Spec: anew.Spec.ExternalSecretSpec}
	w.create(es)
	w.stale.Store(old)
	w.start()
	w.eventually("the leader has tried, and cannot write the status of what is gone", func() error {
		if !strings.Contains(w.logs.String(), "Reconciler error") {
			return errors.New("it has not")
		}
		return nil
	})
	if got := w.externalSecret(ns, "db"); !metav1.IsControlledBy(got, anew) {
		t.Errorf("the ExternalSecret belongs to %+v", got.OwnerReferences)
	}
	w.stale.Store(nil)
	if got := w.provisioned(ns); len(got.Status.FailedNamespaces) > 0 {
		t.Errorf("failed: %+v", got.Status.FailedNamespaces)
	}
}

func TestAnExternalSecretThatGoesWithThePredecessorIsMadeAnewWhenItIsGone(t *testing.T) {
	const hold = "example.com/hold"
	w := newWorld(t)
	ns := w.namespace(w.mine())
	ces := w.ces()
	w.create(ces)
	w.provisioned(ns)
	old := w.externalSecret(ns, "db")
	change(w, old, func(es *esv1.ExternalSecret) { es.Finalizers = append(es.Finalizers, hold) })
	if err := w.c.Delete(t.Context(), ces, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	w.eventually("the garbage collector deletes the ExternalSecret", func() error {
		if w.externalSecret(ns, "db").DeletionTimestamp.IsZero() {
			return fmt.Errorf("it does not")
		}
		return nil
	})
	w.gone(ces)
	w.create(w.ces())
	const why = "external secret already exists in namespace: it is being deleted with the ClusterExternalSecret that had this name before, and is made anew when it is gone"
	if f := w.provisioned().Status.FailedNamespaces; len(f) != 1 || f[0].Reason != why {
		t.Errorf("failed: %+v", f)
	}
	change(w, old, func(es *esv1.ExternalSecret) { es.Finalizers = nil })
	w.provisioned(ns)
	if es := w.externalSecret(ns, "db"); es.UID == old.UID || ptr.Deref(es.OwnerReferences[0].Controller, false) == false {
		t.Errorf("the ExternalSecret is %s of %+v", es.UID, es.OwnerReferences)
	}
}
