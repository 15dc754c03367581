package sealedsecret

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
)

// The action of the controller's events.
const actionUnseal = "Unseal"

// report writes the status from what the steps found. Synced stays the first condition, with an empty message while all
// is well: printer columns and health checks made for Sealed Secrets read it by its index.
func report(s *scope, out flow.Outcome) flow.Verdict {
	if s.current || s.unfinished || s.outdated {
		return flow.Verdict{}
	}
	st := &s.obj.Status
	again := st.ObservedGeneration != s.obj.Generation || st.Scope != string(s.sealScope)
	st.ObservedGeneration = s.obj.Generation
	st.Scope = string(s.sealScope)
	if out.State == flow.Ready {
		fresh := st.Secret != s.written
		st.Secret, st.SealingKey = s.written, s.sealingKey
		setConditions(st, metav1.ConditionTrue, v1alpha1.ReasonUnsealed, "", s.now, again)
		if !fresh {
			return flow.Verdict{}
		}
		return flow.Verdict{Event: &flow.Event{
			Reason: v1alpha1.ReasonUnsealed, Action: actionUnseal, Message: "SealedSecret unsealed successfully",
		}}
	}
	reason := reasonFor(out)
	s.failure, s.retried = reason, out.State == flow.Failed
	if !setConditions(st, metav1.ConditionFalse, reason, out.Message, s.now, again) && !again {
		return flow.Verdict{}
	}
	return flow.Verdict{Event: failureEvent(reason, out.Message)}
}

// reasonFor keeps the reasons of this kind; whatever else ends a run is a failure of writing.
func reasonFor(out flow.Outcome) string {
	switch out.Reason {
	case v1alpha1.ReasonUnsealFailed, v1alpha1.ReasonKeyUnavailable, v1alpha1.ReasonNotManaged, v1alpha1.ReasonTemplateFailed, v1alpha1.ReasonInvalid:
		return out.Reason
	default:
		return v1alpha1.ReasonUpdateFailed
	}
}

// failedUpdate begins messages of the condition, and none of the events.
const failedUpdate = "failed update: "

// failureEvent announces a failure under the two reasons that Sealed Secrets has, in its words.
func failureEvent(reason, message string) *flow.Event {
	switch reason {
	case v1alpha1.ReasonUpdateFailed, v1alpha1.ReasonNotManaged:
		return &flow.Event{Reason: v1alpha1.ReasonUpdateFailed, Action: actionUnseal, Message: strings.TrimPrefix(message, failedUpdate), Warning: true}
	default:
		return &flow.Event{Reason: v1alpha1.ReasonUnsealFailed, Action: actionUnseal, Message: "Failed to unseal: " + message, Warning: true}
	}
}

// setConditions sets Synced and Ready alike, in this order, and says whether anything changed. Conditions of others stay
// behind them. again says that they are about an object that has changed, and so are updated whatever they say.
func setConditions(st *v1alpha1.SealedSecretStatus, status metav1.ConditionStatus, reason, message string, now time.Time, again bool) bool {
	conditions := make([]v1alpha1.Condition, 0, len(st.Conditions)+2)
	changed := false
	for _, t := range []v1alpha1.ConditionType{v1alpha1.ConditionSynced, v1alpha1.ConditionReady} {
		next := v1alpha1.Condition{Type: t, Status: status, Reason: reason, Message: message}
		before := find(st.Conditions, t)
		next.LastTransitionTime, next.LastUpdateTime = before.LastTransitionTime, before.LastUpdateTime
		if before != next {
			changed = true
		}
		if before != next || again {
			next.LastUpdateTime = metav1.NewTime(now)
		}
		if before.Status != status {
			next.LastTransitionTime = metav1.NewTime(now)
		}
		conditions = append(conditions, next)
	}
	for _, c := range st.Conditions {
		if c.Type != v1alpha1.ConditionSynced && c.Type != v1alpha1.ConditionReady {
			conditions = append(conditions, c)
		}
	}
	st.Conditions = conditions
	return changed
}

// find returns the condition of a type, an empty one when there is none.
func find(conditions []v1alpha1.Condition, t v1alpha1.ConditionType) v1alpha1.Condition {
	for _, c := range conditions {
		if c.Type == t {
			return c
		}
	}
	return v1alpha1.Condition{}
}

// reasonOf returns why the object is not synced; "" when it is.
func reasonOf(obj *v1alpha1.SealedSecret) string {
	if c := find(obj.Status.Conditions, v1alpha1.ConditionSynced); c.Status == metav1.ConditionFalse {
		return c.Reason
	}
	return ""
}
