package flow

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// CatchUp is how long to wait for a cache that does not show yet what this process wrote last.
const CatchUp = 50 * time.Millisecond

// doubt is how long a write without an answer may have been carried out without the cache showing it.
const doubt = time.Second

// Last is what is known of the last run over an object. A run that begins with an older status takes what that says for what
// the cluster shows, and reports nothing new where the cluster shows something else.
type Last struct {
	// version is the object's resourceVersion after the run.
	version string
	// until is when the version is believed in although the status was written without an answer; zero for one that had one.
	until time.Time
}

// LastOf returns what to remember of a run: of the object as Run left it and of the error that Run returned.
func LastOf(obj client.Object, err error, now time.Time) Last {
	l := Last{version: obj.GetResourceVersion()}
	var unwritten *unwrittenError
	if errors.As(err, &unwritten) {
		l.until = now.Add(doubt)
	}
	return l
}

// Behind reports whether an object from a cache may be older than the one that the last run left: it is then looked at again
// after CatchUp.
func (l Last) Behind(obj client.Object, now time.Time) bool {
	order, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), l.version)
	return err == nil && (order < 0 || order == 0 && now.Before(l.until))
}

// unwrittenError is of a status of which it is not known whether it was written.
type unwrittenError struct{ err error }

func (u *unwrittenError) Error() string { return "write status: " + u.err.Error() }
func (u *unwrittenError) Unwrap() error { return u.err }
