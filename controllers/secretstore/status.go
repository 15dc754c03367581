package secretstore

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
)

// report writes the store's status. A store of another controller and one that was not checked keep theirs.
func report(s *scope, out flow.Outcome) flow.Verdict {
	if s.foreign {
		return flow.Verdict{Foreign: true}
	}
	var verdict flow.Verdict
	if out.State == flow.Ready {
		verdict.Next = s.due.Sub(s.now)
	}
	if s.fresh {
		return verdict
	}
	before := conditions.Ready(s.status.Conditions)
	now := conditionOf(s, out)
	s.status.Conditions = conditions.Set(s.status.Conditions, now, s.now)
	s.status.ObservedGeneration, s.status.Unavailable = s.obj.GetGeneration(), s.unavailable
	if out.State == flow.Ready {
		s.status.Credentials = s.credentials
	}
	s.status.Capabilities = capabilitiesOf(s, out, s.status.Capabilities)
	if before.Status != now.Status || before.Reason != now.Reason || before.Message != now.Message {
		verdict.Event = &flow.Event{
			Reason: now.Reason, Action: "Validate", Message: now.Message, Warning: now.Status != metav1.ConditionTrue,
		}
	}
	return verdict
}

// capabilitiesOf says what can be done with a store: every one that there is a provider for can be read, and one that was
// asked can be written to when its session knows how. What was found out holds while it cannot be asked.
func capabilitiesOf(s *scope, out flow.Outcome, before esv1.StoreCapabilities) esv1.StoreCapabilities {
	switch {
	case s.store.Provider == nil:
		return ""
	case s.pushes, out.State != flow.Ready && before == esv1.StoreReadWrite:
		return esv1.StoreReadWrite
	default:
		return esv1.StoreReadOnly
	}
}

func conditionOf(s *scope, out flow.Outcome) esv1.Condition {
	c := esv1.Condition{Type: esv1.ConditionReady, Status: metav1.ConditionTrue}
	switch {
	case out.State != flow.Ready:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, out.Reason, out.Message
	case s.referent:
		c.Reason = esv1.ReasonValidationUnknown
		c.Message = fmt.Sprintf("%s takes its credentials from the namespace that uses it, so it is validated there", s.name)
	case s.unverified != "":
		c.Reason, c.Message = esv1.ReasonValidationUnknown, s.unverified
	default:
		c.Reason, c.Message = esv1.ReasonStoreValid, "store validated"
	}
	return c
}
