package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/providers"
)

func TestEveryErrorClassHasOneOutcome(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	tests := map[string]struct {
		err  error
		want Outcome
	}{
		"no error is ready":                      {nil, Outcome{State: Ready}},
		"done is ready":                          {Done(), Outcome{State: Ready}},
		"invalid stalls":                         {providers.Errorf(providers.ErrInvalid, "x"), Outcome{State: Stalled, Reason: ReasonInvalid, Message: "x"}},
		"not found is retried":                   {providers.Errorf(providers.ErrNotFound, "x"), Outcome{State: Failed, Reason: ReasonNotFound, Message: "x"}},
		"missing property is retried":            {providers.Errorf(providers.ErrPropertyNotFound, "x"), Outcome{State: Failed, Reason: ReasonPropertyNotFound, Message: "x"}},
		"denied is retried":                      {providers.Errorf(providers.ErrDenied, "x"), Outcome{State: Failed, Reason: ReasonDenied, Message: "x"}},
		"throttled waits as told":                {fmt.Errorf("x: %w", &providers.ThrottledError{After: time.Minute}), Outcome{State: Waiting, Reason: ReasonThrottled, After: time.Minute, Message: "x: throttled by the store; it is asked again when that is over"}},
		"throttled without time backs off":       {&providers.ThrottledError{}, Outcome{State: Failed, Reason: ReasonThrottled, Message: "throttled by the store; it is asked again when that is over"}},
		"unavailable is retried":                 {providers.Errorf(providers.ErrUnavailable, "x"), Outcome{State: Failed, Reason: ReasonUnavailable, Message: "x"}},
		"an unknown error counts as unavailable": {boom, Outcome{State: Failed, Reason: ReasonUnavailable, Message: "boom"}},
		"a step's own reason wins":               {Stall("TooBig", boom), Outcome{State: Stalled, Reason: "TooBig", Message: "boom"}},
		"a failure's own reason wins":            {Fail("NotYet", providers.Errorf(providers.ErrInvalid, "x")), Outcome{State: Failed, Reason: "NotYet", Message: "x"}},
		"a step's state wins over the class":     {Wait("Later", time.Second, providers.Errorf(providers.ErrInvalid, "x")), Outcome{State: Waiting, Reason: "Later", After: time.Second, Message: "x"}},
		"an empty reason is the class's":         {Fail("", providers.Errorf(providers.ErrDenied, "x")), Outcome{State: Failed, Reason: ReasonDenied, Message: "x"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := outcomeOf(t.Context(), "", tc.err)
			got.Err = nil
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

// The key of a document may be as long as an object: a status that repeated it could not be written.
func TestAMessageIsCutWhereItIsTooLong(t *testing.T) {
	t.Parallel()
	fits := strings.Repeat("x", longestMessage)
	for name, tc := range map[string]struct{ said, want string }{
		"what fits":                 {fits, fits},
		"a byte more":               {fits + "y", fits + " ..."},
		"in the middle of a letter": {fits[1:] + "\u00e9\u00e9", fits[1:] + " ..."},
	} {
		out := outcomeOf(t.Context(), "fetch", Stall("TooBig", providers.Errorf(providers.ErrDenied, "%s", tc.said)))
		if out.Message != tc.want || out.Err.Error() != tc.want || out.State != Stalled || out.Reason != "TooBig" || !errors.Is(out.Err, providers.ErrDenied) {
			t.Errorf("%s: %d bytes in %s for %s, error %.20s", name, len(out.Message), out.State, out.Reason, out.Err)
		}
	}
}

func TestNothingIsReportedAtShutdown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	w := &statusRecorder{}
	step := Step[scope]{Name: "fetch", Do: func(context.Context, *scope) error { cancel(); return ctx.Err() }}
	s := newScope()
	res, err := Run(ctx, w.engine(t), s.obj, s, func(*scope, Outcome) Verdict { t.Error("reported"); return Verdict{} }, step)
	if err != nil || res != (reconcile.Result{}) || w.writes != 0 {
		t.Errorf("result %v, error %v, %d writes; want nothing", res, err, w.writes)
	}
}

func TestARunThatTookTooLongIsReported(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if got := outcomeOf(ctx, "fetch", ctx.Err()); got.State != Failed || got.Step != "fetch" {
		t.Errorf("got %+v, want a failure of the step", got)
	}
}

func TestAStatusThatWasNotWrittenIsTriedAgainAndNothingIsAnnounced(t *testing.T) {
	t.Parallel()
	const canary = "canary-5d21"
	w := &statusRecorder{err: apierrors.NewBadRequest(canary)}
	s := newScope()
	s.obj.ResourceVersion = "7"
	report := func(s *scope, _ Outcome) Verdict {
		s.obj.Status.Phase = corev1.NamespaceActive
		return Verdict{Event: &Event{Reason: "Created", Action: "Test", Message: "x"}}
	}
	_, err := Run(t.Context(), w.engine(t), s.obj, s, report)
	if err == nil || !strings.HasPrefix(err.Error(), "write status: ") || strings.Contains(err.Error(), canary) {
		t.Errorf("error %v, want that the status was not written, without what was sent", err)
	}
	if now := time.Now(); LastOf(s.obj, err, now).Behind(s.obj, now) == 0 {
		t.Error("the object is judged although its status may have been written")
	}
	if got := w.drain(); len(got) != 0 {
		t.Errorf("events %q, want none", got)
	}
}

// told is an Observer that writes down what it is told.
type told []string

func (o *told) Ran(obj client.Object, r Observation) {
	*o = append(*o, fmt.Sprintf("%s ran: %s %t %s", obj.GetName(), r.Outcome.State, r.Took > 0, r.Due.Sub(r.Synced)))
}

func (o *told) Gone(_ client.Object, name types.NamespacedName) {
	*o = append(*o, name.Name+" is gone")
}

func TestTheObserverIsToldOfEachRunThatIsOurs(t *testing.T) {
	t.Parallel()
	for _, w := range []*statusRecorder{{}, {err: errors.New("no answer")}} {
		var o told
		e := w.engine(t)
		e.Observer = &o
		for _, foreign := range []bool{false, true} {
			s := newScope()
			_, _ = Run(t.Context(), e, s.obj, s, func(s *scope, _ Outcome) Verdict {
				s.obj.Status.Phase = corev1.NamespaceActive
				return Verdict{Synced: time.Unix(60, 0), Due: time.Unix(90, 0), Foreign: foreign}
			})
		}
		e.Gone(&corev1.Namespace{}, types.NamespacedName{Name: "y"})
		if diff := cmp.Diff(told{"x ran: Ready true 30s", "x is gone", "y is gone"}, o); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	}
	Engine{}.Gone(&corev1.Namespace{}, types.NamespacedName{Name: "y"}) // nobody is told
}

func TestAnObjectThatFailsBacksOffForItselfAlone(t *testing.T) {
	t.Parallel()
	options := Options(3)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
		if got := options.RateLimiter.When(named("a")); got != want*time.Second {
			t.Errorf("after %d failures it waits %s, want %s", i+1, got, want*time.Second)
		}
	}
	if got := options.RateLimiter.When(named("b")); got != time.Second {
		t.Errorf("another one waits %s", got)
	}
	if options.MaxConcurrentReconciles != 3 || !*options.UsePriorityQueue {
		t.Errorf("%d workers, by priority: %t", options.MaxConcurrentReconciles, *options.UsePriorityQueue)
	}
}

func TestStatusIsWrittenOnceAndOnlyWhenItChanged(t *testing.T) {
	t.Parallel()
	for _, change := range []bool{true, false} {
		t.Run(fmt.Sprint(change), func(t *testing.T) {
			t.Parallel()
			w := &statusRecorder{}
			s := newScope()
			report := func(s *scope, _ Outcome) Verdict {
				if change {
					s.obj.Status.Phase = corev1.NamespaceActive
				}
				return Verdict{Next: time.Hour}
			}
			res, err := Run(t.Context(), w.engine(t), s.obj, s, report)
			if err != nil || res.RequeueAfter != time.Hour {
				t.Errorf("result %v, error %v; want a visit in an hour", res, err)
			}
			want := 0
			if change {
				want = 1
			}
			if w.writes != want {
				t.Errorf("%d status writes, want %d", w.writes, want)
			}
		})
	}
}

func TestAFailureEndsTheRunIsAnnouncedOnceAndBacksOff(t *testing.T) {
	t.Parallel()
	w := &statusRecorder{}
	s := newScope()
	fail := Step[scope]{Name: "fetch", Do: func(context.Context, *scope) error { return providers.Errorf(providers.ErrDenied, "no") }}
	never := Step[scope]{Name: "apply", Do: func(context.Context, *scope) error { t.Error("ran after a failure"); return nil }}
	report := func(s *scope, out Outcome) Verdict {
		s.obj.Status.Conditions = []corev1.NamespaceCondition{{Type: "Ready", Message: out.Message}}
		return Verdict{}
	}
	e := w.engine(t)
	var logged []string
	ctx := log.IntoContext(t.Context(), funcr.New(func(_, text string) { logged = append(logged, text) }, funcr.Options{}))
	for range 2 {
		if _, err := Run(ctx, e, s.obj, s, report, fail, never); err == nil || err.Error() != "fetch: no" {
			t.Errorf("error %v, want %q", err, "fetch: no")
		}
	}
	if _, err := Run(ctx, e, s.obj, s, report); err != nil {
		t.Error(err)
	}
	if want := []string{`"level"=0 "msg"="not ready" "state"="Failed" "step"="fetch" "reason"="AccessDenied" "message"="no"`}; !slices.Equal(logged, want) {
		t.Errorf("logged %q, want %q", logged, want)
	}
	if got := w.drain(); len(got) != 1 || !strings.Contains(got[0], "Warning AccessDenied no") {
		t.Errorf("events %q, want one warning", got)
	}
}

// A panic is a bug of ours, or of a library, that one object has met: the object says so, and what was panicked with, which may be a
// value, is shown to nobody.
func TestAPanicFailsTheObjectAndShowsNothing(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3e91c4"
	w := &statusRecorder{}
	s := newScope()
	explode := Step[scope]{Name: "render", Do: func(context.Context, *scope) error { panic(canary) }}
	never := Step[scope]{Name: "apply", Do: func(context.Context, *scope) error { t.Error("ran after a panic"); return nil }}
	report := func(s *scope, out Outcome) Verdict {
		s.obj.Status.Conditions = []corev1.NamespaceCondition{{Type: "Ready", Reason: out.Reason, Message: out.Message}}
		return Verdict{}
	}
	e := w.engine(t)
	var logged []string
	ctx := log.IntoContext(t.Context(), funcr.New(func(_, text string) { logged = append(logged, text) }, funcr.Options{}))
	_, err := Run(ctx, e, s.obj, s, report, explode, never)
	if err == nil || err.Error() != "render: "+errPanicked.Error() {
		t.Errorf("error %v", err)
	}
	if got := s.obj.Status.Conditions; len(got) != 1 || got[0].Reason != ReasonInternal || got[0].Message != errPanicked.Error() || w.writes != 1 {
		t.Errorf("conditions %v in %d writes", got, w.writes)
	}
	all := strings.Join(append(logged, w.drain()...), "\n")
	if !strings.Contains(all, "TestAPanicFailsTheObjectAndShowsNothing") || !strings.Contains(all, `"step"="render"`) {
		t.Errorf("nothing says where it was: %s", all)
	}
	if strings.Contains(all, canary) {
		t.Error("what it panicked with is shown")
	}
}

// actions is a recorder that keeps what the API server asks of an event beside its reason, and its reason.
type actions struct {
	events.EventRecorder
	got []string
}

func (a *actions) Eventf(_, _ runtime.Object, _, reason, action, _ string, _ ...any) {
	a.got = append(a.got, reason+" by "+action)
}

func TestAFailureIsAnnouncedUnlessTheControllerHasMoreToSay(t *testing.T) {
	t.Parallel()
	var recorder actions
	w := &statusRecorder{}
	e := w.engine(t)
	e.Events = &recorder
	for _, own := range []*Event{nil, {Reason: "SecretMissing", Action: "Sync", Message: "x"}} {
		s := newScope()
		report := func(s *scope, _ Outcome) Verdict {
			s.obj.Status.Phase = corev1.NamespaceActive
			return Verdict{Event: own}
		}
		fail := func(context.Context, *scope) error { return providers.Errorf(providers.ErrDenied, "no") }
		_, _ = Run(t.Context(), e, s.obj, s, report, Step[scope]{Name: "fetch", Do: fail})
	}
	if want := []string{"AccessDenied by Reconcile", "SecretMissing by Sync"}; !slices.Equal(recorder.got, want) {
		t.Errorf("announced %q, want %q", recorder.got, want)
	}
}

func TestANoteIsCutBehindAThousandBytes(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("a", 1000)
	for text, want := range map[string]string{whole: whole, whole + "b": whole + " ..."} {
		if got := Note(text); got != want {
			t.Errorf("%d bytes become %d, want %d", len(text), len(got), len(want))
		}
	}
}

func TestAnEndingEndsTheRunAndSaysWhenTheNextOneIs(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, tc := range map[string]struct {
		ending error
		next   time.Duration
		event  string
	}{
		"done":    {Done(), time.Hour, ""},
		"waiting": {Wait("Later", time.Minute, boom), time.Minute, ""},
		"stalled": {Stall("TooBig", boom), time.Hour, "Warning TooBig boom"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &statusRecorder{}
			s := newScope()
			e := w.engine(t)
			report := func(s *scope, out Outcome) Verdict {
				s.obj.Status.Conditions = []corev1.NamespaceCondition{{Type: "Ready", Message: string(out.State)}}
				return Verdict{Next: time.Hour}
			}
			res, err := Run(t.Context(), e, s.obj, s, report,
				Step[scope]{Name: "resolve", Do: func(context.Context, *scope) error { return nil }}, // which goes on
				Step[scope]{Name: "fetch", Do: func(context.Context, *scope) error { return tc.ending }},
				Step[scope]{Name: "apply", Do: func(context.Context, *scope) error { t.Error("a step ran after the end"); return nil }})
			if err != nil || res.RequeueAfter != tc.next {
				t.Errorf("result %v, error %v; want a visit in %s", res, err, tc.next)
			}
			if got := strings.Join(w.drain(), " "); got != tc.event {
				t.Errorf("events %q, want %q", got, tc.event)
			}
		})
	}
}

func TestALongMessageIsAnnouncedAsFarAsAnEventHoldsIt(t *testing.T) {
	t.Parallel()
	const most = 1024 // the API server's limit of events.k8s.io/v1, in bytes
	w := &statusRecorder{}
	s := newScope()
	report := func(*scope, Outcome) Verdict {
		return Verdict{Event: &Event{Reason: "Long", Action: "Test", Message: "begins " + strings.Repeat("ü", most)}}
	}
	if _, err := Run(t.Context(), w.engine(t), s.obj, s, report); err != nil {
		t.Fatal(err)
	}
	got := w.drain()
	if len(got) != 1 {
		t.Fatalf("%d events, want one", len(got))
	}
	note, ok := strings.CutPrefix(got[0], "Normal Long ")
	if !ok || !strings.HasPrefix(note, "begins ü") || len(note) > most || !utf8.ValidString(note) {
		t.Errorf("a note of %d bytes: %q", len(note), note)
	}
}

func TestAnObjectThatIsGoneIsNoError(t *testing.T) {
	t.Parallel()
	w := &statusRecorder{err: apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "x")}
	s := newScope()
	if _, err := Run(t.Context(), w.engine(t), s.obj, s, func(s *scope, _ Outcome) Verdict {
		s.obj.Status.Phase = corev1.NamespaceActive
		return Verdict{}
	}); err != nil {
		t.Errorf("error %v, want none", err)
	}
}

type scope struct{ obj *corev1.Namespace }

func newScope() *scope {
	return &scope{obj: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x"}}}
}

// statusRecorder counts the statuses that are written.
type statusRecorder struct {
	writes int
	err    error
	events *events.FakeRecorder
}

func (w *statusRecorder) engine(t *testing.T) Engine {
	t.Helper()
	w.events = events.NewFakeRecorder(10)
	return Engine{Status: w, Events: w.events}
}

func (w *statusRecorder) drain() []string {
	var got []string
	for {
		select {
		case e := <-w.events.Events:
			got = append(got, e)
		default:
			return got
		}
	}
}

func (w *statusRecorder) WriteStatus(context.Context, client.Object) error {
	w.writes++
	return w.err
}

func TestWhatIsLookedAtAgainWaitsBehindWhatIsNew(t *testing.T) {
	t.Parallel()
	for name, step := range map[string]func() error{
		"ready":   func() error { return nil },
		"waiting": func() error { return Wait("Later", time.Second, errors.New("x")) },
		"failed":  func() error { return providers.Errorf(providers.ErrDenied, "no") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScope()
			report := func(*scope, Outcome) Verdict { return Verdict{Next: time.Hour} }
			do := func(context.Context, *scope) error { return step() }
			res, _ := Run(t.Context(), (&statusRecorder{}).engine(t), s.obj, s, report, Step[scope]{Name: "x", Do: do})
			if res.Priority == nil || *res.Priority != PriorityDue {
				t.Errorf("priority %v, want that of what is due", res.Priority)
			}
		})
	}
	queue := priorityqueue.New[reconcile.Request]("test")
	defer queue.ShutDown()
	named := func(name string) reconcile.Request {
		return reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
	}
	Enqueue(queue, PriorityDue, named("due"))
	Enqueue(queue, PriorityNews, named("news"))
	queue.Add(named("new"))
	for _, want := range []string{"new", "news", "due"} {
		if got, _ := queue.Get(); got.Name != want {
			t.Errorf("next is %s, want %s", got.Name, want)
		}
	}
}
