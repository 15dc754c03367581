package flow

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Observer is told of runs, to make metrics of them. It is safe for concurrent use, and neither keeps nor changes objects.
type Observer interface {
	// Ran is told how a run of the object ended; the object has the status that the run reported.
	Ran(obj client.Object, o Observation)
	// Gone is told that there is no object of that name any more, or none that is served; obj is of its type.
	Gone(obj client.Object, name types.NamespacedName)
}

// Observation is one run.
type Observation struct {
	Outcome Outcome
	// Took is how long the run took, with the write of the status.
	Took time.Duration
	// Synced and Due are those of the Verdict.
	Synced, Due time.Time
}

// Gone tells the observer that the object of that name does not exist any more; obj is of its type.
func (e Engine) Gone(obj client.Object, name types.NamespacedName) {
	if e.Observer != nil {
		e.Observer.Gone(obj, name)
	}
}

func (e Engine) observe(obj client.Object, o Observation, foreign bool) {
	switch {
	case e.Observer == nil:
	case foreign:
		e.Observer.Gone(obj, client.ObjectKeyFromObject(obj))
	default:
		e.Observer.Ran(obj, o)
	}
}
