package faults_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/test/harness/countingstore"
)

// canary begins each value and token. Its length is a multiple of three, so that base64 of a value begins with base64 of it.
const canary = "canary-91c4e7d0"

// The stores of a tenant, by name: two ask the backend left, one of them for all tenants with the credential of each, and
// one asks the backend right.
const (
	storeVault  = "vault"
	storeHook   = "hook"
	storeShared = "shared"
)

// The backends, and what stands in their place in a value that was sealed.
const (
	left   = "left"
	right  = "right"
	sealed = "sealed"
)

// source is where a value is from: it is written in the value itself, so that one that is another tenant's, another store's or
// from another version than those beside it is seen.
type source struct {
	tenant, backend, document string
	version                   int
	// shape is the template that the value went through; none for most.
	shape shape
}

func (s source) value(key string) string {
	out := strings.Join([]string{canary, s.tenant, s.backend, s.document, strconv.Itoa(s.version), key}, "/")
	if s.shape.kind == "" {
		return out
	}
	return out + s.shape.mark()
}

// fields are the values of a document by key. The keys of no two documents are the same.
func (s source) fields() map[string]string {
	out := map[string]string{}
	for _, key := range keysOf(s.document) {
		out[key] = s.value(key)
	}
	return out
}

func keysOf(document string) []string {
	return []string{document + "-a", document + "-b", document + "-c"}
}

// parse is the inverse of value.
func parse(value string) (s source, key string, ok bool) {
	parts := strings.Split(value, "/")
	if len(parts) == 8 {
		if s.shape, ok = parseShape(parts[6], parts[7]); !ok {
			return source{}, "", false
		}
		parts = parts[:6]
	}
	if len(parts) != 6 || parts[0] != canary {
		return source{}, "", false
	}
	version, err := strconv.Atoi(parts[4])
	s.tenant, s.backend, s.document, s.version = parts[1], parts[2], parts[3], version
	return s, parts[5], err == nil
}

// backend is one store of one tenant, and all that it has ever held.
type backend struct {
	tenant, name string
	server       *countingstore.Server

	mu sync.Mutex
	// newest is the last version of each document, and removed those that it does not hold now.
	newest  map[string]int
	removed map[string]bool
	// restored is when a document that was removed came back last.
	restored map[string]time.Time
}

func (b *backend) put(document string) {
	b.mu.Lock()
	b.newest[document]++
	if b.removed[document] {
		b.restored[document] = time.Now()
	}
	delete(b.removed, document)
	b.mu.Unlock()
	b.server.Put(document, b.current(document).fields())
}

func (b *backend) remove(document string) {
	b.mu.Lock()
	b.removed[document] = true
	b.mu.Unlock()
	b.server.Remove(document)
}

func (b *backend) current(document string) source {
	b.mu.Lock()
	defer b.mu.Unlock()
	return source{tenant: b.tenant, backend: b.name, document: document, version: b.newest[document]}
}

func (b *backend) isRemoved(document string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.removed[document]
}

// documents are those of each backend. The store always has the last one.
func documents() []string { return []string{"one", "two", "three", "kept"} }

// removable are those that a backend may lose.
func removable() []string { return []string{"one", "two", "three"} }

// external is an ExternalSecret that exists or not.
type external struct {
	name, target string
	// store is where it reads now.
	store string
	// whole are documents that it reads all fields of, fields those that it reads one by one, and beside a document that it always
	// reads from the store "hook".
	whole, fields []string
	beside        string
	// shape is the kind of the object with the template that its values go through; empty without one.
	shape string
	// random is set when it has a random key as well, and draw is how often that was asked for anew by a change of the spec.
	random bool
	draw   int
	// policy is the creationPolicy; Owner when empty. Turns is set when acts change it.
	policy esv1.CreationPolicy
	turns  bool
	// deletes is set for deletionPolicy Delete, and drops for Merge.
	deletes, drops bool
	// interval is how often it is read, in seconds.
	interval int
	// rival is set for one that wants the Secret, or keys, of another object; it does not exist at first.
	rival bool
	// stays is set for one that reads from the same store all the time.
	stays bool

	uid types.UID // empty while it does not exist
}

// keys are those of its target.
func (e *external) keys() []string {
	var out []string
	for _, d := range e.whole {
		out = append(out, keysOf(d)...)
	}
	if e.beside != "" {
		out = append(out, keysOf(e.beside)...)
	}
	if e.random {
		out = append(out, randomKey)
	}
	return append(out, e.fields...)
}

// sealedSecret is a SealedSecret that exists or not. Formats say how each of its keys is sealed.
type sealedSecret struct {
	name    string
	native  []bool
	version int
	// blocked is set for one whose Secret is somebody else's.
	blocked bool
	rival   bool

	uid types.UID
}

func (s *sealedSecret) keys() []string { return keysOf(s.name) }

// tenant is a namespace with what is in it.
type tenant struct {
	name      string
	backends  map[string]*backend
	token     string
	tokens    int
	gone      bool
	externals []*external
	sealed    []*sealedSecret
	// stores tells which of its own stores exist.
	stores map[string]bool
	// zoned tells whether its namespace is one of those that the ClusterExternalSecret selects.
	zoned bool
	mu    sync.Mutex // guards reach, sealedVersions and shapes, which the witness reads
	reach reach
	// shapes are the newest versions of its templates, by kind, and shapeless those that do not exist.
	shapes    map[string]shape
	shapeless map[string]bool
	// sealedVersions is the newest version of each SealedSecret.
	sealedVersions map[string]int
}

func newTenant(name string, servers map[string]*countingstore.Server) *tenant {
	t := &tenant{name: name, backends: map[string]*backend{}, stores: map[string]bool{}, sealedVersions: map[string]int{}, shapes: map[string]shape{}, shapeless: map[string]bool{}}
	for side, server := range servers {
		b := &backend{tenant: name, name: side, server: server, newest: map[string]int{}, removed: map[string]bool{}, restored: map[string]time.Time{}}
		for _, d := range documents() {
			b.put(d)
		}
		t.backends[side] = b
	}
	t.externals = []*external{
		{name: "whole", store: storeVault, whole: []string{"one"}, interval: 2},
		{name: "both", store: storeShared, whole: []string{"one", "two"}, interval: 3},
		{name: "fields", store: storeHook, fields: []string{"two-a", "two-b", "three-c"}, interval: 2},
		{name: "mixed", store: storeVault, whole: []string{"one"}, beside: "three", interval: 4},
		{name: "strict", store: storeShared, whole: []string{"kept"}, deletes: true, interval: 2},
		{name: "slow", store: storeHook, whole: []string{"two", "three"}, interval: 30},
		{name: "renamed", target: "another", store: storeVault, whole: []string{"three"}, interval: 3},
		{name: "rival", target: "whole", store: storeHook, whole: []string{"two"}, interval: 3, rival: true},
		{name: "usurper", target: "letters", store: storeShared, whole: []string{"three"}, interval: 3, rival: true},
		{name: "shaped", store: storeVault, whole: []string{"one", "two"}, shape: watches.ConfigMap, interval: 3},
		{name: "hidden", store: storeHook, whole: []string{"three"}, shape: watches.Secret, interval: 4},
		{name: "random", store: storeShared, whole: []string{"two"}, random: true, interval: 2},
		{name: "drawn", store: storeHook, whole: []string{"one"}, shape: watches.ConfigMap, random: true, interval: 3},
		{name: "founder", target: "common", policy: esv1.CreationCreateOrMerge, store: storeVault, whole: []string{"one"}, interval: 3, stays: true},
		{name: "contender", target: "common", policy: esv1.CreationCreateOrMerge, store: storeHook, whole: []string{"one"}, interval: 3, rival: true, stays: true},
		{name: "joiner", target: "common", policy: esv1.CreationMerge, drops: true, store: storeHook, whole: []string{"two"}, interval: 3},
		{name: "orphan", policy: esv1.CreationOrphan, store: storeShared, whole: []string{"three"}, interval: 4},
		{name: "turning", turns: true, store: storeVault, whole: []string{"two"}, interval: 3},
		{name: "thin", drops: true, store: storeVault, whole: []string{"one", "three"}, interval: 2},
		{name: "fleeting", deletes: true, store: storeHook, whole: []string{"two"}, interval: 2},
	}
	for i := range *objectsFlag {
		t.externals = append(t.externals, &external{
			name: fmt.Sprintf("many-%03d", i), store: []string{storeVault, storeHook, storeShared}[i%3], whole: removable()[i%2 : i%2+2], interval: 2 + i%5,
		})
	}
	for _, e := range t.externals {
		if e.target == "" {
			e.target = e.name
		}
	}
	t.sealed = []*sealedSecret{
		{name: "letters", native: []bool{false, false, false}},
		{name: "modern", native: []bool{true, true, true}},
		{name: "blend", native: []bool{false, true, false}},
		{name: "blocked", native: []bool{false, false, true}, blocked: true},
		{name: "fields", native: []bool{true, false, true}, rival: true},
	}
	return t
}

// seal makes the next version of a SealedSecret.
func (t *tenant) seal(s *sealedSecret) source {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.version++
	t.sealedVersions[s.name] = s.version
	return t.sealedSource(s)
}

func (t *tenant) sealedSource(s *sealedSecret) source {
	return source{tenant: t.name, backend: sealed, document: s.name, version: s.version}
}

// had reports whether a backend, or a SealedSecret, of the tenant has ever held a document at a version.
func (t *tenant) had(s source) bool {
	if s.tenant != t.name || s.version < 1 {
		return false
	}
	if s.backend == sealed {
		t.mu.Lock()
		defer t.mu.Unlock()
		return s.version <= t.sealedVersions[s.document]
	}
	b := t.backends[s.backend]
	return t.hadShape(s.shape) && b != nil && s.version <= b.current(s.document).version
}

// expected is what the target of an ExternalSecret holds when all is well.
func (t *tenant) expected(e *external) map[string]string {
	out := map[string]string{}
	own := t.backends[sideOf(e.store)]
	for _, d := range e.whole {
		from := own.current(d)
		from.shape = t.shape(e.shape)
		maps.Copy(out, from.fields())
	}
	if e.random {
		out[randomKey] = drawnMark(e.draw)
	}
	for _, key := range e.fields {
		document, _, _ := strings.Cut(key, "-")
		out[key] = own.current(document).value(key)
	}
	if e.beside != "" {
		maps.Copy(out, t.backends[right].current(e.beside).fields())
	}
	return out
}

// sideOf is the backend that a store asks.
func sideOf(store string) string {
	if store == storeHook {
		return right
	}
	return left
}

// claims are the sets of keys that a Secret of the name may hold, one for each object that may ever want it. They never change.
func (t *tenant) claims(name string) []claim {
	var out []claim
	if name == spreadName {
		for _, d := range spreadDocuments() {
			out = append(out, claim{groups: []group{{keys: keysOf(d)}}})
		}
	}
	for _, e := range t.externals {
		if e.target == name {
			out = append(out, e.claim())
		}
	}
	for _, s := range t.sealed {
		if s.name == name && !s.blocked {
			out = append(out, claim{groups: []group{{keys: s.keys()}}})
		}
	}
	return out
}

// has reports whether there is an object of the name.
func (t *tenant) has(name string) bool {
	for _, e := range t.externals {
		if e.name == name && e.uid != "" {
			return true
		}
	}
	for _, s := range t.sealed {
		if s.name == name && s.uid != "" {
			return true
		}
	}
	return false
}

// wanted is what each object that exists and wants a Secret of the name would have it hold, by the object's UID.
func (t *tenant) wanted(name string) map[types.UID]map[string]string {
	out := map[types.UID]map[string]string{}
	for _, e := range t.externals {
		if e.target == name && e.uid != "" && e.owns() {
			out[e.uid] = t.expected(e)
		}
	}
	for _, s := range t.sealed {
		if s.name == name && s.uid != "" && !s.blocked {
			out[s.uid] = t.sealedSource(s).fields()
		}
	}
	return out
}

// targets are the names of Secrets that objects want, also those that do not exist.
func (t *tenant) targets() []string {
	var out []string
	for _, e := range t.externals {
		out = append(out, e.target)
	}
	for _, s := range t.sealed {
		if !s.blocked {
			out = append(out, s.name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
