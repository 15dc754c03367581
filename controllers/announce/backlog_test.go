package announce

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func event(kind, reason string) *eventsv1.Event { return &eventsv1.Event{Type: kind, Reason: reason} }

func TestEventsWaitOnlyDuringAStorm(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		events int
		each   time.Duration
		later  time.Duration
		want   time.Duration
	}{
		"one":                               {events: 1},
		"as many as are no storm":           {events: burst - 1},
		"many over a long time":             {events: 10 * burst, each: calm / burst * 2},
		"a storm":                           {events: burst, want: trickle},
		"the end of a storm":                {events: burst, later: calm - trickle/5, want: trickle / 5},
		"after a storm":                     {events: burst, later: calm},
		"as many as may be left over":       {events: most / 2, want: trickle},
		"more than is good to be left over": {events: most/2 + 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, now := newBacklog(), start
			for range tc.events {
				now = now.Add(tc.each)
				b.add(event(corev1.EventTypeNormal, "Created"), now)
			}
			if got, waiting := b.pause(now.Add(tc.later)); got != tc.want || !waiting {
				t.Errorf("the next event waits %s (%t), want %s", got, waiting, tc.want)
			}
		})
	}
	if _, waiting := newBacklog().pause(start); waiting {
		t.Error("an event waits where there is none")
	}
}

func TestWarningsAreWrittenFirstAndEachKindInItsOrder(t *testing.T) {
	t.Parallel()
	b := newBacklog()
	for i, kind := range []string{corev1.EventTypeNormal, corev1.EventTypeWarning, corev1.EventTypeNormal, corev1.EventTypeWarning} {
		b.add(event(kind, fmt.Sprint(i)), time.Now())
	}
	var got string
	for e, _ := b.next(); e != nil; e, _ = b.next() {
		got += e.Reason
	}
	if got != "1302" {
		t.Errorf("the order is %s", got)
	}
}

func TestBeyondWhatIsKeptTheOldestAreDroppedAndCountedButWarnings(t *testing.T) {
	t.Parallel()
	b := newBacklog()
	b.add(event(corev1.EventTypeWarning, "w"), time.Now())
	for i := range most + 2 {
		b.add(event(corev1.EventTypeNormal, fmt.Sprint(i)), time.Now())
	}
	first, dropped := b.next()
	second, again := b.next()
	if first.Reason != "w" || second.Reason != "3" || dropped != 3 || again != 0 {
		t.Errorf("%s and %s are written after %d and %d were dropped", first.Reason, second.Reason, dropped, again)
	}
	for range most {
		b.add(event(corev1.EventTypeWarning, "w"), time.Now())
	}
	if n := len(b.warnings) + len(b.others); n != most {
		t.Errorf("%d events wait, more than %d", n, most)
	}
}

func TestWhatWasDroppedIsToldOnce(t *testing.T) {
	t.Parallel()
	var said []string
	ctx := log.IntoContext(t.Context(), funcr.New(func(_, text string) { said = append(said, text) }, funcr.Options{}))
	a := New(nil)
	a.backlog.dropped = 1
	for range 2 {
		if a.writeNext(ctx, &errgroup.Group{}) {
			t.Error("an event is written where there is none")
		}
	}
	if want := `"level"=0 "msg"="events were not written, there were too many at once" "number"=1`; len(said) != 1 || said[0] != want {
		t.Errorf("it says %q", said)
	}
}

// TestOfWarningsAloneTheOldestAreDropped: when there is nothing else that could be.
func TestOfWarningsAloneTheOldestAreDropped(t *testing.T) {
	t.Parallel()
	b := newBacklog()
	for i := range most + 3 {
		b.add(event(corev1.EventTypeWarning, fmt.Sprint(i)), time.Now())
	}
	first, dropped := b.next()
	if first == nil || first.Reason != "3" || dropped != 3 {
		t.Errorf("the first is %v, and %d were dropped; want that after the three oldest", first, dropped)
	}
	left := 1
	for e, _ := b.next(); e != nil; e, _ = b.next() {
		left++
	}
	if left != most {
		t.Errorf("%d wait, want %d", left, most)
	}
}

func TestEventsOfOneMomentHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	a, now, seen := &Announcer{}, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), map[string]bool{}
	for range 3 {
		seen[a.nameAfter("db", now)] = true
	}
	seen[a.nameAfter("db", now.Add(-time.Hour))] = true // a clock that is set back
	if len(seen) != 4 {
		t.Errorf("four events have the names %v", seen)
	}
}
