package gitsync

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
)

// report writes the status of a GitSync from what the steps found.
func report(clock func() time.Time) flow.Report[scope] {
	return func(s *scope, out flow.Outcome) flow.Verdict {
		now, st := clock(), &s.sync.Status
		before := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionReady)
		if before != nil {
			before = before.DeepCopy()
		}
		st.ObservedGeneration = s.sync.Generation
		if s.state.revision != "" {
			st.AttemptedRevision = s.state.revision
		}
		if s.complete || s.idle {
			st.Revision = s.state.settled.revision
		}
		if s.digest != "" {
			st.BuildDigest = s.digest
		}
		setConditions(s, out)
		ready := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionReady)
		if out.State == flow.Ready && !s.idle || out.State != flow.Ready && out.Reason != v1alpha1.ReasonProgressing {
			remember(s, ready.Reason, now)
		}
		again := next(s.sync, s.state, now)
		for _, ref := range s.drifts {
			again = min(again, max(catchUp, s.state.memory.RepairDelay(ref, now)))
		}
		return flow.Verdict{Next: again, Event: eventOf(s, out, before, ready)}
	}
}

// catchUp is when to look again, without asking anybody, for objects that may not be as they were applied.
const catchUp = 2 * time.Second

// setConditions sets Ready, and Reconciling or Stalled only while they are True, as kstatus wants them.
func setConditions(s *scope, out flow.Outcome) {
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&s.sync.Status.Conditions, metav1.Condition{
			Type: kind, Status: status, Reason: reason, Message: bounded(message), ObservedGeneration: s.sync.Generation,
		})
	}
	remove := func(kind string) { meta.RemoveStatusCondition(&s.sync.Status.Conditions, kind) }
	switch out.State {
	case flow.Ready:
		remove(v1alpha1.ConditionReconciling)
		remove(v1alpha1.ConditionStalled)
		set(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded, "applied revision "+s.sync.Status.Revision)
	case flow.Stalled:
		remove(v1alpha1.ConditionReconciling)
		set(v1alpha1.ConditionStalled, metav1.ConditionTrue, out.Reason, out.Message)
		set(v1alpha1.ConditionReady, metav1.ConditionFalse, out.Reason, out.Message)
	default:
		remove(v1alpha1.ConditionStalled)
		ready, reason := metav1.ConditionFalse, v1alpha1.ReasonProgressingWithRetry
		if out.Reason == v1alpha1.ReasonProgressing {
			ready, reason = metav1.ConditionUnknown, v1alpha1.ReasonProgressing
		}
		set(v1alpha1.ConditionReconciling, metav1.ConditionTrue, reason, out.Message)
		set(v1alpha1.ConditionReady, ready, out.Reason, out.Message)
	}
	switch {
	case len(healthChecks(s.sync)) == 0:
		remove(v1alpha1.ConditionHealthy)
	case !s.checkedHealth: // as it was
	case len(s.unhealthy) == 0:
		set(v1alpha1.ConditionHealthy, metav1.ConditionTrue, v1alpha1.ReasonHealthy, "all objects are healthy")
	default:
		reason := out.Reason
		if reason == "" {
			reason = v1alpha1.ReasonHealthCheckFailed
		}
		set(v1alpha1.ConditionHealthy, metav1.ConditionFalse, reason, few(s.unhealthy))
	}
}

// reportSuspended writes the status of a GitSync that is suspended, and announces that once.
func reportSuspended(s *scope, _ flow.Outcome) flow.Verdict {
	st := &s.sync.Status
	before := st.DeepCopy()
	st.ObservedGeneration = s.sync.Generation
	meta.RemoveStatusCondition(&st.Conditions, v1alpha1.ConditionReconciling)
	if meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionReady) == nil {
		meta.SetStatusCondition(&st.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionReady, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonSuspended,
			Message: "spec.suspend is set", ObservedGeneration: s.sync.Generation,
		})
	}
	if equality.Semantic.DeepEqual(before, st) {
		return flow.Verdict{}
	}
	return flow.Verdict{Event: &flow.Event{
		Reason: v1alpha1.ReasonSuspended, Action: "Suspend", Message: "nothing is applied while spec.suspend is set",
	}}
}

// bounded keeps a message within what a condition should hold.
func bounded(message string) string {
	const most = 2048
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most], "") + "..."
}

// historyLength is how many attempts the status keeps.
const historyLength = 5

// remember puts the attempt at the head of the history unless it is what the head says already.
func remember(s *scope, reason string, now time.Time) {
	st := &s.sync.Status
	snap := v1alpha1.Snapshot{
		Digest: st.BuildDigest, Revision: st.AttemptedRevision, Status: reason,
		At: metav1.NewTime(now.Truncate(time.Second)), Duration: metav1.Duration{Duration: now.Sub(s.began).Round(time.Millisecond)},
	}
	if snap.Revision == "" {
		return // Git was never reached; the conditions say why
	}
	if len(st.History) > 0 {
		head := st.History[0]
		if head.Digest == snap.Digest && head.Revision == snap.Revision && head.Status == snap.Status {
			return
		}
	}
	st.History = append([]v1alpha1.Snapshot{snap}, st.History...)
	st.History = slices.Clip(st.History[:min(len(st.History), historyLength)])
}

// eventOf tells what was changed in the cluster, or what is newly wrong; nil for anything else.
func eventOf(s *scope, out flow.Outcome, before, ready *metav1.Condition) *flow.Event {
	changed := counts(s.results)
	failing := out.State != flow.Ready && out.Reason != v1alpha1.ReasonProgressing && out.Reason != v1alpha1.ReasonDependencyNotReady
	switch {
	case failing && (before == nil || before.Reason != ready.Reason || before.Message != ready.Message):
		message := ready.Message
		if changed != "" {
			message = fmt.Sprintf("%s (%s)", message, changed)
		}
		return &flow.Event{Reason: out.Reason, Action: "Reconcile", Message: message, Warning: true}
	case changed != "":
		reason := v1alpha1.ReasonSucceeded
		if out.State != flow.Ready {
			reason = v1alpha1.ReasonProgressing
		}
		return &flow.Event{Reason: reason, Action: "Apply", Message: s.state.revision + ": " + changed}
	default:
		return nil
	}
}
