package secretstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/providers"
)

func TestTheIntervalIsSecondsOrADuration(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value *intstr.IntOrString
		want  time.Duration
	}{
		"none":        {nil, time.Hour},
		"zero":        {ptr.To(intstr.FromInt32(0)), time.Hour},
		"seconds":     {ptr.To(intstr.FromInt32(90)), 90 * time.Second},
		"a duration":  {ptr.To(intstr.FromString("5m")), 5 * time.Minute},
		"digits":      {ptr.To(intstr.FromString("30")), 30 * time.Second},
		"something":   {ptr.To(intstr.FromString("often")), time.Hour},
		"less than 0": {ptr.To(intstr.FromString("-5m")), time.Hour},
	}
	for name, tt := range tests {
		if got := intervalOf(tt.value, time.Hour); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestChecksAreSpreadOverTheInterval(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	buckets := map[int]int{}
	for i := range 100 {
		uid := types.UID(rune('a'+i%26)) + types.UID(rune('a'+i/26))
		due := nextCheck(uid, start, 10*time.Minute)
		if wait := due.Sub(start); wait <= 0 || wait > 10*time.Minute {
			t.Fatalf("next check after %s", wait)
		}
		if again := nextCheck(uid, due, 10*time.Minute); again.Sub(due) != 10*time.Minute {
			t.Fatalf("then after %s", again.Sub(due))
		}
		buckets[int(due.Sub(start)/time.Minute)]++
	}
	if len(buckets) < 8 {
		t.Errorf("100 stores are checked in %d of 10 minutes", len(buckets))
	}
}

func TestACheckThatFailedIsRepeatedAndSaysWhatIsAtFault(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		err    error
		reason string
		state  flow.State
		after  time.Duration
	}{
		"denied":                   {providers.Errorf(providers.ErrDenied, "x"), "ValidationFailed", flow.Failed, 0},
		"down":                     {providers.Errorf(providers.ErrUnavailable, "x"), "ValidationFailed", flow.Failed, 0},
		"anything":                 {errors.New("x"), "ValidationFailed", flow.Failed, 0},
		"wrong":                    {providers.Errorf(providers.ErrInvalid, "x"), "InvalidProviderConfig", flow.Failed, 0},
		"asks for time":            {fmt.Errorf("login: %w", &providers.ThrottledError{After: time.Minute}), "ValidationFailed", flow.Waiting, time.Minute},
		"asks for days":            {&providers.ThrottledError{After: 48 * time.Hour}, "ValidationFailed", flow.Waiting, sessions.MaxThrottle},
		"asks for no said time":    {&providers.ThrottledError{}, "ValidationFailed", flow.Failed, 0},
		"would use our identity":   {fmt.Errorf("open: %w", sessions.ErrAmbient), "AmbientCredentialsRefused", flow.Failed, 0},
		"would, and that is wrong": {errors.Join(providers.ErrInvalid, sessions.ErrAmbient), "AmbientCredentialsRefused", flow.Failed, 0},
	} {
		var got flow.Outcome
		_, _ = flow.Run(t.Context(), flow.Engine{}, &esv1.SecretStore{}, &scope{}, func(_ *scope, out flow.Outcome) flow.Verdict { got = out; return flow.Verdict{} },
			flow.Step[scope]{Name: "check", Do: func(context.Context, *scope) error { return endingOf(tt.err) }})
		if got.State != tt.state || got.Reason != tt.reason || got.After != tt.after || got.Message != tt.err.Error() {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestOnlyWhatIsReadyInItsGenerationIsReady(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		generation int64
		status     metav1.ConditionStatus
		want       bool
	}{"ready": {4, "True", true}, "not": {4, "False", false}, "ready before it changed": {5, "True", false}, "never checked": {0, "", false}} {
		status := &esv1.SecretStoreStatus{ObservedGeneration: 4, Conditions: []esv1.Condition{{Type: esv1.ConditionReady, Status: tt.status}}}
		if got := ready(tt.generation, status); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestTheStatusSaysWhetherTheStoreCanBeUsed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	store := func() *scope {
		obj := &esv1.SecretStore{ObjectMeta: metav1.ObjectMeta{Generation: 4}}
		s := &scope{obj: obj, name: "SecretStore a/b", spec: &obj.Spec, status: &obj.Status, now: now, due: now.Add(time.Minute)}
		s.store.Provider = struct{ providers.Provider }{}
		return s
	}
	failed := flow.Outcome{State: flow.Failed, Reason: esv1.ReasonValidationFailed, Message: "denied"}
	tests := map[string]struct {
		change  func(*scope)
		outcome flow.Outcome
		want    esv1.Condition
		event   bool
		next    time.Duration
	}{
		"valid": {outcome: flow.Outcome{State: flow.Ready}, event: true, next: time.Minute,
			want: esv1.Condition{Status: "True", Reason: "Valid", Message: "store validated"}},
		"of referent credentials": {change: func(s *scope) { s.referent = true }, outcome: flow.Outcome{State: flow.Ready}, event: true, next: time.Minute,
			want: esv1.Condition{Status: "True", Reason: "ValidationUnknown", Message: "SecretStore a/b takes its credentials from the namespace that uses it, so it is validated there"}},
		"of a backend that cannot tell": {change: func(s *scope) { s.unverified = "who knows" }, outcome: flow.Outcome{State: flow.Ready}, event: true, next: time.Minute,
			want: esv1.Condition{Status: "True", Reason: "ValidationUnknown", Message: "who knows"}},
		"failed": {outcome: failed, event: true, want: esv1.Condition{Status: "False", Reason: "ValidationFailed", Message: "denied"}},
		"failed as before": {
			change: func(s *scope) { report(s, failed) }, outcome: failed,
			want: esv1.Condition{Status: "False", Reason: "ValidationFailed", Message: "denied"}},
		"of another controller": {change: func(s *scope) { s.foreign = true }, outcome: flow.Outcome{State: flow.Ready}},
		"checked a moment ago":  {change: func(s *scope) { s.fresh = true }, outcome: flow.Outcome{State: flow.Ready}, next: time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := store()
			if tt.change != nil {
				tt.change(s)
			}
			v := report(s, tt.outcome)
			var got esv1.Condition
			if len(s.status.Conditions) == 1 {
				got = s.status.Conditions[0]
				if s.status.ObservedGeneration != 4 || s.status.Capabilities != esv1.StoreReadOnly {
					t.Errorf("status %+v", s.status)
				}
			}
			if got.Status != tt.want.Status || got.Reason != tt.want.Reason || got.Message != tt.want.Message {
				t.Errorf("condition %+v, want %+v", got, tt.want)
			}
			if (v.Event != nil) != tt.event || v.Next != tt.next {
				t.Errorf("verdict %+v, want an event: %v, next %s", v, tt.event, tt.next)
			}
		})
	}
}

// Whatever cannot be asked now keeps what was found out when it could be.
func TestTheStatusKeepsWhatWasFoundOutWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	obj := &esv1.SecretStore{}
	opened := []esv1.CredentialSource{{Kind: "Secret", Namespace: "a", Name: "cred", ResourceVersion: "7"}}
	s := &scope{obj: obj, name: "SecretStore a/b", spec: &obj.Spec, status: &obj.Status, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	s.store.Provider, s.pushes, s.credentials = struct{ providers.Provider }{}, true, opened
	check := func(what string, v flow.Verdict, warning, unavailable bool, capabilities esv1.StoreCapabilities) {
		t.Helper()
		if v.Event == nil || v.Event.Warning != warning || v.Event.Action != "Validate" {
			t.Errorf("%s: event %+v", what, v.Event)
		}
		if s.status.Unavailable != unavailable || s.status.Capabilities != capabilities || !slices.Equal(s.status.Credentials, opened) {
			t.Errorf("%s: status %+v", what, s.status)
		}
	}
	check("valid", report(s, flow.Outcome{State: flow.Ready}), false, false, esv1.StoreReadWrite)
	s.pushes, s.credentials, s.unavailable = false, nil, true
	check("down", report(s, flow.Outcome{State: flow.Failed, Reason: esv1.ReasonValidationFailed, Message: "down"}), true, true, esv1.StoreReadWrite)
	check("down for another reason", report(s, flow.Outcome{State: flow.Failed, Reason: esv1.ReasonValidationFailed, Message: "slow"}), true, true, esv1.StoreReadWrite)
	check("wrong", report(s, flow.Outcome{State: flow.Failed, Reason: esv1.ReasonInvalidProviderConfig, Message: "slow"}), true, true, esv1.StoreReadWrite)
	s.unavailable, s.credentials = false, opened
	check("up, and only to be read", report(s, flow.Outcome{State: flow.Ready}), false, false, esv1.StoreReadOnly)
	s.store.Provider = nil
	check("of no provider", report(s, flow.Outcome{State: flow.Stalled, Reason: esv1.ReasonInvalidStore, Message: "x"}), true, false, "")
}

func TestTheCredentialsOfAStoreAreListedInOrderAndOnlySoMany(t *testing.T) {
	t.Parallel()
	lent := map[watches.Object]watches.Version{}
	for i := range 120 {
		kind := []string{"ConfigMap", "Secret", "ServiceAccount"}[i%3]
		lent[watches.Object{Kind: kind, Namespace: fmt.Sprint("ns-", i%2), Name: fmt.Sprintf("c-%03d", i)}] = watches.Version(fmt.Sprint(i))
	}
	got := credentialsOf(lent)
	if len(got) != 100 {
		t.Errorf("%d are listed", len(got))
	}
	less := func(a, b esv1.CredentialSource) bool {
		return a.Kind+" "+a.Namespace+" "+a.Name < b.Kind+" "+b.Namespace+" "+b.Name
	}
	for i, c := range got {
		if i > 0 && !less(got[i-1], c) {
			t.Errorf("%v stands behind %v", c, got[i-1])
		}
		if o := (watches.Object{Kind: c.Kind, Namespace: c.Namespace, Name: c.Name}); lentOf(got)[o] != lent[o] {
			t.Errorf("%v is read as version %q", o, lentOf(got)[o])
		}
	}
}
