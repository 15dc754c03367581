package flow

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The bounds of the pause in which a cache may come to show what this process wrote last. Mostly it takes milliseconds. The watch of an
// API server that was away is away itself for up to a minute more, and then all that were written meanwhile are waited for.
const (
	minCatchUp = 50 * time.Millisecond
	maxCatchUp = 2 * time.Second
)

// doubt is how long a write without an answer may have been carried out without the cache showing it.
const doubt = time.Second

// Last is what is known of the last run over an object. A run that begins with an older status takes what that says for what
// the cluster shows, and reports nothing new where the cluster shows something else.
type Last struct {
	// version is the object's resourceVersion after the run.
	version string
	// ended is when the run did.
	ended time.Time
	// until is when the version is believed in although the status was written without an answer; zero for one that had one.
	until time.Time
}

// LastOf returns what to remember of a run: of the object as Run left it and of the error that Run returned.
func LastOf(obj client.Object, err error, now time.Time) Last {
	l := Last{version: obj.GetResourceVersion(), ended: now}
	var unwritten *unwrittenError
	if errors.As(err, &unwritten) {
		l.until = now.Add(doubt)
	}
	return l
}

// Behind returns after which pause to look again at an object from a cache that may be older than the one that the last run left, 0 when
// it is not: after as long as the cache is behind already, within 50 milliseconds and two seconds.
func (l Last) Behind(obj client.Object, now time.Time) time.Duration {
	order, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), l.version)
	pause := min(max(now.Sub(l.ended), minCatchUp), maxCatchUp)
	switch {
	case err != nil || order > 0:
		return 0
	case order == 0:
		return max(min(pause, l.until.Sub(now)), 0)
	default:
		return pause
	}
}

// unwrittenError is of a status of which it is not known whether it was written.
type unwrittenError struct{ err error }

func (u *unwrittenError) Error() string { return "write status: " + u.err.Error() }
func (u *unwrittenError) Unwrap() error { return u.err }
