package externalsecret

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/types"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/providers"
)

// windows are the times in which periodic refreshes happen; the zero value is always.
type windows struct {
	kind esv1.SyncWindowKind
	list []window
}

// window is open from each time of its schedule on, for a duration, both ends included.
type window struct {
	schedule cron.Schedule
	duration time.Duration
}

// parseWindows reads spec.syncWindows (External Secrets Operator's: five cron fields or a descriptor, in UTC).
func parseWindows(spec *esv1.SyncWindows) (windows, error) {
	if spec == nil {
		return windows{}, nil
	}
	w := windows{kind: spec.Kind}
	parser := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	for i, s := range spec.Windows {
		refused := func(why string) error {
			return providers.Errorf(providers.ErrInvalid, "spec.syncWindows.windows[%d]: schedule %q %s; write five cron fields as in \"0 22 * * 1-5\" (UTC), or @daily and the like",
				i, s.Schedule, why)
		}
		if strings.Contains(s.Schedule, "TZ=") {
			return windows{}, refused("names a time zone")
		}
		schedule, err := parser.Parse(s.Schedule)
		if err != nil {
			return windows{}, refused(fmt.Sprintf("cannot be read (%s)", err))
		}
		w.list = append(w.list, window{schedule: schedule, duration: s.Duration.Duration})
	}
	return w, nil
}

// opened returns when the window opened that is open at a time, the earliest such time, and whether it is open at all. A
// schedule of "@every" has no times of its own: it is always open when it lasts as long as its period, and else never.
func (w window) opened(at time.Time) (time.Time, bool) {
	if every, ok := w.schedule.(cron.ConstantDelaySchedule); ok {
		return at, every.Delay <= w.duration
	}
	first := w.schedule.Next(at.UTC().Add(-w.duration - 1))
	return first, !first.IsZero() && !first.After(at)
}

// always reports whether the window never closes.
func (w window) always() bool {
	_, every := w.schedule.(cron.ConstantDelaySchedule)
	return every
}

// allow reports whether a periodic refresh may happen at a time.
func (w windows) allow(at time.Time) bool {
	if len(w.list) == 0 {
		return true
	}
	for _, one := range w.list {
		if _, open := one.opened(at); open {
			return w.kind == esv1.SyncWindowAllow
		}
	}
	return w.kind != esv1.SyncWindowAllow
}

// next returns the first time from at on when a refresh may happen, or when it is worth another look; zero for never.
func (w windows) next(at time.Time) time.Time {
	if w.allow(at) {
		return at
	}
	if w.kind == esv1.SyncWindowAllow {
		return w.opens(at)
	}
	const looks = 100 // windows that follow upon one another
	for range looks {
		end := time.Time{}
		for _, one := range w.list {
			opened, open := one.opened(at)
			switch closes := opened.Add(one.duration + time.Second).Truncate(time.Second); {
			case !open:
			case one.always():
				return time.Time{}
			case closes.After(end):
				end = closes
			}
		}
		if end.IsZero() {
			return at
		}
		at = end
	}
	return at
}

// afterOpening is for how long after the windows allow it again those are read that were held up, so that not all of them are
// in one second.
const afterOpening = 2 * time.Minute

// turn returns when an object is read that is due at a time: then, or when the windows held it up, a while after they next
// allow it: the part of it that stands for the object's point, and a little more of its own, so that those that read the
// same are read together. It is within an interval, and half of the time for which they allow it; zero for never.
func (w windows) turn(due time.Time, uid types.UID, to aim, interval time.Duration) time.Time {
	opens := w.next(due)
	if opens.IsZero() || opens.Equal(due) {
		return opens
	}
	within := min(afterOpening, interval, w.lasts(opens)/2)
	return opens.Add(share(to.point, within*3/4) + min(within/4, jitterOf(uid, interval)))
}

// lasts returns for how long refreshes are allowed from a time on at which they are, at least.
func (w windows) lasts(from time.Time) time.Duration {
	if w.kind != esv1.SyncWindowAllow {
		if next := w.opens(from); !next.IsZero() {
			return next.Sub(from)
		}
		return afterOpening * 2
	}
	var longest time.Duration
	for _, one := range w.list {
		if opened, open := one.opened(from); open {
			longest = max(longest, opened.Add(one.duration).Sub(from))
		}
	}
	return longest
}

// opens returns when the first window opens after a time; zero for never.
func (w windows) opens(at time.Time) time.Time {
	var first time.Time
	for _, one := range w.list {
		if one.always() || one.duration < 0 {
			continue
		}
		if t := one.schedule.Next(at.UTC()); !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
