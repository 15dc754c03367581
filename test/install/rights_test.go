package install_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// never is what no install may give.
func never() map[string]bool {
	return map[string]bool{
		"create /serviceaccounts/token kube-system": false, "create /serviceaccounts/token team-a": false,
		"create /pods team-a": false, "create /pods/exec kube-system": false, "get /nodes/proxy": false, "patch /namespaces": false,
		"create rbac.authorization.k8s.io/clusterrolebindings": false, "escalate rbac.authorization.k8s.io/clusterroles": false,
		"patch admissionregistration.k8s.io/validatingwebhookconfigurations": false, "impersonate /users": false,
	}
}

func TestTheRightsOfTheInstallForAllNamespacesAreEnough(t *testing.T) {
	w := install(t, "default")
	ns, other := w.cp.Namespace(t), w.cp.Namespace(t)
	w.may(never())
	w.may(map[string]bool{"list /secrets kube-system": true, "list external-secrets.io/clustersecretstores": true})
	w.run()
	w.create(&esv1.SecretStore{ObjectMeta: named(ns, "store"), Spec: storeSpec()},
		&esv1.ClusterSecretStore{ObjectMeta: named("", ns), Spec: storeSpec()},
		&esv1.ExternalSecret{ObjectMeta: named(ns, "db"), Spec: esSpec(esv1.StoreRef{Name: "store"})},
		&esv1.ClusterExternalSecret{ObjectMeta: named("", ns), Spec: esv1.ClusterExternalSecretSpec{
			Namespaces: []string{ns, other}, ExternalSecretSpec: esSpec(esv1.StoreRef{Name: ns, Kind: esv1.KindClusterSecretStore})}})
	w.holds(ns, "db")
	w.holds(ns, ns)
	w.holds(other, ns)
	w.sealingKey()
	w.ready()
	w.noRefusal()
}

func TestTheRightsInSomeNamespacesAreEnoughAndReachNoOther(t *testing.T) {
	if err := controlplane.New(t).Apply(t.Context(), "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-a}\n"); err != nil {
		t.Fatal(err)
	}
	w := install(t, "namespaced")
	w.may(never())
	w.may(map[string]bool{
		"list /secrets team-a": true, "patch /secrets team-a": true,
		"list /secrets": false, "get /secrets kube-system": false, "list /secrets default": false, "create /secrets default": false,
		"delete /secrets " + system: false, "list /namespaces": false, "list external-secrets.io/clustersecretstores": false,
		"create external-secrets.io/externalsecrets team-a": false, "list external-secrets.io/externalsecrets default": false,
		"impersonate /serviceaccounts kube-system": false, "impersonate /serviceaccounts team-a": true,
	})
	other := w.cp.Namespace(t)
	w.run("--watch-namespaces=team-a")
	for _, ns := range []string{"team-a", other} {
		w.create(&esv1.SecretStore{ObjectMeta: named(ns, "store"), Spec: storeSpec()},
			&esv1.ExternalSecret{ObjectMeta: named(ns, "db"), Spec: esSpec(esv1.StoreRef{Name: "store"})})
	}
	reaching := &esv1.ExternalSecret{ObjectMeta: named("team-a", "reaching"), Spec: esSpec(esv1.StoreRef{Name: "store", Kind: esv1.KindClusterSecretStore})}
	w.create(reaching)
	w.holds("team-a", "db")
	w.eventually("the store that is not served is named", func() error {
		if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(reaching), reaching); err != nil {
			return err
		}
		c := conditions.Ready(reaching.Status.Conditions)
		if c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "ClusterSecretStore store is not served") {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
	w.sealingKey()
	es := &esv1.ExternalSecret{}
	if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: other, Name: "db"}, es); err != nil || len(es.Status.Conditions) > 0 {
		t.Errorf("an object of another namespace was served: %v, %+v", err, es.Status)
	}
	w.ready()
	w.noRefusal()
}

// sealingKey waits until the controller has made its first key, in its own namespace.
func (w *world) sealingKey() {
	w.t.Helper()
	w.eventually("a sealing key", func() error {
		var keys corev1.SecretList
		if err := w.c.List(w.t.Context(), &keys, client.InNamespace(system)); err != nil {
			return err
		}
		if len(keys.Items) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
}
