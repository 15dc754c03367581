package externalsecret

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/providers"
)

// defaultInterval is spec.refreshInterval when it is empty.
const defaultInterval = time.Hour

// entry is one element of data or dataFrom.
type entry struct {
	// path is where the entry stands in the spec, for messages.
	path string
	// secretKey is the key of the target; empty for an entry that makes many.
	secretKey string
	origin    origin
	remote    esv1.RemoteRef
	// rewrite are the rules that name what was found.
	rewrite []esv1.Rewrite
	// find is what an entry looks for that names no document; else nil.
	find *esv1.Find
}

// entriesOf returns dataFrom in order and then data, which wins.
func entriesOf(spec *esv1.ExternalSecretSpec) []entry {
	out := make([]entry, 0, len(spec.DataFrom)+len(spec.Data))
	for i, d := range spec.DataFrom {
		store := spec.SecretStoreRef
		if d.SourceRef != nil && d.SourceRef.StoreRef != nil {
			store = *d.SourceRef.StoreRef
		}
		if d.Find != nil {
			out = append(out, newFind("spec.dataFrom["+strconv.Itoa(i)+"].find", store, d))
			continue
		}
		if d.Extract == nil {
			continue
		}
		e := newEntry("spec.dataFrom["+strconv.Itoa(i)+"].extract", "", store, *d.Extract)
		e.rewrite = d.Rewrite
		out = append(out, e)
	}
	for i, d := range spec.Data {
		store := spec.SecretStoreRef
		if d.SourceRef != nil && d.SourceRef.StoreRef.Name != "" {
			store = d.SourceRef.StoreRef
		}
		out = append(out, newEntry("spec.data["+strconv.Itoa(i)+"] ("+d.SecretKey+")", d.SecretKey, store, d.RemoteRef))
	}
	return out
}

func newEntry(path, secretKey string, store esv1.StoreRef, remote esv1.RemoteRef) entry {
	if store.Kind == "" {
		store.Kind = esv1.KindSecretStore
	}
	e := entry{path: path, secretKey: secretKey, remote: remote, origin: origin{store: store}}
	e.origin.ref.Key, e.origin.ref.Version, e.origin.ref.Property = remote.Key, remote.Version, remote.Property
	e.origin.ref.Metadata = remote.MetadataPolicy == esv1.MetadataFetch
	return e
}

// wantedOf returns the documents that the entries of a spec name, each once, by their stores.
func wantedOf(spec *esv1.ExternalSecretSpec) map[esv1.StoreRef][]providers.Ref {
	wanted, seen := map[esv1.StoreRef][]providers.Ref{}, map[origin]bool{}
	for _, e := range entriesOf(spec) {
		if e.find == nil && !seen[e.origin] {
			wanted[e.origin.store] = append(wanted[e.origin.store], e.origin.ref)
		}
		seen[e.origin] = true
	}
	return wanted
}

// askedStores returns the stores that the entries of a spec read, each once. spec.secretStoreRef is none of them where all entries
// name their own.
func askedStores(spec *esv1.ExternalSecretSpec) []esv1.StoreRef {
	var out []esv1.StoreRef
	for _, e := range entriesOf(spec) {
		if store := e.origin.store; store.Name != "" && !slices.Contains(out, store) {
			out = append(out, store)
		}
	}
	return out
}

// storesOf returns the stores that a spec names, each once, also in entries that are not supported.
func storesOf(spec *esv1.ExternalSecretSpec) []esv1.StoreRef {
	refs := []esv1.StoreRef{spec.SecretStoreRef}
	for _, d := range spec.Data {
		if d.SourceRef != nil {
			refs = append(refs, d.SourceRef.StoreRef)
		}
	}
	for _, d := range spec.DataFrom {
		if d.SourceRef != nil && d.SourceRef.StoreRef != nil {
			refs = append(refs, *d.SourceRef.StoreRef)
		}
	}
	var out []esv1.StoreRef
	for _, ref := range refs {
		if ref.Kind == "" {
			ref.Kind = esv1.KindSecretStore
		}
		if ref.Name != "" && !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	return out
}

// intervalOf returns how often the values are read again; 0 for never.
func intervalOf(spec *esv1.ExternalSecretSpec) time.Duration {
	switch {
	case spec.RefreshPolicy == esv1.RefreshCreatedOnce || spec.RefreshPolicy == esv1.RefreshOnChange:
		return 0
	case spec.RefreshInterval == nil:
		return defaultInterval
	default:
		return flow.Interval(spec.RefreshInterval.Duration)
	}
}

// targetName returns the name of the Secret.
func targetName(es *esv1.ExternalSecret) string {
	if es.Spec.Target.Name != "" {
		return es.Spec.Target.Name
	}
	return es.Name
}

// plan is what is to be done about an ExternalSecret now.
type plan struct {
	// refresh is set when the values are read.
	refresh bool
	// forced is set when somebody asked for fresh values by a change of labels or annotations.
	forced bool
	// verify is set when the target looks right and was written by somebody else than this controller: it is read once.
	verify bool
	// changed is set when the spec, labels or annotations are not those that the target was made from.
	changed bool
	// drifted is set when the target is not as it was written.
	drifted bool
	// blocked is set when only spec.syncWindows keep the values from being read: the interval has passed, or there is news of them.
	blocked bool
}

// decide is the heart of the controller: what is due, from what is known without asking anybody.
func decide(s *scope) plan {
	status := &s.es.Status
	synced := status.SyncedResourceVersion != "" && !status.RefreshTime.IsZero()
	p := plan{changed: status.SyncedResourceVersion != s.version}
	p.forced = p.changed && generationOf(status.SyncedResourceVersion) == generationOf(s.version)
	p.drifted, p.verify = driftOf(s)
	p.refresh = p.drifted || s.due(synced, p.changed)
	p.blocked = !p.refresh && (s.elapsed() || s.heard())
	if p.refresh {
		p.verify = false
	}
	return p
}

// due reports whether the values are to be read, by the policy alone (External Secrets Operator's shouldRefresh).
func (s *scope) due(synced, changed bool) bool {
	switch {
	case !synced:
		return true
	case s.es.Spec.RefreshPolicy == esv1.RefreshOnChange:
		return changed
	case intervalOf(&s.es.Spec) == 0:
		return false
	}
	last := s.lastRefresh()
	return changed || s.changed || last.After(s.now) || (s.turned() || s.heard()) && s.windows.allow(s.now) ||
		s.memo.stores != "" && s.memo.stores != fingerprint(s.stores)
}

// elapsed reports whether the values are due for a periodic refresh.
func (s *scope) elapsed() bool {
	interval := intervalOf(&s.es.Spec)
	return interval > 0 && !s.now.Before(nextDue(s.es.UID, s.memo.aim, s.lastRefresh(), interval))
}

// heard reports whether something that is read periodically was seen to have changed since it was read.
func (s *scope) heard() bool {
	return intervalOf(&s.es.Spec) > 0 && s.news.After(s.lastRefresh())
}

// turned reports whether the values are due, and the object's turn has come where spec.syncWindows held it up.
func (s *scope) turned() bool {
	at := s.turn()
	return !at.IsZero() && !s.now.Before(at)
}

// turn returns when values that are read periodically are read next because of time alone; zero for never.
func (s *scope) turn() time.Time {
	interval := intervalOf(&s.es.Spec)
	return s.windows.turn(nextDue(s.es.UID, s.memo.aim, s.lastRefresh(), interval), s.es.UID, s.memo.aim, interval)
}

// after returns when the values that are read now are read next because of time alone; zero for never.
func (s *scope) after() time.Time {
	interval := intervalOf(&s.es.Spec)
	if interval == 0 {
		return time.Time{}
	}
	return s.windows.turn(nextDue(s.es.UID, s.memo.aim, s.now, interval), s.es.UID, s.memo.aim, interval)
}

// lastRefresh returns when the values were read last, as far as the status and this process know.
func (s *scope) lastRefresh() time.Time {
	last := s.es.Status.RefreshTime.Time
	if s.memo.refreshed.After(last) {
		return s.memo.refreshed
	}
	return last
}

// driftOf reports whether the target is not what was written last, and whether only a look at it can tell. A target that
// is left to others (Orphan) while its values are never read again is theirs, once there was one: that is how they take it over.
func driftOf(s *scope) (drifted, verify bool) {
	was := s.es.Status.Target
	switch policy := creationOf(&s.es.Spec); {
	case policy == esv1.CreationNone:
		return false, false
	case policy == esv1.CreationOrphan && intervalOf(&s.es.Spec) == 0:
		failed := conditions.Ready(s.es.Status.Conditions).Status == metav1.ConditionFalse
		return failed && was.UID == "" && !s.target.exists, false
	case !s.target.exists:
		return !absentOnPurpose(s.es), false
	case !s.target.belongs(s.es):
		return true, false
	case was.UID == "":
		return s.target.dataHash == "", true
	case s.target.uid != was.UID:
		return true, false
	default:
		// A cache that is behind our own write is no drift.
		return s.target.resourceVersion != was.ResourceVersion && !older(s.target.resourceVersion, was.ResourceVersion), false
	}
}

// older reports whether resource version a was made before b. Versions of one resource are comparable as numbers;
// those that are none are not ordered.
func older(a, b string) bool {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	return errX == nil && errY == nil && x < y
}

// generationOf returns the generation in a value of status.syncedResourceVersion.
func generationOf(version string) string {
	generation, _, _ := strings.Cut(version, "-")
	return generation
}

// nextDue returns when an object that was refreshed at last is due: within interval, at the point of it that stands for what
// it reads (see phases), so that objects that share a key fall due within the time for which one request serves them all, and
// others are spread over the interval. Where that point had passed before it was known, because the object's group has changed
// or no controller ran, the object waits for the whole interval: nobody is due early because of others or of a restart
// (docs/design/0008-due-times.md).
func nextDue(uid types.UID, to aim, last time.Time, interval time.Duration) time.Time {
	phase := share(to.point, interval) + jitterOf(uid, interval)
	passed := (time.Duration(last.UnixNano()) - phase) % interval
	if passed < 0 {
		passed += interval
	}
	if due := last.Add(interval - passed); due.After(to.since) {
		return due
	}
	return last.Add(interval)
}

// jitterOf keeps objects that share a key from being reconciled in the same instant; one request still serves them.
func jitterOf(uid types.UID, interval time.Duration) time.Duration {
	return share(hashOf(string(uid)), sessions.MaxAge(interval)/2)
}

// share returns the part of d that a hash stands for.
func share(hash uint32, d time.Duration) time.Duration {
	return time.Duration(float64(hash) / (1 << 32) * float64(d))
}

func hashOf(parts ...string) uint32 {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return binary.BigEndian.Uint32(sum[:])
}

// fingerprint tells the configurations of stores apart; empty for none.
func fingerprint(stores map[esv1.StoreRef]client.Object) string {
	parts := make([]string, 0, len(stores))
	for _, obj := range stores {
		if obj != nil {
			parts = append(parts, fmt.Sprintf("%s/%d", obj.GetUID(), obj.GetGeneration()))
		}
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("%08x", hashOf(parts...))
}
