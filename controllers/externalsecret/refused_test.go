package externalsecret_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
)

func TestAQuotaThatIsUsedUpIsNamedAndNoObstacleAnyMoreWhenItIsRaised(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "no-more"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceSecrets: resource.MustParse("0")}},
	}
	w.create(quota)
	w.eventually("the quota counts", func() error {
		err := w.c.Get(t.Context(), client.ObjectKeyFromObject(quota), quota)
		if err == nil && quota.Status.Hard == nil {
			err = errors.New("not yet")
		}
		return err
	})
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("db"))
	w.notReady("db", "write Secret "+w.ns+"/db: the API server answered Forbidden: ResourceQuota no-more is used up: raise it, or delete what nobody needs")
	change(w, quota, func(q *corev1.ResourceQuota) { q.Spec.Hard[corev1.ResourceSecrets] = resource.MustParse("9") })
	w.ready("db")
	w.holds("db", map[string]string{"password": canary})
}

func TestAnAdmissionPolicyThatRefusesTheTargetIsNamedAndNotAskedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`1"}`)
	w.store("store")
	w.create(w.externalSecret("db"))
	w.ready("db")
	name := w.ns + ".example.com"
	fail, all := admissionv1.Fail, admissionv1.AllScopes
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: &fail,
		MatchConstraints: &admissionv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.ns}},
			ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}, Scope: &all},
			}}},
		},
		Validations: []admissionv1.Validation{{Expression: "false", MessageExpression: "string(object.data.password)"}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}}
	w.create(policy, binding)
	w.eventually("the policy is in force", func() error {
		try := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "try"}, Data: map[string][]byte{"password": nil}}
		if w.c.Create(t.Context(), try, client.DryRunAll) == nil {
			return errors.New("not yet")
		}
		return nil
	})
	w.traffic.reset()
	w.backend.put("db", `{"password":"`+canary+`2"}`)
	w.sync("db")
	w.notReady("db", "write Secret "+w.ns+"/db: the API server answered Invalid: ValidatingAdmissionPolicy "+name+" refuses it: change the one or the other; the target holds")
	if reads := w.traffic.matching(http.MethodGet)["GET /api/v1/namespaces/"+w.ns+"/secrets/db"]; reads > 0 {
		t.Errorf("what a policy refuses was read %d times to find out what is wrong with it", reads)
	}
	if err := errors.Join(w.c.Delete(t.Context(), binding), w.c.Delete(t.Context(), policy)); err != nil {
		t.Fatal(err)
	}
	w.ready("db")
	w.holds("db", map[string]string{"password": canary + "2"})
}

func TestASharedTargetThatIsFullSaysThatOthersFillIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	full := w.foreign("db", map[string][]byte{"theirs": bytes.Repeat([]byte("x"), corev1.MaxSecretSize-1)})
	w.backend.put("db", `{"password":"`+canary+`"}`)
	w.store("store")
	w.create(w.externalSecret("db", func(es *esv1.ExternalSecret) { es.Spec.Target.CreationPolicy = esv1.CreationCreateOrMerge }))
	w.notReady("db", "the API server answered Invalid for data; a Secret holds 1 MiB at most, together with what others write to it: take keys out, or choose another spec.target.name")
	change(w, full, func(s *corev1.Secret) { s.Data = map[string][]byte{"theirs": []byte("less")} })
	w.ready("db")
	w.holds("db", map[string]string{"password": canary, "theirs": "less"})
}

func TestAnObjectThatAsksForAnIntervalOfNearlyNothingIsReadEachSecond(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.backend.put("db", `{"password":"`+canary+`1"}`)
	w.store("store")
	w.create(w.externalSecret("db", every(time.Nanosecond)))
	w.ready("db")
	before, began, asked := w.backend.asked()["db"], time.Now(), 0
	w.eventually("it is read again and again", func() error {
		if asked = w.backend.asked()["db"] - before; asked < 4 {
			return fmt.Errorf("%d times", asked)
		}
		return nil
	})
	if took := time.Since(began); asked > int(took.Seconds())+2 { // one that is late is followed by one that is not
		t.Errorf("the store was asked %d times in %s", asked, took)
	}
	w.backend.put("db", `{"password":"`+canary+`2"}`)
	w.holds("db", map[string]string{"password": canary + "2"})
}
