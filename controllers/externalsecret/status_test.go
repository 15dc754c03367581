package externalsecret

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

func TestTheStatusSaysWhatWasDoneAndMovesOnlyThen(t *testing.T) {
	t.Parallel()
	ready := func(s *scope) {
		s.es.Status.Conditions = conditions.Set(nil, esv1.Condition{Type: esv1.ConditionReady, Status: "True", Reason: esv1.ReasonSecretSynced, Message: messageSynced}, start)
		s.es.Status.ObservedGeneration, s.es.Status.Binding.Name = s.es.Generation, "es"
	}
	refreshed := func(s *scope) { s.plan.refresh = true }
	wrote := func(s *scope) { s.written, s.target.resourceVersion = true, "101" }
	failed := flow.Outcome{State: flow.Failed, Message: "no key"}
	synced0 := synced().es.Status
	tests := map[string]struct {
		given     []func(*scope)
		outcome   flow.Outcome
		heartbeat time.Duration
		moved     bool // the status differs from before
		refreshed bool // refreshTime moved
		status    metav1.ConditionStatus
		message   string
		event     string
		next      bool
	}{
		"nothing was due":                {given: []func(*scope){ready}, heartbeat: time.Hour, status: "True", message: messageSynced, next: true},
		"read, and nothing had changed":  {given: []func(*scope){ready, refreshed}, heartbeat: time.Hour, status: "True", message: messageSynced, next: true},
		"read, and the heartbeat is due": {given: []func(*scope){ready, refreshed}, moved: true, refreshed: true, status: "True", message: messageSynced, next: true},
		"written":                        {given: []func(*scope){ready, refreshed, wrote}, heartbeat: time.Hour, moved: true, refreshed: true, status: "True", message: messageSynced, event: "Updated", next: true},
		"created":                        {given: []func(*scope){refreshed, wrote, func(s *scope) { s.created = true }}, heartbeat: time.Hour, moved: true, refreshed: true, status: "True", message: messageSynced, event: "Created", next: true},
		"made from another generation":   {given: []func(*scope){ready, refreshed, func(s *scope) { s.plan.changed, s.version = true, "3-x" }}, heartbeat: time.Hour, moved: true, refreshed: true, status: "True", message: messageSynced, next: true},
		"no values":                      {given: []func(*scope){refreshed, func(s *scope) { s.retained = true }}, heartbeat: time.Hour, moved: true, refreshed: true, status: "True", message: messageRetained, next: true},
		"failed":                         {given: []func(*scope){ready, refreshed}, outcome: failed, moved: true, status: "False", message: "no key; the target holds the values of 2026-03-04T05:06:07Z", event: "UpdateFailed"},
		"failed as before":               {given: []func(*scope){ready, refreshed, func(s *scope) { report(0)(s, failed) }}, outcome: failed, moved: true, status: "False", message: "no key; the target holds the values of 2026-03-04T05:06:07Z"},
		"failed as before, with another spec": {given: []func(*scope){ready, refreshed, func(s *scope) { report(0)(s, failed); s.es.Generation++ }},
			outcome: failed, moved: true, status: "False", message: "no key; the target holds the values of 2026-03-04T05:06:07Z", event: "UpdateFailed"},
		"failed, and the target is gone": {given: []func(*scope){ready, refreshed, func(s *scope) { s.observed, s.target = true, target{} }},
			outcome: failed, moved: true, status: "False", message: "no key; the target does not exist", event: "UpdateFailed"},
		"failed before the target was looked at": {given: []func(*scope){ready, func(s *scope) { s.target = target{} }},
			outcome: failed, moved: true, status: "False", message: "no key; the target holds the values of 2026-03-04T05:06:07Z", event: "UpdateFailed"},
		"failed, and there is a target of another name": {given: []func(*scope){ready, refreshed, func(s *scope) { s.es.Status.Binding.Name, s.observed = "old", true }},
			outcome: failed, moved: true, status: "False", message: "no key; the target before, Secret a/old, holds the values of 2026-03-04T05:06:07Z", event: "UpdateFailed"},
		"somebody else's":                      {given: []func(*scope){func(s *scope) { s.ignored = true }}},
		"too early to say":                     {given: []func(*scope){func(s *scope) { s.early = true }}, outcome: failed},
		"another's target, taken as it is":     {given: []func(*scope){ready, func(s *scope) { s.es.Status.Target = esv1.TargetStatus{}; s.plan.verify = true }}, status: "True", message: messageSynced, next: true},
		"read once":                            {given: []func(*scope){ready, func(s *scope) { s.es.Spec.RefreshInterval = &metav1.Duration{} }}, status: "True", message: messageSynced},
		"the cache was behind what is written": {given: []func(*scope){ready, refreshed, func(s *scope) { s.target.resourceVersion = "99" }}, heartbeat: time.Hour, status: "True", message: messageSynced, next: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := synced()
			for _, given := range tt.given {
				given(s)
			}
			if tt.outcome.State == "" {
				tt.outcome.State = flow.Ready
			}
			verdict := report(tt.heartbeat)(s, tt.outcome)
			got := s.es.Status
			c := conditions.Ready(got.Conditions)
			if c.Status != tt.status || c.Message != tt.message {
				t.Errorf("condition %+v, want %s, %q", c, tt.status, tt.message)
			}
			if moved := !got.RefreshTime.Equal(&synced0.RefreshTime); moved != tt.refreshed {
				t.Errorf("refreshTime moved: %v, want %v", moved, tt.refreshed)
			}
			if tt.status != "" && (got.ObservedGeneration != s.es.Generation || got.Target.UID != "secret-uid" || got.Target.ResourceVersion == "99") {
				t.Errorf("status %+v", got)
			}
			event := ""
			if verdict.Event != nil {
				event = verdict.Event.Reason
			}
			if event != tt.event || (verdict.Next > 0) != tt.next {
				t.Errorf("verdict %+v, event %q, want %q and a next time: %v", verdict, event, tt.event, tt.next)
			}
			if tt.status == "" {
				return
			}
			if tt.moved == (got.SyncedResourceVersion == synced0.SyncedResourceVersion && got.RefreshTime.Equal(&synced0.RefreshTime) && c.LastTransitionTime.Time.Equal(start)) {
				t.Errorf("the status moved: %v, want %v: %+v", !tt.moved, tt.moved, got)
			}
		})
	}
}

// TestWhatTheMetricsAreToldIsWhenARefreshFellDueAndHowOldTheValuesAre: the histograms of latency and of staleness are made of it.
func TestWhatTheMetricsAreToldIsWhenARefreshFellDueAndHowOldTheValuesAre(t *testing.T) {
	t.Parallel()
	made, now, never := start.Add(-time.Minute), start.Add(3*time.Hour), time.Time{}
	due := nextDue("es-uid", aim{}, start, time.Hour)
	refreshed := func(s *scope) { s.plan.refresh = true }
	failed := flow.Outcome{State: flow.Failed, Message: "no key"}
	for name, tt := range map[string]struct {
		given       func(*scope)
		outcome     flow.Outcome
		due, synced time.Time
	}{
		"read the first time":        {func(s *scope) { refreshed(s); s.es.Status.RefreshTime = metav1.Time{} }, flow.Outcome{State: flow.Ready}, made, now},
		"late":                       {refreshed, flow.Outcome{State: flow.Ready}, due, now},
		"read before it is due":      {func(s *scope) { refreshed(s); s.memo.refreshed = now.Add(-time.Minute) }, flow.Outcome{State: flow.Ready}, now, now},
		"changed while it is late":   {func(s *scope) { refreshed(s); s.plan.changed = true }, flow.Outcome{State: flow.Ready}, now, now},
		"repaired while it is late":  {func(s *scope) { refreshed(s); s.plan.drifted = true }, flow.Outcome{State: flow.Ready}, now, now},
		"read once":                  {func(s *scope) { refreshed(s); s.es.Spec.RefreshInterval = &metav1.Duration{} }, flow.Outcome{State: flow.Ready}, now, never},
		"nothing was due":            {func(*scope) {}, flow.Outcome{State: flow.Ready}, never, start},
		"read without a word of it":  {func(s *scope) { s.memo.refreshed = now.Add(-time.Minute) }, flow.Outcome{State: flow.Ready}, never, now.Add(-time.Minute)},
		"could not be read":          {refreshed, failed, never, start},
		"waits for others to answer": {func(s *scope) { s.held = true }, failed, never, start},
		"somebody else's":            {func(s *scope) { s.ignored = true }, flow.Outcome{State: flow.Ready}, never, never},
	} {
		s := synced()
		s.es.CreationTimestamp, s.now, s.memo.aim = metav1.NewTime(made), now, aim{}
		tt.given(s)
		got := report(time.Hour)(s, tt.outcome)
		if !got.Due.Equal(tt.due) || !got.Synced.Equal(tt.synced) {
			t.Errorf("%s: due %s, synced %s; want %s and %s", name, got.Due, got.Synced, tt.due, tt.synced)
		}
	}
}

func TestAFailureIsRepeatedUnlessSomebodySaysWhenOrNothingCanCureIt(t *testing.T) {
	t.Parallel()
	terminating := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "db", errors.New("because it is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause, Field: "metadata.namespace"}}
	for name, tt := range map[string]struct {
		err   error
		state flow.State
		after time.Duration
	}{
		"any":                             {errors.New("x"), flow.Failed, 0},
		"a spec that cannot work":         {providers.Errorf(providers.ErrInvalid, "x"), flow.Failed, 0},
		"the API server refuses":          {redact.API(apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "db", nil)), flow.Failed, 0},
		"the namespace is being deleted":  {fmt.Errorf("write Secret: %w", redact.API(terminating)), flow.Waiting, goingWait},
		"the store asks for time":         {fmt.Errorf("fetch: %w", &providers.ThrottledError{After: time.Minute}), flow.Waiting, time.Minute},
		"the store asks for days":         {&providers.ThrottledError{After: 48 * time.Hour}, flow.Waiting, sessions.MaxThrottle},
		"the store asks for no said time": {&providers.ThrottledError{}, flow.Failed, 0},
	} {
		var got flow.Outcome
		_, _ = flow.Run(t.Context(), flow.Engine{}, &esv1.ExternalSecret{}, &scope{}, func(_ *scope, out flow.Outcome) flow.Verdict { got = out; return flow.Verdict{} },
			flow.Step[scope]{Name: "any", Do: failing(func(context.Context, *scope) error { return tt.err })})
		if got.State != tt.state || got.After != tt.after || got.Reason != esv1.ReasonSecretSyncedError || got.Message != tt.err.Error() {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
