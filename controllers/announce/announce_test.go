package announce_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	apiruntime "k8s.io/apimachinery/pkg/runtime"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/announce"
)

// server takes events, and answers the first tries with faults.
type server struct {
	client.Client

	mu     sync.Mutex
	faults []error
	tries  int
	got    map[string]eventsv1.Event
	taken  int
	// forget keeps nothing but the number.
	forget bool
	// answer is what a try waits for, when there is something, and at how many tries wait at once.
	answer func(ctx context.Context) error
	at     int
	// logged is what the Announcer says.
	logged strings.Builder
}

func (*server) Scheme() *apiruntime.Scheme { return clientscheme.Scheme }

func (s *server) Create(ctx context.Context, obj client.Object, _ ...client.CreateOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.answer != nil {
		s.at++
		s.mu.Unlock()
		err := s.answer(ctx)
		s.mu.Lock()
		if s.at--; err != nil {
			return err
		}
	}
	if len(s.faults) > 0 {
		err := s.faults[0]
		s.faults = s.faults[1:]
		return err
	}
	s.taken++
	if event, ok := obj.(*eventsv1.Event); ok && !s.forget {
		s.got[event.Reason] = *event
	}
	return nil
}

// events returns how many the server has, and how often it was asked.
func (s *server) events() (taken, tries int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken, s.tries
}

// started returns an Announcer that runs, and how to end it.
func started(t *testing.T, s *server) (a *announce.Announcer, stop func()) {
	t.Helper()
	s.got = map[string]eventsv1.Event{}
	a = announce.New(s)
	a.Pause = time.Millisecond
	return a, run(t, s, a)
}

// run starts an Announcer, and returns how to end it.
func run(t *testing.T, s *server, a *announce.Announcer) (stop func()) {
	t.Helper()
	logger := funcr.New(func(_, text string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.logged.WriteString(text + "\n")
	}, funcr.Options{})
	ctx, cancel := context.WithCancel(log.IntoContext(t.Context(), logger))
	done := make(chan error)
	go func() { done <- a.Start(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// said returns what was logged.
func (s *server) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logged.String()
}

func object(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: "u", ResourceVersion: "7"}}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

func TestAnEventIsWrittenAgainUntilTheServerHasTakenOrRefusedIt(t *testing.T) {
	t.Parallel()
	status := func(code int32) error { return &apierrors.StatusError{ErrStatus: metav1.Status{Code: code}} }
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "e", nil)
	terminating := apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "e", nil)
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	tests := map[string]struct {
		faults       []error
		taken, tries int
		logged       bool
	}{
		"taken":                                {taken: 1, tries: 1},
		"no connection":                        {faults: []error{errors.New("reset"), errors.New("reset")}, taken: 1, tries: 3},
		"overloaded":                           {faults: []error{status(429), status(500), status(503)}, taken: 1, tries: 4},
		"refused":                              {faults: []error{forbidden}, tries: 1, logged: true},
		"of a namespace that is being deleted": {faults: []error{terminating}, tries: 1},
		"there already":                        {faults: []error{apierrors.NewAlreadyExists(schema.GroupResource{}, "e")}, tries: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{faults: tc.faults}
			a, stop := started(t, s)
			a.Recorder("tests").Eventf(object("a"), nil, corev1.EventTypeNormal, "Synced", "Sync", "%s is synced", "a")
			eventually(t, "the server is asked", func() bool { _, tries := s.events(); return tries == tc.tries })
			stop()
			taken, tries := s.events()
			if said := s.said(); taken != tc.taken || tries != tc.tries || (said != "") != tc.logged || tc.logged &&
				!strings.Contains(said, `"an event was not written" "error"="the API server answered Forbidden" "reason"="Synced" "kind"="ConfigMap" "namespace"="team" "name"="a"`) {
				t.Errorf("%d events after %d tries, logged: %s", taken, tries, said)
			}
			if got := s.got["Synced"]; taken > 0 && (got.Namespace != "team" || got.Regarding.Name != "a" || got.Note != "a is synced" ||
				got.ReportingController != "tests" || got.Type != corev1.EventTypeNormal || got.Action != "Sync" || got.EventTime.IsZero()) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestWhatIsAnnouncedBeforeTheStartAndRightBeforeTheEndIsWritten(t *testing.T) {
	t.Parallel()
	s := &server{got: map[string]eventsv1.Event{}}
	a := announce.New(s)
	announced := func(reason string) {
		a.Recorder("tests").Eventf(object("a"), nil, corev1.EventTypeNormal, reason, "Sync", "note")
	}
	announced("First")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Start(ctx) }()
	eventually(t, "the first is written", func() bool { taken, _ := s.events(); return taken == 1 })
	announced("Last")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if taken, _ := s.events(); taken != 2 {
		t.Errorf("%d events", taken)
	}
	announced("Late") // goes nowhere, and stops nobody
}

// In a bubble: on a machine that is busy the test could pause for so long that it is no storm.
func TestAStormOfEventsLeavesTheServerToOthersUntilItIsOverAndNoneIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const objects = 300
		s := &server{forget: true}
		a, _ := started(t, s)
		recorder := a.Recorder("tests")
		during := 0
		for i := range objects {
			recorder.Eventf(object(fmt.Sprint("app-", i)), nil, corev1.EventTypeNormal, "Synced", "Sync", "it is synced")
			time.Sleep(time.Millisecond)
			during, _ = s.events()
		}
		if during > objects/2 {
			t.Errorf("%d of %d events were written during the storm", during, objects)
		}
		eventually(t, "all are written", func() bool { taken, _ := s.events(); return taken == objects })
	})
}

func TestAnEventThatNobodyTakesIsTriedLessAndLessOftenAndGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Duration
		start := time.Now()
		s := &server{}
		s.answer = func(context.Context) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			tries = append(tries, time.Since(start))
			return errors.New("reset")
		}
		a := announce.New(s)
		run(t, s, a)
		a.Recorder("tests").Eventf(object("a"), nil, corev1.EventTypeNormal, "Synced", "Sync", "it is synced")
		time.Sleep(time.Hour)
		if said := s.said(); len(tries) != 8 || !strings.Contains(said, "an event was not written") {
			t.Fatalf("%d tries: %v, and it says %s", len(tries), tries, said)
		}
		pause, varied := 5*time.Second, false
		for i, at := range tries[1:] {
			took := at - tries[i]
			if took < pause || took > pause+pause/4 {
				t.Errorf("pause %d is %s, want about %s", i+1, took, pause)
			}
			varied = varied || took > pause
			pause += pause / 2
		}
		if !varied {
			t.Error("all who wait ask at the same moment")
		}
	})
}

func TestAServerThatDoesNotAnswerIsAskedByFewAtOnceAndForFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const objects = 100
		s := &server{forget: true, answer: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		a, stop := started(t, s)
		a.Pause = time.Hour
		began := time.Now()
		for range objects {
			a.Recorder("tests").Eventf(object("a"), nil, corev1.EventTypeWarning, "UpdateFailed", "Sync", "the store does not answer")
		}
		at := func() int {
			synctest.Wait()
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.at
		}
		for _, want := range []struct {
			after time.Duration
			at    int
		}{{4999 * time.Millisecond, 32}, {6100 * time.Millisecond, 0}} { // the first ends at five, and a storm holds some back for a second
			time.Sleep(time.Until(began.Add(want.after)))
			if got := at(); got != want.at {
				t.Errorf("%d tries are under way after %s, want %d", got, want.after, want.at)
			}
		}
		ended := time.Now()
		stop() // what waits is tried once more or not at all
		if took := time.Since(ended); took < 5*time.Second || took > 15*time.Second {
			t.Errorf("it ends within %s", took)
		}
	})
}

func TestTheEndWaitsForWhatIsBeingWrittenAndWhatIsAnnouncedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{forget: true, answer: func(context.Context) error { time.Sleep(time.Second); return nil }}
		a, stop := started(t, s)
		ended := make(chan struct{})
		go func() { defer close(ended); stop() }()
		for range 3 {
			time.Sleep(99 * time.Millisecond)
			a.Recorder("tests").Eventf(object("a"), nil, corev1.EventTypeNormal, "Synced", "Sync", "it is synced")
		}
		<-ended
		if taken, _ := s.events(); taken != 3 {
			t.Errorf("%d of 3 events were written", taken)
		}
	})
}

func TestWhatHasNoKindHasNoEvent(t *testing.T) {
	t.Parallel()
	s := &server{}
	a, stop := started(t, s)
	a.Recorder("tests").Eventf(&esv1.ExternalSecret{}, nil, corev1.EventTypeNormal, "Synced", "Sync", "it is of no kind that the client knows")
	stop()
	if _, tries := s.events(); tries != 0 {
		t.Errorf("%d tries", tries)
	}
}

func TestAStormIsWrittenToItsLastEventWhenTheProcessEnds(t *testing.T) {
	t.Parallel()
	const objects = 300
	s := &server{forget: true}
	a, stop := started(t, s)
	recorder := a.Recorder("tests")
	for i := range objects {
		recorder.Eventf(object(fmt.Sprint("app-", i)), nil, corev1.EventTypeNormal, "Synced", "Sync", "it is synced")
	}
	stop()
	if taken, _ := s.events(); taken != objects {
		t.Errorf("%d of %d events were written", taken, objects)
	}
}

// A store that goes down fails all who use it at once.
func TestNoneOfThousandsOfEventsAtOnceIsLost(t *testing.T) {
	t.Parallel()
	const objects, workers = 10_000, 8
	s := &server{forget: true}
	a, stop := started(t, s)
	var running sync.WaitGroup
	for worker := range workers {
		recorder := a.Recorder("tests")
		running.Go(func() {
			for i := worker; i < objects; i += workers {
				recorder.Eventf(object(fmt.Sprint("app-", i)), nil, corev1.EventTypeWarning, "UpdateFailed", "Sync", "the store does not answer")
			}
		})
	}
	running.Wait()
	stop()
	if taken, _ := s.events(); taken != objects {
		t.Errorf("%d of %d events were written", taken, objects)
	}
}

func TestEventsOfOneMomentAndOfLongNamesHaveNamesThatTheAPIServerTakes(t *testing.T) {
	t.Parallel()
	s := &server{}
	a, stop := started(t, s)
	long := strings.Repeat("a.", 126) + "a"
	names := map[string]bool{}
	for i := range 100 {
		a.Recorder("tests").Eventf(object(long), nil, corev1.EventTypeNormal, fmt.Sprint(i), "Sync", "%d%%", 100)
	}
	a.Recorder(strings.Repeat("c", 130)).Eventf(object("a"), nil, corev1.EventTypeNormal, "instance", "Sync", "note")
	a.Recorder("tests").Eventf(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}, object("a"), corev1.EventTypeNormal, "related", "Sync", "note")
	stop()
	for _, e := range s.got {
		names[e.Name] = true
		if e.Regarding.Name == long && len(e.Name) < 252 { // of 253, and a dot where it is cut
			t.Errorf("of a long name %d bytes are left", len(e.Name))
		}
		if problems := validation.IsDNS1123Subdomain(e.Name); len(problems) > 0 {
			t.Errorf("name %q: %v", e.Name, problems)
		}
	}
	if len(names) != 102 {
		t.Errorf("%d names of 102 events", len(names))
	}
	if n := len(s.got["instance"].ReportingInstance); n != 128 {
		t.Errorf("an instance of %d bytes, want as many as the API server takes", n)
	}
	if e := s.got["related"]; e.Namespace != metav1.NamespaceDefault || e.Regarding.Kind != "Namespace" || e.Related == nil || e.Related.Name != "a" || e.ReportingInstance == "" {
		t.Errorf("%+v", e)
	}
	if e := s.got["7"]; e.Note != "100%" {
		t.Errorf("the note is %q", e.Note)
	}
}

// Not parallel: it looks at what the whole process keeps.
func TestNothingIsKeptOfAnEventThatIsWritten(t *testing.T) {
	const objects, portion, most = 3000, 500, 200
	s := &server{forget: true}
	a, _ := started(t, s)
	recorder := a.Recorder("tests")
	before := kept()
	for i := 1; i <= objects; i++ {
		recorder.Eventf(object(fmt.Sprint("app-", i)), nil, corev1.EventTypeNormal, "Synced", "Sync", "it is synced")
		if i%portion == 0 {
			eventually(t, "all are written", func() bool { taken, _ := s.events(); return taken == i })
		}
	}
	if each := (kept() - before) / objects; each > most {
		t.Errorf("%d bytes an event, more than %d", each, most)
	}
}

// kept returns how many bytes are alive on the heap.
func kept() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
