package gitsync

import (
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/gitsync/apply"
)

// states keeps what is known of each GitSync between runs. Nothing in it is needed for correctness: a restart begins
// with empty states and compares everything with Git and the cluster once.
type states struct {
	mu     sync.Mutex
	byName map[types.NamespacedName]*state
}

func newStates() *states { return &states{byName: make(map[types.NamespacedName]*state)} }

// of returns the state of a GitSync; one that was deleted and created again begins anew.
func (s *states) of(name types.NamespacedName, uid types.UID) *state {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.byName[name]
	if !ok || st.uid != uid {
		st = &state{uid: uid, memory: apply.NewMemory()}
		s.byName[name] = st
	}
	return st
}

func (s *states) find(name types.NamespacedName) (*state, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.byName[name]
	return st, ok
}

func (s *states) drop(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byName, name)
}

// state is what is known of one GitSync. memory and watching are shared with the watcher; the rest belongs to the one
// worker that reconciles the GitSync.
type state struct {
	uid    types.UID
	memory *apply.Memory
	// watching makes every event of an owned object count, not only drift.
	watching atomic.Bool

	// resourceVersion is the newest that this process knows of: a cache that shows an older one is not believed.
	resourceVersion string
	// last is of the run before, whose status may have been written without an answer.
	last flow.Last

	// checked is when Git was last asked, for which generation and request; revision is what it answered.
	checked    time.Time
	generation int64
	requested  string
	revision   string
	// keys is the version of the decryption Secret at that time.
	keys string

	// checkout is revision, kept for repairs and retries: its encrypted files are encrypted.
	checkout Checkout
	// settled is the input that was applied and pruned completely, and of which nothing else has been applied since; the
	// zero input when none was. applied is what it was built from, and built that build, without its objects.
	settled input
	applied Checkout
	built   *Built
	// refused is the input that cannot be built, and why.
	refused input
	refusal error

	// waiting is about the wait for something in the cluster.
	waiting waiting
	// healthy holds the resourceVersion at which an object was found healthy.
	healthy map[apply.Ref]string
}

// waiting counts the wait of one input.
type waiting struct {
	input input
	since time.Time
	tries int
}

// wrote notes the resourceVersion of a status that was written here.
func (st *state) wrote(resourceVersion string) {
	if newer(resourceVersion, st.resourceVersion) {
		st.resourceVersion = resourceVersion
	}
}

// unsettle notes that an input is about to be applied. Whatever becomes of that, the cluster is not as another input had it.
func (st *state) unsettle(next input) {
	if st.settled != next {
		st.settled, st.applied, st.built = input{}, nil, nil
	}
}

// newer reports whether resourceVersion a is from after b; anything is newer than none.
func newer(a, b string) bool {
	if b == "" {
		return true
	}
	c, err := resourceversion.CompareResourceVersion(a, b)
	return err != nil && a != b || c > 0
}

// input is all that decides what a GitSync applies.
type input struct {
	revision   string
	generation int64
	keys       string
}
