package externalsecret

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
)

// The messages of Ready=True, and of the event of a deletion, which are External Secrets Operator's.
const (
	messageSynced   = "secret synced"
	messageDeleted  = "secret deleted due to DeletionPolicy=Delete"
	messageMissing  = "secret will not be created due to CreationPolicy=Merge"
	messageRetained = "secret retained due to DeletionPolicy=Retain"
)

// report returns the function that writes the status. Heartbeat is how old status.refreshTime may become while nothing
// changes.
func report(heartbeat time.Duration) flow.Report[scope] {
	return func(s *scope, out flow.Outcome) flow.Verdict {
		if s.ignored || s.early {
			return flow.Verdict{Foreign: s.ignored}
		}
		if s.held {
			return flow.Verdict{Synced: s.knownAt()}
		}
		verdict := flow.Verdict{}
		if out.State == flow.Ready && s.plan.refresh {
			verdict.Due = s.dueSince()
		}
		before, seen := conditions.Ready(s.es.Status.Conditions), s.es.Status.ObservedGeneration
		if read := s.memo.refreshed; out.State != flow.Ready && read.After(s.es.Status.RefreshTime.Time) && !read.After(s.now) {
			s.es.Status.RefreshTime = metav1.NewTime(read).Rfc3339Copy() // from now on it says how old the values are
		}
		now := conditionOf(s, out, before)
		if out.State == flow.Ready && s.plan.refresh {
			s.recordSync(heartbeat, before)
		}
		if out.State == flow.Ready && s.plan.verify && !s.plan.refresh {
			s.es.Status.Target = esv1.TargetStatus{UID: s.target.uid, ResourceVersion: s.target.resourceVersion}
		}
		s.es.Status.Conditions = conditions.Set(s.es.Status.Conditions, now, s.now)
		s.es.Status.ObservedGeneration = s.es.Generation
		verdict.Synced = s.knownAt()
		verdict.Next, verdict.Event = s.next(out), eventOf(s, before, now, seen != s.es.Generation)
		return verdict
	}
}

// knownAt returns when the values were last known to be those of the stores; zero for an object that is read once.
func (s *scope) knownAt() time.Time {
	if intervalOf(&s.es.Spec) == 0 {
		return time.Time{}
	}
	return s.lastRefresh()
}

// dueSince returns when the refresh that this run makes fell due: when the object was made, when its interval was over, or
// now, for what has just changed.
func (s *scope) dueSince() time.Time {
	last, interval := s.lastRefresh(), intervalOf(&s.es.Spec)
	switch {
	case last.IsZero():
		return s.es.CreationTimestamp.Time
	case interval == 0 || s.plan.changed || s.plan.drifted:
		return s.now
	}
	due := nextDue(s.es.UID, s.memo.aim, last, interval)
	if due.After(s.now) {
		return s.now
	}
	return due
}

// recordSync writes down what was read and written. When nothing changed, refreshTime moves as a heartbeat only, and the
// process remembers the rest.
func (s *scope) recordSync(heartbeat time.Duration, before esv1.Condition) {
	status := &s.es.Status
	s.synced = true
	s.memo.refreshed, s.memo.stores = s.now, fingerprint(s.stores)
	if s.dynamic {
		s.memo.content = s.content.fingerprint()
	}
	same := s.recordInputs()
	quiet := same && !s.written && !s.deleted && !s.plan.changed && before.Status == metav1.ConditionTrue &&
		s.now.Sub(status.RefreshTime.Time) < heartbeat && !status.RefreshTime.After(s.now)
	if !quiet {
		status.RefreshTime = metav1.NewTime(s.now).Rfc3339Copy()
	}
	status.SyncedResourceVersion = s.version
	switch {
	case s.retained:
		return
	case s.emptied, s.absent, creationOf(&s.es.Spec) == esv1.CreationNone:
		status.Target = esv1.TargetStatus{}
		return
	}
	status.Binding.Name = targetName(s.es)
	if status.Target.UID != s.target.uid || !older(s.target.resourceVersion, status.Target.ResourceVersion) {
		status.Target = esv1.TargetStatus{UID: s.target.uid, ResourceVersion: s.target.resourceVersion}
	}
}

// recordInputs writes down what the target was made from, and reports whether that is the same as before.
func (s *scope) recordInputs() (same bool) {
	status := &s.es.Status
	sources, more := s.sourcesOf()
	templates := s.templatesOf()
	same = slices.Equal(sources, status.Sources) && more == status.MoreSources && slices.Equal(templates, status.Templates) &&
		s.memo.stores == status.StoresHash
	status.Sources, status.MoreSources, status.Templates, status.StoresHash = sources, more, templates, s.memo.stores
	return same
}

func conditionOf(s *scope, out flow.Outcome, before esv1.Condition) esv1.Condition {
	c := esv1.Condition{Type: esv1.ConditionReady, Status: metav1.ConditionTrue, Reason: esv1.ReasonSecretSynced, Message: messageSynced}
	switch {
	case out.State != flow.Ready:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, esv1.ReasonSecretSyncedError, out.Message+s.staleness()
	case s.plan.blocked && before.Status != "":
		return before // what it says holds until a window opens
	case !s.plan.refresh && before.Status == metav1.ConditionTrue && !overtaken(s.es, before):
		c.Reason, c.Message = before.Reason, before.Message // nothing was done
	case s.retained:
		c.Message = messageRetained
	case s.emptied:
		c.Reason, c.Message = esv1.ReasonSecretDeleted, messageDeleted
	case s.absent:
		c.Reason, c.Message = esv1.ReasonSecretMissing, messageMissing
	}
	return c
}

// overtaken reports whether a condition says why there is no target although creationPolicy None, by which there never is one, has come
// since, and nothing is read any more.
func overtaken(es *esv1.ExternalSecret, before esv1.Condition) bool {
	return creationOf(&es.Spec) == esv1.CreationNone && (before.Reason == esv1.ReasonSecretMissing || before.Reason == esv1.ReasonSecretDeleted)
}

// staleness says since when which Secret has the values that it holds, which is the same until there are others, or that there is
// none.
func (s *scope) staleness() string {
	status, holder := &s.es.Status, "the target"
	switch before := status.Binding.Name; {
	case status.Target.UID == "" || status.RefreshTime.IsZero():
		return ""
	case before != "" && before != targetName(s.es):
		holder += " before, Secret " + s.es.Namespace + "/" + before + ","
	case s.observed && !s.target.exists:
		return "; the target does not exist"
	}
	return "; " + holder + " holds the values of " + status.RefreshTime.UTC().Format(time.RFC3339)
}

// next returns how long until the object is due again; zero when only an event can make it so.
func (s *scope) next(out flow.Outcome) time.Duration {
	interval := intervalOf(&s.es.Spec)
	if out.State != flow.Ready || interval == 0 {
		return 0
	}
	due := s.turn()
	if held := s.windows.turn(s.now, s.es.UID, s.memo.aim, interval); due.Before(s.now) || s.heard() && held.Before(due) {
		due = held
	}
	if due.IsZero() {
		return 0
	}
	return max(time.Millisecond, due.Sub(s.now))
}

// eventOf returns what is new. A spec that fails is, also if it fails like the one before it.
func eventOf(s *scope, before, now esv1.Condition, respecified bool) *flow.Event {
	switch {
	case now.Status != metav1.ConditionTrue && (respecified || before.Status != now.Status || before.Message != now.Message):
		return &flow.Event{Reason: esv1.ReasonUpdateFailed, Action: "Reconcile", Message: now.Message, Warning: true}
	case s.deleted:
		return &flow.Event{Reason: esv1.ReasonDeleted, Action: "Delete", Message: messageDeleted}
	case now.Status == metav1.ConditionTrue && s.created:
		return &flow.Event{Reason: esv1.ReasonCreated, Action: "Apply", Message: "secret created"}
	case now.Status == metav1.ConditionTrue && s.written:
		return &flow.Event{Reason: esv1.ReasonUpdated, Action: "Apply", Message: "secret updated"}
	default:
		return nil
	}
}
