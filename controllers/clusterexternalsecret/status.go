package clusterexternalsecret

import (
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
)

// report writes the status from what the steps found. An object that is being deleted is reported on only while something
// holds it.
func report(s *scope, out flow.Outcome) flow.Verdict {
	if s.gone && out.State == flow.Ready {
		return flow.Verdict{}
	}
	status := &s.ces.Status
	if s.chosen {
		status.ExternalSecretName = nameOf(s.ces)
		status.ProvisionedNamespaces, status.FailedNamespaces = s.provisioned, failures(s.failed)
	}
	condition := esv1.Condition{
		Type: esv1.ConditionReady, Status: metav1.ConditionTrue, Reason: esv1.ReasonProvisioned,
		Message: fmt.Sprintf("ExternalSecret %s is in %d namespaces", nameOf(s.ces), len(s.provisioned)),
	}
	var verdict flow.Verdict
	if out.State == flow.Ready {
		status.SyncedResourceVersion, verdict.Next = s.version, intervalOf(&s.ces.Spec)
		if s.held > 0 {
			condition.Message += "; " + errHeld(s.held).Error()
		}
	} else {
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, out.Reason, out.Message
	}
	status.Conditions = conditions.Set(status.Conditions, condition, s.now)
	status.ObservedGeneration = s.ces.Generation
	return verdict
}

// failures returns what went wrong in the form of the status.
func failures(failed map[string]error) []esv1.NamespaceFailure {
	var out []esv1.NamespaceFailure
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		out = append(out, esv1.NamespaceFailure{Namespace: name, Reason: failed[name].Error()})
	}
	return out
}
