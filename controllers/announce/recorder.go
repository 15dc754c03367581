package announce

import (
	"fmt"
	"os"
	"strings"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/reference"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// longestName is that of an object, and longestInstance that of who reports an event.
	longestName     = 253
	longestInstance = 128
)

// recorder makes events of what one component announces. That of Kubernetes hands them on through a queue of a thousand and drops
// what finds no room there, as when all objects of a store fail at once.
type recorder struct {
	announcer           *Announcer
	component, instance string
}

// Recorder returns a recorder whose events name a component as their source.
func (a *Announcer) Recorder(component string) events.EventRecorder {
	host, _ := os.Hostname() // without one the component has to do
	instance := strings.TrimSuffix(component+"-"+host, "-")
	return &recorder{announcer: a, component: component, instance: instance[:min(len(instance), longestInstance)]}
}

// Eventf implements events.EventRecorder.
func (r *recorder) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	scheme := r.announcer.client.Scheme()
	about, err := reference.GetReference(scheme, regarding)
	if err != nil {
		log.Log.WithName("events").Error(err, "an event was not written, because the object that it is about has no kind", "reason", reason)
		return
	}
	now := time.Now()
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: about.Namespace, Name: r.announcer.nameAfter(about.Name, now)},
		EventTime:  metav1.MicroTime{Time: now}, ReportingController: r.component, ReportingInstance: r.instance,
		Type: kind, Reason: reason, Action: action, Note: fmt.Sprintf(note, args...), Regarding: *about,
	}
	if event.Namespace == "" {
		event.Namespace = metav1.NamespaceDefault
	}
	if related != nil {
		if other, err := reference.GetReference(scheme, related); err == nil {
			event.Related = other
		}
	}
	r.announcer.backlog.add(event, now)
}

// nameAfter returns a name for an event about an object, which this process gives no other.
func (a *Announcer) nameAfter(name string, now time.Time) string {
	for {
		last := a.named.Load()
		if next := max(now.UnixNano(), last+1); a.named.CompareAndSwap(last, next) {
			suffix := fmt.Sprintf(".%x", next)
			return strings.TrimRight(name[:min(len(name), longestName-len(suffix))], ".-") + suffix
		}
	}
}

var _ events.EventRecorder = (*recorder)(nil)
