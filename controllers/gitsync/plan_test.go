package gitsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/gitsync/apply"
	"github.com/sealbridge/sealbridge/providers"
)

func TestAFieldThatIsNotHonouredIsNamed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spec v1alpha1.GitSyncSpec
		want []string
	}{
		"what is honoured": {spec: v1alpha1.GitSyncSpec{
			URL: "https://x/y", Ref: &v1alpha1.GitRef{SemVer: ">1"}, SecretRef: &v1alpha1.LocalRef{}, RetryInterval: &metav1.Duration{},
			Timeout: &metav1.Duration{}, Path: "a", TargetNamespace: "b", CreateNamespace: true,
			Decryption: &v1alpha1.Decryption{SecretRef: &v1alpha1.LocalRef{}}, PlaintextSecrets: v1alpha1.PlaintextAllow, Prune: true,
			AllowEmpty: true, DeletionPolicy: v1alpha1.DeletionOrphan, Force: true, Wait: true, HealthChecks: []v1alpha1.ObjectRef{{}},
			DependsOn: []v1alpha1.DependencyRef{{}}, ServiceAccountName: "c", Suspend: true,
		}},
		"signatures": {v1alpha1.GitSyncSpec{Verify: &v1alpha1.Verification{}}, []string{"spec.verify"}},
		"submodules": {v1alpha1.GitSyncSpec{RecurseSubmodules: true}, []string{"spec.recurseSubmodules"}},
		"Helm and variables": {
			v1alpha1.GitSyncSpec{Helm: &v1alpha1.Helm{}, PostBuild: &v1alpha1.PostBuild{}}, []string{"spec.helm", "spec.postBuild"},
		},
		"a key management service": {
			v1alpha1.GitSyncSpec{Decryption: &v1alpha1.Decryption{ServiceAccountName: "x"}}, []string{"spec.decryption.serviceAccountName"},
		},
		"health in CEL": {v1alpha1.GitSyncSpec{HealthCheckExprs: []v1alpha1.HealthCheckExpr{{}}}, []string{"spec.healthCheckExprs"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, unsupported(&tc.spec)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestASpecThatCannotWorkIsRefusedWithItsCure(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spec    v1alpha1.GitSyncSpec
		require bool
		want    string
	}{
		"fine":              {},
		"no account":        {require: true, want: "spec.serviceAccountName is required here"},
		"an account":        {spec: v1alpha1.GitSyncSpec{ServiceAccountName: "x"}, require: true},
		"depends on itself": {spec: v1alpha1.GitSyncSpec{DependsOn: []v1alpha1.DependencyRef{{Name: "app"}}}, want: "names the GitSync itself"},
		"depends on its namesake": {
			spec: v1alpha1.GitSyncSpec{DependsOn: []v1alpha1.DependencyRef{{Name: "app", Namespace: "other"}}},
		},
		"a bad apiVersion": {spec: v1alpha1.GitSyncSpec{HealthChecks: []v1alpha1.ObjectRef{{APIVersion: "a/b/c"}}}, want: `"a/b/c" is no apiVersion`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sync := &v1alpha1.GitSync{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "app"}, Spec: tc.spec}
			p := refused(sync, tc.require)
			if (p == nil) != (tc.want == "") || p != nil && (!strings.Contains(p.Error(), tc.want) || !p.Terminal) {
				t.Errorf("refused for %v, want %q", p, tc.want)
			}
		})
	}
}

func TestGitIsAskedWhenItsTimeHasComeAndWhenSomebodyAsks(t *testing.T) {
	t.Parallel()
	now := time.Unix(10_000, 0)
	sync := &v1alpha1.GitSync{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: v1alpha1.GitSyncSpec{Interval: metav1.Duration{Duration: time.Minute}}}
	asked := func(edit func(*state)) *state {
		st := &state{revision: "r", generation: 2, checked: now.Add(-30 * time.Second)}
		edit(st)
		return st
	}
	for name, tc := range map[string]struct {
		state *state
		want  bool
	}{
		"never asked":           {&state{}, true},
		"asked a moment ago":    {asked(func(*state) {}), false},
		"asked an interval ago": {asked(func(st *state) { st.checked = now.Add(-time.Minute) }), true},
		"the spec changed":      {asked(func(st *state) { st.generation = 1 }), true},
		"somebody asks":         {asked(func(st *state) { st.requested = "before" }), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := due(sync, tc.state, now); got != tc.want {
				t.Errorf("due = %v, want %v", got, tc.want)
			}
		})
	}
	if d := next(sync, asked(func(*state) {}), now); d > 30*time.Second || d < 24*time.Second {
		t.Errorf("the next time is in %s", d)
	}
}

func TestAnErrorEndsARunAsItsKindSays(t *testing.T) {
	t.Parallel()
	retry := &v1alpha1.GitSync{Spec: v1alpha1.GitSyncSpec{RetryInterval: &metav1.Duration{Duration: 7 * time.Second}}}
	for name, tc := range map[string]struct {
		sync *v1alpha1.GitSync
		err  error
		want flow.State
	}{
		"terminal":                     {retry, &Problem{Terminal: true, Err: errors.New("x")}, flow.Stalled},
		"invalid":                      {retry, providers.Errorf(providers.ErrInvalid, "x"), flow.Stalled},
		"invalid, but cured elsewhere": {retry, &Problem{Err: providers.Errorf(providers.ErrInvalid, "x")}, flow.Waiting},
		"with a retry interval":        {retry, errors.New("x"), flow.Waiting},
		"without one":                  {&v1alpha1.GitSync{}, errors.New("x"), flow.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got flow.State
			s := &scope{sync: tc.sync.DeepCopy(), state: &state{}}
			_, _ = flow.Run(t.Context(), flow.Engine{}, s.sync, s, func(_ *scope, out flow.Outcome) flow.Verdict {
				got = out.State
				return flow.Verdict{}
			}, flow.Step[scope]{Name: "x", Do: func(_ context.Context, s *scope) error { return ending(s.sync, "X", tc.err) }})
			if got != tc.want {
				t.Errorf("state %s, want %s", got, tc.want)
			}
		})
	}
}

func TestAnApplyThatFailsIsTerminalOnlyWhenEveryObjectIs(t *testing.T) {
	t.Parallel()
	failed := func(reasons ...string) []apply.Result {
		out := []apply.Result{{Action: apply.Created}}
		for i, r := range reasons {
			ref := apply.Ref{Kind: "ConfigMap", Name: fmt.Sprint(i)}
			out = append(out, apply.Result{Ref: ref, Action: apply.Failed, Err: &apply.ObjectError{Ref: ref, Reason: r, Text: "no"}})
		}
		return out
	}
	if p := applyFailure(failed()); p != nil {
		t.Errorf("nothing failed: %v", p)
	}
	for name, tc := range map[string]struct {
		reasons  []string
		reason   string
		terminal bool
	}{
		"others own all":     {[]string{apply.ReasonOwnedByOther, apply.ReasonOwnedByOther}, v1alpha1.ReasonOwnedByOther, true},
		"others own some":    {[]string{apply.ReasonOwnedByOther, apply.ReasonInvalid}, v1alpha1.ReasonApplyFailed, true},
		"one may come right": {[]string{apply.ReasonInvalid, apply.ReasonUnavailable}, v1alpha1.ReasonApplyFailed, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := applyFailure(failed(tc.reasons...))
			if p.Reason != tc.reason || p.Terminal != tc.terminal {
				t.Errorf("%s, terminal %v; want %s, %v", p.Reason, p.Terminal, tc.reason, tc.terminal)
			}
		})
	}
}

func TestTheObjectsOfADeletedGitSyncGoAsItsPolicySays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spec          v1alpha1.GitSyncSpec
		deletes, wait bool
	}{
		"prune":     {v1alpha1.GitSyncSpec{Prune: true}, true, false},
		"no prune":  {v1alpha1.GitSyncSpec{}, false, false},
		"delete":    {v1alpha1.GitSyncSpec{DeletionPolicy: v1alpha1.DeletionDelete}, true, false},
		"wait":      {v1alpha1.GitSyncSpec{DeletionPolicy: v1alpha1.DeletionWaitForTermination}, true, true},
		"orphan":    {v1alpha1.GitSyncSpec{Prune: true, DeletionPolicy: v1alpha1.DeletionOrphan}, false, false},
		"suspended": {v1alpha1.GitSyncSpec{Prune: true, Suspend: true}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if objects, wait := deletes(&v1alpha1.GitSync{Spec: tc.spec}); objects != tc.deletes || wait != tc.wait {
				t.Errorf("deletes %v, waits %v", objects, wait)
			}
		})
	}
}

func TestTheStatusSaysOnceWhatHappened(t *testing.T) {
	t.Parallel()
	at := time.Unix(20_000, 0)
	clock := func() time.Time { return at }
	s := &scope{
		sync:  &v1alpha1.GitSync{ObjectMeta: metav1.ObjectMeta{Generation: 3}, Spec: v1alpha1.GitSyncSpec{Interval: metav1.Duration{Duration: time.Minute}}},
		state: &state{revision: "main@sha1:a", settled: input{revision: "main@sha1:a"}, checked: at}, began: at.Add(-time.Second), complete: true, digest: "sha256:d",
		results: []apply.Result{{Ref: apply.Ref{Kind: "Secret", Namespace: "n", Name: "db"}, Action: apply.Created}, {Action: apply.Unchanged}},
	}
	v := report(clock)(s, flow.Outcome{State: flow.Ready})
	st := s.sync.Status
	if st.Revision != "main@sha1:a" || st.ObservedGeneration != 3 || len(st.History) != 1 || !meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("status %+v", st)
	}
	if v.Event == nil || v.Event.Message != "main@sha1:a: 1 created: Secret n/db" || v.Event.Warning {
		t.Errorf("event %+v", v.Event)
	}

	// An idle run says nothing and changes nothing.
	at = at.Add(time.Minute)
	before := s.sync.DeepCopy()
	idle := &scope{sync: s.sync, state: s.state, began: at, idle: true}
	if v := report(clock)(idle, flow.Outcome{State: flow.Ready}); v.Event != nil {
		t.Errorf("event %+v", v.Event)
	}
	if diff := cmp.Diff(before.Status, s.sync.Status); diff != "" {
		t.Error(diff)
	}

	// A failure is announced once; what was applied stays in the status.
	failing := flow.Outcome{State: flow.Stalled, Reason: v1alpha1.ReasonPlaintextSecret, Message: "db.yaml: password"}
	run := &scope{sync: s.sync, state: &state{revision: "main@sha1:b", settled: s.state.settled}, began: at}
	if v := report(clock)(run, failing); v.Event == nil || !v.Event.Warning || v.Event.Message != failing.Message {
		t.Errorf("event %+v", v.Event)
	}
	if v := report(clock)(run, failing); v.Event != nil {
		t.Errorf("announced twice: %+v", v.Event)
	}
	st = s.sync.Status
	if st.Revision != "main@sha1:a" || st.AttemptedRevision != "main@sha1:b" || !meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionStalled) ||
		meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionReady) || len(st.History) != 2 {
		t.Errorf("status %+v", st)
	}
}

func TestTheHistoryHoldsFiveAttempts(t *testing.T) {
	t.Parallel()
	s := &scope{sync: &v1alpha1.GitSync{}, state: &state{}}
	for i := range 9 {
		s.sync.Status.AttemptedRevision = fmt.Sprint(i)
		remember(s, "X", time.Unix(int64(i), 0))
		remember(s, "X", time.Unix(int64(i)+1, 0))
	}
	var got []string
	for _, h := range s.sync.Status.History {
		got = append(got, h.Revision)
	}
	if diff := cmp.Diff([]string{"8", "7", "6", "5", "4"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAMessageNeverOutgrowsACondition(t *testing.T) {
	t.Parallel()
	if n := len(bounded(strings.Repeat("x", 10_000))); n > 2100 {
		t.Errorf("%d bytes", n)
	}
}
