// Package announce writes the events of objects, and remembers none.
//
// It gives a recorder to each controller, takes what they announce, and creates it in the cluster, several events at once
// and each again while the API server cannot be reached. When much is announced at once, as in a first sync, nearly all of it
// waits until that is over, warnings least: the API server is left to the writes that make objects what they should be.
//
// The recorder of Kubernetes keeps every event for six minutes, to count it when it is repeated. That costs a kilobyte and a
// half for each object of a first sync, and helps controllers that repeat themselves. Those that use this one announce what
// has changed.
package announce

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sealbridge/sealbridge/internal/redact"
)

const (
	// writers is how many events are written at once.
	writers = 32
	// patience is how long one try to write an event may take, and for how long events are written when the process ends.
	patience = 5 * time.Second
	// last is how long after its end the Announcer waits for what was announced right before.
	last = 100 * time.Millisecond
)

// Announcer writes events. It is a Runnable of a manager; what is announced before it runs waits.
type Announcer struct {
	client  client.Client
	backlog *backlog
	// named is the moment that the last event is named after.
	named atomic.Int64
	// Pause is how long to wait before an event that could not be written is tried again; it grows with each try.
	Pause time.Duration
}

// New returns an Announcer that writes with a client.
func New(c client.Client) *Announcer {
	return &Announcer{client: c, backlog: newBacklog(), Pause: 5 * time.Second}
}

// Start implements manager.Runnable: it writes events until the context ends, and those that were announced until then.
func (a *Announcer) Start(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(writers)
	for ctx.Err() == nil {
		pause, waiting := a.backlog.pause(time.Now())
		switch {
		case !waiting:
			select {
			case <-ctx.Done():
			case <-a.backlog.more:
			}
			continue
		case pause > 0:
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
		a.writeNext(ctx, &g)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if a.writeNext(ctx, &g) {
			continue
		}
		select {
		case <-a.backlog.more:
		case <-time.After(last):
			return g.Wait()
		}
	}
	return g.Wait()
}

// writeNext starts to write the next event, and reports whether there was one.
func (a *Announcer) writeNext(ctx context.Context, g *errgroup.Group) bool {
	event, dropped := a.backlog.next()
	if dropped > 0 {
		log.FromContext(ctx).Info("events were not written, there were too many at once", "number", dropped)
	}
	if event == nil {
		return false
	}
	g.Go(func() error {
		a.write(ctx, event)
		return nil
	})
	return true
}

// write creates an event, again while the API server cannot be reached and the context has not ended.
func (a *Announcer) write(ctx context.Context, event *eventsv1.Event) {
	const tries = 12 // at most: the pause that would be longer than the cap is the last one
	backoff := wait.Backoff{Duration: a.Pause, Factor: 1.5, Jitter: 0.25, Steps: tries, Cap: time.Minute}
	err := a.create(ctx, event)
	for retriable(err) && backoff.Steps > 0 && passes(ctx, backoff.Step()) {
		err = a.create(ctx, event)
	}
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		// Nobody is left to read it: the namespace takes its events with it.
	default:
		log.FromContext(ctx).Error(redact.API(err), "an event was not written", "reason", event.Reason,
			"kind", event.Regarding.Kind, "namespace", event.Regarding.Namespace, "name", event.Regarding.Name)
	}
}

// passes waits, and reports whether the time has passed before the context ended.
func passes(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// create tries once, also when the context has ended.
func (a *Announcer) create(ctx context.Context, event *eventsv1.Event) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return a.client.Create(ctx, event.DeepCopy())
}

// retriable says whether another try may do better: the API server gave no answer, or says so.
func retriable(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return err != nil
	}
	code := status.Status().Code
	return code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}
