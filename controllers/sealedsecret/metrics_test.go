package sealedsecret_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/sealedsecret"
)

// series returns the values of a metric of the running controller by its labels, "a=1,b=2".
func (w *world) series(name string) map[string]float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			out[labelsOf(m)] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return out
}

func labelsOf(m *dto.Metric) string {
	var labels []string
	for _, l := range m.GetLabel() {
		labels = append(labels, l.GetName()+"="+l.GetValue())
	}
	return strings.Join(labels, ",")
}

func TestTheMetricsOfSealedSecretsAreThereAndGoWithTheirObjects(t *testing.T) {
	t.Parallel()
	const conditionInfo, errorsTotal = "sealed_secrets_controller_condition_info", "sealed_secrets_controller_unseal_errors_total"
	w := started(t)
	good := w.object("good", map[string]string{"k": canary})
	good.Labels = map[string]string{"app.kubernetes.io/instance": "shop"}
	bad := w.object("bad", map[string]string{"k": canary})
	bad.Spec.EncryptedData["k"] = w.object("elsewhere", map[string]string{"k": canary}).Spec.EncryptedData["k"]
	w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "taken"}})
	taken := w.object("taken", map[string]string{"k": canary})
	for _, obj := range []*v1alpha1.SealedSecret{good, bad, taken} {
		w.create(obj)
	}
	w.synced("good")
	w.failed("bad", "no key could decrypt secret (k)")
	w.failed("taken", "already exists and is not managed by SealedSecret")
	of := func(name, instance string) string {
		return "condition=Synced,name=" + name + ",namespace=" + w.ns + ",ss_app_kubernetes_io_instance=" + instance
	}
	want := map[string]float64{of("good", "shop"): 1, of("bad", ""): -1, of("taken", ""): -1}
	w.eventually("the conditions are shown", func() bool { return cmp.Equal(want, w.series(conditionInfo)) })
	failures := w.series(errorsTotal)
	for _, reason := range []string{"unseal", "unmanaged"} {
		if failures["namespace="+w.ns+",reason="+reason] < 1 {
			t.Errorf("%s: %v", reason, failures)
		}
	}
	if n := w.series("sealed_secrets_controller_unseal_requests_total")[""]; n < 3 {
		t.Errorf("%v requests for three objects", n)
	}

	// A label that changes moves the series, and an object that goes takes it along.
	update(w, good, func(s *v1alpha1.SealedSecret) { s.Labels, s.Spec.Template.Type = nil, "app/type" })
	w.failed("good", "the type of a Secret cannot be changed")
	if err := w.client.Delete(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	want = map[string]float64{of("good", ""): -1, of("taken", ""): -1}
	w.eventually("the series have moved", func() bool { return cmp.Equal(want, w.series(conditionInfo)) })
	if w.series(errorsTotal)["namespace="+w.ns+",reason=update"] < 1 {
		t.Errorf("%v", w.series(errorsTotal))
	}

	// After a restart the conditions are shown of objects for which there is nothing to do.
	w.stop()
	w.start()
	w.eventually("the conditions are shown again", func() bool { return cmp.Equal(want, w.series(conditionInfo)) })

	w.stop()
	w.deps = func(d *sealedsecret.Deps) { d.OmitNames = true }
	w.start()
	w.eventually("all objects were looked at", func() bool { return w.series("sealed_secrets_controller_unseal_requests_total")[""] >= 2 })
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == "name" }) {
				t.Errorf("%s shows %s", f.GetName(), labelsOf(m))
			}
		}
	}
	w.checkCanary()
}

func TestAnObjectThatCannotBeReadAndAStatusThatCannotBeWrittenAreCounted(t *testing.T) {
	t.Parallel()
	const errorsTotal = "sealed_secrets_controller_unseal_errors_total"
	w := newWorld(t)
	var reads, writes atomic.Int32
	w.fault = func(req *http.Request, _ http.RoundTripper) (*http.Response, error) {
		read := req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/sealedsecrets/app")
		if read && reads.Add(1) == 1 || writesStatus(req) && writes.Add(1) == 1 {
			return answer(http.StatusInternalServerError, []byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500}`)), nil
		}
		return nil, nil
	}
	w.deps = func(d *sealedsecret.Deps) { d.Handover = nil }
	w.start()
	w.create(w.object("app", map[string]string{"k": canary}))
	w.synced("app")
	want := map[string]float64{"namespace=,reason=fetch": 1, "namespace=" + w.ns + ",reason=status": 1}
	if diff := cmp.Diff(want, w.series(errorsTotal)); diff != "" {
		t.Error(diff)
	}
}

func TestTheFailuresOfANamespaceAreShownUntilItsLastObjectIsGone(t *testing.T) {
	t.Parallel()
	w := started(t)
	var objects []*v1alpha1.SealedSecret
	for _, name := range []string{"first", "last"} {
		bad := w.object(name, map[string]string{"k": canary})
		bad.Spec.EncryptedData["k"] = w.object("elsewhere", map[string]string{"k": canary}).Spec.EncryptedData["k"]
		w.create(bad)
		w.failed(name, "no key could decrypt secret (k)")
		objects = append(objects, bad)
	}
	failures := func() int {
		n := 0
		for labels, value := range w.series("sealed_secrets_controller_unseal_errors_total") {
			if strings.HasPrefix(labels, "namespace="+w.ns+",") && value > 0 {
				n++
			}
		}
		return n
	}
	for i, obj := range objects {
		if failures() == 0 {
			t.Errorf("no failures are shown though %s is there", obj.Name)
		}
		if err := w.client.Delete(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
		w.eventually(obj.Name+" is gone", func() bool {
			return len(w.series("sealed_secrets_controller_condition_info")) == len(objects)-1-i
		})
	}
	w.eventually("no failures are shown", func() bool { return failures() == 0 })
}
