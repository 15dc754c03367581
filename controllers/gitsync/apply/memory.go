package apply

import (
	"crypto/sha256"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Memory remembers, for one GitSync, what every object looked like after it was applied, so that an object that nobody
// touched since costs no request. It holds no values, is empty after a restart and safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	records map[Ref]record
}

// NewMemory returns a Memory that remembers nothing: everything is compared with the cluster once.
func NewMemory() *Memory { return &Memory{records: make(map[Ref]record)} }

// record is what is known about one object.
type record struct {
	uid             types.UID
	resourceVersion string
	// generation is zero for kinds that have none; then any new resourceVersion may be drift.
	generation int64
	hash       [sha256.Size]byte
	// labels and annotations are the desired ones.
	labels, annotations map[string]string
	// materialised: the Secret of this object was there at this generation.
	materialised bool
	// repairs counts the repairs in quick succession, lastRepair is when the last one was.
	repairs    int
	lastRepair time.Time
}

func newRecord(o Object, live *unstructured.Unstructured) record {
	return record{
		uid: live.GetUID(), resourceVersion: live.GetResourceVersion(), generation: live.GetGeneration(), hash: o.hash,
		labels: o.desired.GetLabels(), annotations: o.desired.GetAnnotations(),
	}
}

func (m *Memory) get(r Ref) (record, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec, ok := m.records[r]
	return rec, ok
}

func (m *Memory) put(r Ref, rec record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.records[r]
	rec.repairs, rec.lastRepair = old.repairs, old.lastRepair
	m.records[r] = rec
}

func (m *Memory) forget(r Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, r)
}

func (m *Memory) setMaterialised(r Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rec, ok := m.records[r]; ok {
		rec.materialised = true
		m.records[r] = rec
	}
}

// Repairs in quick succession mean that somebody else keeps writing the object; they are slowed down.
const (
	repairQuiet = 5 * time.Minute
	repairMax   = time.Minute
)

// repaired notes a repair of the object at now.
func (m *Memory) repaired(r Ref, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec := m.records[r]
	if now.Sub(rec.lastRepair) > repairQuiet {
		rec.repairs = 0
	}
	rec.repairs++
	rec.lastRepair = now
	m.records[r] = rec
}

// RepairDelay says how long a repair of the object should wait at now: nothing for the first, then one second, doubling
// up to a minute while the repairs do not last.
func (m *Memory) RepairDelay(r Ref, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	rec := m.records[r]
	if rec.repairs == 0 || now.Sub(rec.lastRepair) > repairQuiet {
		return 0
	}
	return min(repairMax, time.Second<<min(rec.repairs-1, 10))
}

// Live is what a watch knows about an object without asking the API server.
type Live struct {
	// Known is false when nothing watches the kind, or the watch has not caught up yet.
	Known bool
	// Object is nil when it does not exist.
	Object *metav1.PartialObjectMetadata
}

// Knows reports whether the object was applied.
func (m *Memory) Knows(r Ref) bool {
	_, ok := m.get(r)
	return ok
}

// Drifted reports whether an object may no longer be what was applied, as far as the watch can tell. An object that
// was never applied, or that nothing watches, counts as drifted.
func (m *Memory) Drifted(r Ref, live Live) bool {
	rec, ok := m.get(r)
	return !ok || !live.Known || rec.drifted(live.Object)
}

func (rec record) drifted(live *metav1.PartialObjectMetadata) bool {
	switch {
	case live == nil || live.UID != rec.uid || live.DeletionTimestamp != nil:
		return true
	case live.ResourceVersion == rec.resourceVersion || older(live.ResourceVersion, rec.resourceVersion):
		return false
	case !contains(live.Labels, rec.labels) || !contains(live.Annotations, rec.annotations):
		return true
	default:
		return rec.generation == 0 || live.Generation != rec.generation
	}
}

// older reports whether a watch shows a state from before ours: it lags behind our own write.
func older(live, ours string) bool {
	c, err := resourceversion.CompareResourceVersion(live, ours)
	return err == nil && c < 0
}

func contains(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}
