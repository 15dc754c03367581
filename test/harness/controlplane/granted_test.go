package controlplane_test

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

func TestWhatIsGrantedMayBeDoneAtOnce(t *testing.T) {
	t.Parallel()
	cp := controlplane.New(t)
	ns := cp.Namespace(t)
	for range 20 {
		another := cp.Namespace(t)
		cfg, err := cp.UserConfig("reader-of-" + another)
		if err != nil {
			t.Fatal(err)
		}
		cfg.QPS = -1
		clients, err := kubernetes.NewForConfig(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = clients.Discovery().ServerVersion() // so that it is connected
		rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list"}}
		if err := cp.Allow(t.Context(), controlplane.User("reader-of-"+another), another, rule); err != nil {
			t.Fatal(err)
		}
		if _, err := clients.CoreV1().Secrets(another).List(t.Context(), metav1.ListOptions{}); err != nil {
			t.Error(err)
		}
	}
	// Roles of the cluster grant paths, too, but not in a namespace.
	for namespace, role := range map[string]string{ns: "cluster-admin", "": "system:discovery"} {
		if err := cp.Bind(t.Context(), controlplane.User("admin-of-"+ns), namespace, "ClusterRole", role); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}
