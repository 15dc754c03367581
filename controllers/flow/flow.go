package flow

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sealbridge/sealbridge/internal/redact"
)

// Step is one act of a reconciler: it does one thing, records what it found in the scope, and returns nil to go on,
// Done, Wait, Stall or Fail to end the run, or any other error, whose class decides (package providers).
type Step[S any] struct {
	// Name is a short phrase for logs, "resolve store".
	Name string
	Do   func(ctx context.Context, s *S) error
}

// Verdict is what a report function returns beside the status that it wrote into the object.
type Verdict struct {
	// Next is when to look again although nothing happened; zero means only when something does. A Waiting outcome's
	// own time and a Failed outcome's backoff take precedence.
	Next time.Duration
	// Event tells users what changed; nil when nothing did. Failures need none: the engine announces them.
	Event *Event
	// Synced is when what the object materializes was last known to be what its source says; zero where that says nothing,
	// as for an object that is read once.
	Synced time.Time
	// Due is when the refresh that this run made had fallen due; zero when it made none.
	Due time.Time
	// Foreign is set for an object that another controller serves: the observer is told nothing about it.
	Foreign bool
}

// Event is a Kubernetes event about the object.
type Event struct {
	// Reason and Action are CamelCase; Message must be safe to show and stable. What is too long for an event is cut.
	Reason, Action, Message string
	// Warning marks an event of type Warning.
	Warning bool
}

// Report writes the status of the object in the scope from the facts that the steps recorded and the outcome. It is
// pure, always runs (except at shutdown), and sets every condition that the controller owns.
type Report[S any] func(s *S, out Outcome) Verdict

// Engine runs reconcilers. All fields but Observer are required.
type Engine struct {
	// Status writes the objects' status subresource.
	Status StatusWriter
	Events events.EventRecorder
	// Observer is told of each run; nil for nobody.
	Observer Observer
}

// Run performs one reconciliation of obj, which the caller owns (a copy, not a cache's object) and which the scope
// refers to. It returns an error only for Failed outcomes, so that the queue backs off.
func Run[S any](ctx context.Context, e Engine, obj client.Object, s *S, report Report[S], steps ...Step[S]) (reconcile.Result, error) {
	start := time.Now()
	before := obj.DeepCopyObject().(client.Object)
	out := runSteps(ctx, s, steps)
	if out.State == Cancelled {
		return reconcile.Result{}, nil
	}
	verdict := report(s, out)
	defer func() {
		e.observe(obj, Observation{Outcome: out, Took: time.Since(start), Synced: verdict.Synced, Due: verdict.Due}, verdict.Foreign)
	}()
	changed := !equality.Semantic.DeepEqual(before, obj)
	if changed {
		err := e.Status.WriteStatus(ctx, obj)
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, nil
		}
		if err != nil {
			return reconcile.Result{}, &unwrittenError{redact.API(err)}
		}
	}
	e.announce(ctx, obj, out, verdict, changed)
	switch out.State {
	case Failed:
		return reconcile.Result{Priority: ptr.To(PriorityDue)}, fmt.Errorf("%s: %w", out.Step, out.Err)
	case Waiting:
		return reconcile.Result{RequeueAfter: out.After, Priority: ptr.To(PriorityDue)}, nil
	default:
		return reconcile.Result{RequeueAfter: verdict.Next, Priority: ptr.To(PriorityDue)}, nil
	}
}

func runSteps[S any](ctx context.Context, s *S, steps []Step[S]) Outcome {
	for _, step := range steps {
		if err := step.run(ctx, s); err != nil {
			return outcomeOf(ctx, step.Name, err)
		}
	}
	return Outcome{State: Ready}
}

// errPanicked stands for a panic. What was panicked with may quote a value and is shown to nobody.
var errPanicked = errors.New("the controller failed unexpectedly (a panic); report it with the stack that is in the controller's log")

// run performs the step. A panic fails the object like any error, so that its status says that it was left as it was.
func (step Step[S]) run(ctx context.Context, s *S) (err error) {
	defer func() {
		if recover() != nil {
			log.FromContext(ctx).Error(errPanicked, "a step panicked", "step", step.Name, "stack", string(debug.Stack()))
			err = Fail(ReasonInternal, errPanicked)
		}
	}()
	return step.Do(ctx, s)
}

// announce records one event: what the controller reported, or the failure when it is new (a repeated failure leaves
// the status as it is).
func (e Engine) announce(ctx context.Context, obj client.Object, out Outcome, v Verdict, changed bool) {
	ev := v.Event
	if ev == nil && changed && (out.State == Failed || out.State == Stalled) {
		ev = &Event{Reason: out.Reason, Action: "Reconcile", Message: out.Message, Warning: true}
	}
	if out.State != Ready && changed {
		log.FromContext(ctx).Info("not ready", "state", string(out.State), "step", out.Step, "reason", out.Reason, "message", out.Message)
	}
	if ev == nil {
		return
	}
	kind := corev1.EventTypeNormal
	if ev.Warning {
		kind = corev1.EventTypeWarning
	}
	e.Events.Eventf(obj, nil, kind, ev.Reason, ev.Action, "%s", Note(ev.Message))
}

// Note keeps a text within what the API server takes as the note of an event: it refuses an event with more.
func Note(text string) string {
	const longest = 1000
	return cut(text, longest)
}

// The bounds of the backoff between runs that failed.
const (
	backoffMin = time.Second
	backoffMax = 5 * time.Minute
)

// Options returns the options that every controller is built with: concurrent workers, and a backoff per object (not
// shared, so that one failing object delays only itself).
func Options(concurrent int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: concurrent,
		UsePriorityQueue:        ptr.To(true),
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](backoffMin, backoffMax),
	}
}
