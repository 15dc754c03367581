package announce

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
)

const (
	// burst in calm is a storm: so many events in so short a time say that the controllers have more to write than events.
	burst = 10
	calm  = time.Second
	// trickle is between two events that are written during a storm.
	trickle = 50 * time.Millisecond
	// most is how many events wait. From half of it on they are written as fast as the API server takes them, and beyond it
	// the oldest are dropped, warnings last.
	most = 16 << 10
)

// backlog is what was announced and is not written yet. It is safe for concurrent use.
type backlog struct {
	mu               sync.Mutex
	warnings, others []*eventsv1.Event
	// recent is when the last ones were announced, a ring whose oldest is at oldest.
	recent  [burst]time.Time
	oldest  int
	dropped int
	// more has an entry when something was added.
	more chan struct{}
}

func newBacklog() *backlog { return &backlog{more: make(chan struct{}, 1)} }

// add appends an event.
func (b *backlog) add(event *eventsv1.Event, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent[b.oldest] = now
	b.oldest = (b.oldest + 1) % burst
	queue := &b.others
	if event.Type == corev1.EventTypeWarning {
		queue = &b.warnings
	}
	*queue = append(*queue, event)
	if len(b.warnings)+len(b.others) > most {
		b.dropped++
		if take(&b.others) == nil {
			take(&b.warnings)
		}
	}
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// pause returns how long the next event has to wait: not at all while it is calm. Waiting is false when there is none.
func (b *backlog) pause(now time.Time) (d time.Duration, waiting bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.warnings) + len(b.others)
	if n == 0 {
		return 0, false
	}
	if n > most/2 {
		return 0, true
	}
	return max(0, min(trickle, calm-now.Sub(b.recent[b.oldest]))), true
}

// next takes the event that is to be written next, warnings first; nil when there is none. Dropped is how many were dropped
// since the last call.
func (b *backlog) next() (event *eventsv1.Event, dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if event = take(&b.warnings); event == nil {
		event = take(&b.others)
	}
	dropped, b.dropped = b.dropped, 0
	return event, dropped
}

// take removes the first of a queue, and the queue with its last.
func take(queue *[]*eventsv1.Event) *eventsv1.Event {
	if len(*queue) == 0 {
		return nil
	}
	event := (*queue)[0]
	(*queue)[0] = nil
	if *queue = (*queue)[1:]; len(*queue) == 0 {
		*queue = nil
	}
	return event
}
