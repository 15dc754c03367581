package externalsecret

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
)

// syncWindows returns windows of schedule and duration in turn.
func syncWindows(kind esv1.SyncWindowKind, pairs ...string) *esv1.SyncWindows {
	w := &esv1.SyncWindows{Kind: kind}
	for i := 0; i < len(pairs); i += 2 {
		d, err := time.ParseDuration(pairs[i+1])
		if err != nil {
			panic(err)
		}
		w.Windows = append(w.Windows, esv1.SyncWindow{Schedule: pairs[i], Duration: metav1.Duration{Duration: d}})
	}
	return w
}

func TestWindowsOpenAndCloseInUTC(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("far away", 9*3600)
	at := func(day, hour, minute, second int) time.Time {
		return time.Date(2026, 6, day, hour, minute, second, 0, time.UTC)
	} // 1 June is a Monday
	night := []string{"0 22 * * *", "2h"}
	tests := map[string]struct {
		kind    esv1.SyncWindowKind
		windows []string
		at      time.Time
		next    time.Time // equal to at when it is allowed
	}{
		"allow: the moment it opens":              {esv1.SyncWindowAllow, night, at(1, 22, 0, 0), at(1, 22, 0, 0)},
		"allow: inside":                           {esv1.SyncWindowAllow, night, at(1, 23, 0, 0), at(1, 23, 0, 0)},
		"allow: the moment it closes":             {esv1.SyncWindowAllow, night, at(2, 0, 0, 0), at(2, 0, 0, 0)},
		"allow: a second later":                   {esv1.SyncWindowAllow, night, at(2, 0, 0, 1), at(2, 22, 0, 0)},
		"allow: before":                           {esv1.SyncWindowAllow, night, at(1, 21, 59, 59), at(1, 22, 0, 0)},
		"allow: another zone's clock":             {esv1.SyncWindowAllow, night, at(1, 23, 0, 0).In(zone), at(1, 23, 0, 0)},
		"allow: the first of two":                 {esv1.SyncWindowAllow, append([]string{"30 21 * * *", "5m"}, night...), at(1, 12, 0, 0), at(1, 21, 30, 0)},
		"allow: a weekday":                        {esv1.SyncWindowAllow, []string{"0 8 * * 6", "1h"}, at(1, 8, 0, 0), at(6, 8, 0, 0)},
		"allow: a descriptor":                     {esv1.SyncWindowAllow, []string{"@daily", "1h"}, at(1, 8, 0, 0), at(2, 0, 0, 0)},
		"allow: a day that never comes":           {esv1.SyncWindowAllow, []string{"0 0 30 2 *", "1h"}, at(1, 8, 0, 0), time.Time{}},
		"allow: every hour for two":               {esv1.SyncWindowAllow, []string{"@every 1h", "2h"}, at(1, 8, 0, 0), at(1, 8, 0, 0)},
		"allow: every two hours for one":          {esv1.SyncWindowAllow, []string{"@every 2h", "1h"}, at(1, 8, 0, 0), time.Time{}},
		"allow: for less than no time":            {esv1.SyncWindowAllow, []string{"@daily", "-1h"}, at(1, 0, 0, 0), time.Time{}},
		"deny: outside":                           {esv1.SyncWindowDeny, night, at(1, 12, 0, 0), at(1, 12, 0, 0)},
		"deny: inside":                            {esv1.SyncWindowDeny, night, at(1, 23, 0, 0), at(2, 0, 0, 1)},
		"deny: the moment it opens":               {esv1.SyncWindowDeny, night, at(1, 22, 0, 0), at(2, 0, 0, 1)},
		"deny: one window after the other":        {esv1.SyncWindowDeny, append([]string{"0 0 * * *", "3h"}, night...), at(1, 23, 0, 0), at(2, 3, 0, 1)},
		"deny: one that overlaps itself for long": {esv1.SyncWindowDeny, []string{"0 8-10 * * *", "90m"}, at(1, 8, 30, 0), at(1, 11, 30, 1)},
		"deny: always":                            {esv1.SyncWindowDeny, []string{"@every 1h", "2h"}, at(1, 8, 0, 0), time.Time{}},
		"none":                                    {esv1.SyncWindowAllow, nil, at(1, 8, 0, 0), at(1, 8, 0, 0)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := parseWindows(syncWindows(tt.kind, tt.windows...))
			if err != nil {
				t.Fatal(err)
			}
			if got := w.next(tt.at); !got.Equal(tt.next) {
				t.Errorf("next %s, want %s", got, tt.next)
			}
			if got, want := w.allow(tt.at), tt.at.Equal(tt.next); got != want {
				t.Errorf("allowed: %v, want %v", got, want)
			}
			if !tt.next.IsZero() && !w.allow(tt.next) {
				t.Error("it is not allowed when it is said to be")
			}
		})
	}
	closed, err := parseWindows(syncWindows(esv1.SyncWindowDeny, "* * * * *", "1h"))
	if got := closed.next(at(1, 0, 0, 0)); err != nil || !got.After(at(1, 0, 0, 0)) {
		t.Errorf("windows without a gap: look again at %s (%v), want some later time", got, err)
	}
}

func TestAScheduleThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	for _, schedule := range []string{"61 * * * *", "* * * *", "x y z a b", "@every x", "@every", "@sometimes", "TZ=x", "TZ=Asia/Tokyo 0 5 * * *", "CRON_TZ=", "*/0 * * * *", "", "0 0 32 * *", "1-0 * * * *"} {
		spec := synced().es.Spec.DeepCopy()
		spec.SyncWindows = syncWindows(esv1.SyncWindowDeny, "@daily", "1h", schedule, "1h")
		if err := refuse(spec); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("spec.syncWindows.windows[1]: schedule %q", schedule)) {
			t.Errorf("%q: %v", schedule, err)
		}
	}
}

func FuzzASchedule(f *testing.F) {
	for _, s := range []string{"0 22 * * 1-5", "@every 1h30m", "@daily", "*/5 1,2 * JAN-DEC SUN", "TZ=", "? ? ? ? ?"} {
		f.Add(s, int64(3600))
	}
	f.Fuzz(func(t *testing.T, schedule string, seconds int64) {
		for _, kind := range []esv1.SyncWindowKind{esv1.SyncWindowAllow, esv1.SyncWindowDeny} {
			spec := &esv1.SyncWindows{Kind: kind, Windows: []esv1.SyncWindow{{Schedule: schedule, Duration: metav1.Duration{Duration: time.Duration(seconds) * time.Second}}}}
			w, err := parseWindows(spec)
			if err != nil {
				return
			}
			if next := w.next(start); !next.IsZero() && next.Before(start) {
				t.Errorf("%q for %ds: the next time %s is before %s", schedule, seconds, next, start)
			}
		}
	})
}

func TestWindowsHoldUpPeriodicRefreshesAndNothingElse(t *testing.T) {
	t.Parallel()
	closed := func(s *scope) { // until ten o'clock
		w, err := parseWindows(syncWindows(esv1.SyncWindowDeny, "0 4 * * *", "6h"))
		if err != nil {
			panic(err)
		}
		s.windows = w
	}
	late := func(s *scope) { s.now = start.Add(2 * time.Hour) }
	tests := map[string]struct {
		given func(*scope)
		want  plan
	}{
		"an interval has passed":        {func(*scope) {}, plan{blocked: true}},
		"the spec changed":              {func(s *scope) { s.es.Generation++; s.version = versionOf(s.es) }, plan{refresh: true, changed: true}},
		"somebody forces it":            {func(s *scope) { s.es.Labels = nil; s.version = versionOf(s.es) }, plan{refresh: true, changed: true, forced: true}},
		"the target is gone":            {func(s *scope) { s.target = target{} }, plan{refresh: true, drifted: true}},
		"it was never synced":           {func(s *scope) { s.es.Status = esv1.ExternalSecretStatus{}; s.target = target{} }, plan{refresh: true, changed: true, drifted: true}},
		"the windows are open":          {func(s *scope) { s.now = start.Add(6 * time.Hour) }, plan{refresh: true}},
		"nothing is due":                {func(s *scope) { s.now = start.Add(time.Second) }, plan{}},
		"the refresh policy is another": {func(s *scope) { s.es.Spec.RefreshPolicy = esv1.RefreshOnChange }, plan{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := synced()
			closed(s)
			late(s)
			tt.given(s)
			if got := decide(s); got != tt.want {
				t.Errorf("plan %+v, want %+v", got, tt.want)
			}
		})
	}

	s := synced()
	closed(s)
	late(s)
	s.plan = decide(s)
	failed := esv1.Condition{Type: esv1.ConditionReady, Status: "False", Reason: esv1.ReasonSecretSyncedError, Message: "down", LastTransitionTime: metav1.NewTime(start)}
	s.es.Status.Conditions = []esv1.Condition{failed}
	verdict := report(time.Hour)(s, flow.Outcome{State: flow.Ready})
	closes := time.Date(2026, 3, 4, 10, 0, 1, 0, time.UTC).Sub(s.now)
	if verdict.Next < closes || verdict.Next > closes+afterOpening {
		t.Errorf("looked at again after %s, want shortly after %s: when the window closes", verdict.Next, closes)
	}
	for s.now = s.now.Add(closes); s.now.Before(start.Add(6 * time.Hour)); s.now = s.now.Add(time.Second) {
		next := report(time.Hour)(s, flow.Outcome{State: flow.Ready}).Next
		if decide(s).refresh {
			break
		}
		if !s.now.Add(next).Equal(start.Add(2 * time.Hour).Add(verdict.Next)) {
			t.Fatalf("at %s it is looked at again after %s, want at the time that was said first", s.now, next)
		}
	}
	if early := start.Add(2 * time.Hour).Add(verdict.Next).Sub(s.now); early > 0 {
		t.Errorf("it is read %s before its turn", early)
	}
	if opened := s.now.Sub(start.Add(2*time.Hour)) - closes; opened > afterOpening {
		t.Errorf("it is read %s after the window closed, want %s at most", opened, afterOpening)
	}
	if got := conditions.Ready(s.es.Status.Conditions); got != failed {
		t.Errorf("waiting for a window changed the condition to %+v", got)
	}
}

func TestNewsThatAWindowHeldUpIsReadWhenItOpensAndNotWhenTheIntervalIsOver(t *testing.T) {
	t.Parallel()
	for name, interval := range map[string]time.Duration{"due long after": 1000 * time.Hour, "due before": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := synced()
			s.es.Spec.RefreshInterval = &metav1.Duration{Duration: interval}
			s.windows, _ = parseWindows(syncWindows(esv1.SyncWindowDeny, "0 4 * * *", "6h"))
			failed := esv1.Condition{Type: esv1.ConditionReady, Status: "False", Reason: esv1.ReasonSecretSyncedError, Message: "down", LastTransitionTime: metav1.NewTime(start)}
			s.es.Status.Conditions = []esv1.Condition{failed}
			s.news, s.now = start.Add(time.Minute), start.Add(2*time.Minute)
			s.plan = decide(s)
			next := report(time.Hour)(s, flow.Outcome{State: flow.Ready}).Next
			closes := time.Date(2026, 3, 4, 10, 0, 1, 0, time.UTC).Sub(s.now)
			if s.plan.refresh || next < closes || next > closes+afterOpening {
				t.Fatalf("read now: %t; looked at again after %s, want shortly after %s: when the window closes", s.plan.refresh, next, closes)
			}
			if got := conditions.Ready(s.es.Status.Conditions); got != failed {
				t.Errorf("waiting for a window changed the condition to %+v", got)
			}
			if s.now = s.now.Add(next); !decide(s).refresh {
				t.Error("it is not read when the window has closed")
			}
		})
	}
	s := synced()
	s.es.Spec.RefreshInterval = &metav1.Duration{Duration: 1000 * time.Hour}
	s.windows, _ = parseWindows(syncWindows(esv1.SyncWindowAllow, "0 0 30 2 *", "1h"))
	s.news = start.Add(time.Second)
	s.plan = decide(s)
	if next := report(time.Hour)(s, flow.Outcome{State: flow.Ready}).Next; next != 0 {
		t.Errorf("with windows that never open it is looked at after %s", next)
	}
}

func TestWhatAWindowHeldUpIsReadInTurn(t *testing.T) {
	t.Parallel()
	opens := time.Date(2026, 6, 1, 22, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		kind     esv1.SyncWindowKind
		windows  []string
		opens    time.Time
		within   time.Duration
		together time.Duration // those that read the same
	}{
		"allow":                  {esv1.SyncWindowAllow, []string{"0 22 * * *", "2h"}, opens, 2 * time.Minute, 30 * time.Second},
		"deny":                   {esv1.SyncWindowDeny, []string{"0 4 * * *", "18h"}, opens.Add(time.Second), 2 * time.Minute, 30 * time.Second},
		"allow, for a minute":    {esv1.SyncWindowAllow, []string{"0 22 * * *", "1m"}, opens, 30 * time.Second, 8 * time.Second},
		"deny, but for a minute": {esv1.SyncWindowDeny, []string{"0 4 * * *", "18h", "1 22 * * *", "5h"}, opens.Add(time.Second), 30 * time.Second, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := parseWindows(syncWindows(tc.kind, tc.windows...))
			if err != nil {
				t.Fatal(err)
			}
			const objects, interval = 1000, time.Hour
			due := opens.Add(-time.Hour)
			turns := map[time.Duration]int{}
			for i := range objects {
				at := w.turn(due, types.UID(fmt.Sprint(i)), aim{point: hashOf(fmt.Sprint("key", i))}, interval)
				if after := at.Sub(tc.opens); after < 0 || after > tc.within || !w.allow(at) {
					t.Fatalf("read %s after the window opened, want within %s", after, tc.within)
				}
				turns[at.Sub(tc.opens)*20/tc.within]++
			}
			for part, n := range turns {
				if n > objects/10 {
					t.Errorf("%d of %d objects in part %d of 20, want them spread", n, objects, part)
				}
			}
			var first, last time.Time
			for i := range objects {
				at := w.turn(due, types.UID(fmt.Sprint(i)), aim{point: hashOf("key")}, interval)
				if first.IsZero() || at.Before(first) {
					first = at
				}
				if at.After(last) {
					last = at
				}
			}
			if last.Sub(first) > tc.together {
				t.Errorf("what reads the same is read within %s, want %s", last.Sub(first), tc.together)
			}
			inside := tc.opens.Add(tc.within)
			if at := w.turn(inside, "uid", aim{}, interval); !at.Equal(inside) {
				t.Errorf("what falls due while the window is open is read %s later", at.Sub(inside))
			}
		})
	}
}
