package install_test

import (
	"crypto/sha3"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
)

// operatorHash is the hash of External Secrets Operator 2.9 (runtime/esutils.ObjectHash).
func operatorHash(object any) string {
	sum := sha3.Sum224(fmt.Appendf(nil, "%+v", object))
	return hex.EncodeToString(sum[:])
}

// operator writes objects as External Secrets Operator 2.9 does: the same labels, annotations, owners, finalizers, field
// managers and statuses, and the fields that its definitions add by default.
type operator struct{ *world }

func (o operator) create(manager string, obj client.Object) {
	o.t.Helper()
	if err := o.c.Create(o.t.Context(), obj, client.FieldOwner(manager)); err != nil {
		o.t.Fatalf("create %T %s: %v", obj, obj.GetName(), err)
	}
}

func (o operator) status(obj client.Object) {
	o.t.Helper()
	if err := o.c.Status().Update(o.t.Context(), obj, client.FieldOwner("external-secrets")); err != nil {
		o.t.Fatalf("status of %T %s: %v", obj, obj.GetName(), err)
	}
}

// stores makes a store of each kind, validated.
func (o operator) stores(namespace string) {
	valid := esv1.SecretStoreStatus{Capabilities: esv1.StoreReadWrite, Conditions: []esv1.Condition{
		{Type: esv1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Valid", Message: "store validated", LastTransitionTime: metav1.Now()}}}
	ss := &esv1.SecretStore{ObjectMeta: named(namespace, "store"), Spec: storeSpec()}
	css := &esv1.ClusterSecretStore{ObjectMeta: named("", namespace), Spec: storeSpec()}
	o.create("kubectl", ss)
	o.create("kubectl", css)
	ss.Status, css.Status = valid, valid
	o.status(ss)
	o.status(css)
}

// externalSecret makes an ExternalSecret and its Secret.
func (o operator) externalSecret(manager string, es *esv1.ExternalSecret) *corev1.Secret {
	es.Finalizers = []string{"externalsecrets.external-secrets.io/externalsecret-cleanup"}
	o.create(manager, es)
	data := map[string][]byte{"password": []byte(value)}
	secret := &corev1.Secret{ObjectMeta: named(es.Namespace, es.Name), Data: data, Type: corev1.SecretTypeOpaque}
	secret.Labels = map[string]string{
		"reconcile.external-secrets.io/managed":    "true",
		"reconcile.external-secrets.io/created-by": operatorHash(es.Namespace + "/" + es.Name),
	}
	for key, v := range es.Labels {
		secret.Labels[key] = v
	}
	secret.Annotations = map[string]string{"reconcile.external-secrets.io/data-hash": operatorHash(data)}
	secret.OwnerReferences = []metav1.OwnerReference{{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: es.Name, UID: es.UID,
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}}
	o.create("externalsecrets.external-secrets.io/"+es.Name, secret)
	es.Status = esv1.ExternalSecretStatus{
		RefreshTime: metav1.NewTime(time.Now().Add(-time.Second)), Binding: esv1.Binding{Name: es.Name},
		SyncedResourceVersion: fmt.Sprintf("%d-%s", es.Generation, operatorHash(struct{ annotations, labels map[string]string }{es.Annotations, es.Labels})),
		Conditions: []esv1.Condition{{Type: esv1.ConditionReady, Status: metav1.ConditionTrue, Reason: "SecretSynced", Message: "secret synced",
			LastTransitionTime: metav1.Now()}},
	}
	o.status(es)
	return secret
}

// spec is a spec with what the operator's definitions add.
func (o operator) spec(store esv1.StoreRef) esv1.ExternalSecretSpec {
	spec := esSpec(store)
	spec.RefreshInterval = &metav1.Duration{Duration: 8760 * time.Hour}
	spec.Target.CreationPolicy, spec.Target.DeletionPolicy = "Owner", "Retain"
	spec.Data[0].RemoteRef.ConversionStrategy, spec.Data[0].RemoteRef.DecodingStrategy, spec.Data[0].RemoteRef.MetadataPolicy = "Default", "None", "None"
	return spec
}

func TestAClusterOfTheOperatorIsTakenOverWithoutARewrite(t *testing.T) {
	w := install(t, "default", "takeover")
	o, name := operator{w}, w.cp.Namespace(t)
	ns := &corev1.Namespace{ObjectMeta: named("", name)}
	if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(ns), ns); err != nil {
		t.Fatal(err)
	}
	ns.Finalizers = append(ns.Finalizers, "externalsecrets.external-secrets.io/ces-"+name)
	if err := w.c.Update(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	o.stores(name)
	alone := &esv1.ExternalSecret{ObjectMeta: named(name, "alone"), Spec: o.spec(esv1.StoreRef{Name: "store", Kind: "SecretStore"})}
	alone.Labels = map[string]string{"team": "a"}
	ces := &esv1.ClusterExternalSecret{ObjectMeta: named("", name)}
	ces.Finalizers = []string{"externalsecrets.external-secrets.io/clusterexternalsecret-cleanup"}
	ces.Spec = esv1.ClusterExternalSecretSpec{ExternalSecretName: "many", Namespaces: []string{name}, ExternalSecretSpec: o.spec(esv1.StoreRef{Name: name, Kind: "ClusterSecretStore"})}
	o.create("kubectl", ces)
	many := &esv1.ExternalSecret{ObjectMeta: named(name, "many"), Spec: ces.Spec.ExternalSecretSpec}
	many.OwnerReferences = []metav1.OwnerReference{{APIVersion: "external-secrets.io/v1", Kind: "ClusterExternalSecret", Name: name, UID: ces.UID,
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}}
	secrets := []*corev1.Secret{o.externalSecret("kubectl", alone), o.externalSecret("external-secrets", many)}
	ces.Status = esv1.ClusterExternalSecretStatus{ExternalSecretName: "many", ProvisionedNamespaces: []string{name},
		Conditions: []esv1.Condition{{Type: esv1.ConditionReady, Status: metav1.ConditionTrue}}}
	o.status(ces)

	w.run()
	w.eventually("all is taken over", func() error {
		for _, obj := range []client.Object{alone, many, ces, ns} {
			if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
				return err
			}
		}
		if alone.Status.Target.UID == "" || many.Status.Target.UID == "" || conditions.Ready(ces.Status.Conditions).Reason != esv1.ReasonProvisioned {
			return fmt.Errorf("alone %+v, many %+v, ClusterExternalSecret %+v", alone.Status, many.Status, ces.Status)
		}
		if len(ns.Finalizers)+len(ces.Finalizers) > 0 {
			return fmt.Errorf("finalizers %v and %v", ns.Finalizers, ces.Finalizers)
		}
		return nil
	})
	for _, before := range secrets {
		after := &corev1.Secret{}
		if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(before), after); err != nil {
			t.Fatal(err)
		}
		if after.UID != before.UID || after.ResourceVersion != before.ResourceVersion {
			t.Errorf("Secret %s was rewritten", before.Name)
		}
	}
	if alone.Generation != 1 || many.Generation != 1 {
		t.Errorf("generations %d and %d: a spec was rewritten", alone.Generation, many.Generation)
	}
	w.mu.Lock()
	for _, what := range w.written {
		if strings.Contains(what, "/secrets/") && !strings.Contains(what, system) {
			t.Errorf("a write to a Secret: %s", what)
		}
	}
	w.mu.Unlock()
	w.noRefusal()
}
