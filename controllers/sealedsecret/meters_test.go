package sealedsecret

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

// A process may run one controller after another, and nobody tells the next of objects that went between them.
func TestWhatIsShownOfObjectsGoesWithTheController(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	const condition, failures = "sealed_secrets_controller_condition_info", "sealed_secrets_controller_unseal_errors_total"
	var m *meters
	for range 2 {
		var err error
		if m, err = newMeters(registry, false); err != nil {
			t.Fatal(err)
		}
		if n, err := testutil.GatherAndCount(registry, condition, failures); n != 0 || err != nil {
			t.Errorf("%d series of objects that the controller has not seen, %v", n, err)
		}
		obj := &v1alpha1.SealedSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "db"}}
		obj.Status.Conditions = []v1alpha1.Condition{{Type: v1alpha1.ConditionSynced, Status: metav1.ConditionFalse}}
		m.observe(obj)
		m.failed("", "team")
		m.requests.Inc()
		if n, err := testutil.GatherAndCount(registry, condition, failures); n != 2 || err != nil {
			t.Errorf("%d series of an object, %v", n, err)
		}
	}
	if n := testutil.ToFloat64(m.requests); n != 2 {
		t.Errorf("%v requests are counted of both", n)
	}
}
