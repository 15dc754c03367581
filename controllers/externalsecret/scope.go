package externalsecret

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/providers"
)

// scope is what one run knows about one ExternalSecret.
type scope struct {
	es  *esv1.ExternalSecret
	now time.Time
	// memo is what earlier runs of this process remember; never nil.
	memo memo
	// news is when something that the object reads was seen to have changed; zero when it was not.
	news time.Time
	// version identifies the spec, labels and annotations, in the form of status.syncedResourceVersion.
	version string

	// ignored is set for an object that is not ours to report on: it is being deleted, or another controller serves it.
	ignored bool
	// stores are the stores that the spec names, by reference, as the cache has them; nil for one that does not exist.
	stores map[esv1.StoreRef]client.Object
	// windows are those of spec.syncWindows.
	windows windows
	// target is what the metadata cache knows about the target.
	target target
	// observed is set when the target was looked for.
	observed bool
	// changed is set when something in this cluster that the values are made from is not as it was read, or a credential
	// of a store was replaced; since is when that was seen.
	changed bool
	since   time.Time
	// plan is what is to be done; set by skip fresh.
	plan plan

	// visit is the way of this run through the stores, and held is set when it found no room in one.
	visit *visit
	held  bool
	// key is that under which the target shows hashes; set by read key.
	key []byte
	// templates are what the template reads from elsewhere; set by read templates.
	templates map[holder]held
	// inputs are the objects of this cluster that this run has read, with the versions, and synced is set when it came to a
	// good end with them.
	inputs map[watches.Object]watches.Version
	synced bool
	// documents answer the refs of each store; set by fetch.
	documents map[origin]providers.Result
	// found is what the entries ask for of the documents, values the same by key, and content what the target shall hold.
	found   []finding
	values  map[string][]byte
	content content
	// dynamic is set when the target does not show all that it is made from: its metadata depends on values, or it is shared.
	dynamic bool

	// early is set when the store is so new that there is nothing to report yet.
	early bool
	// retained is set when the store had no values at all and the target was left alone.
	retained bool
	// emptied is set when the store had no values at all and there shall be no target, and deleted when there was one.
	emptied, deleted bool
	// frozen is set when the target is immutable and holds the content already.
	frozen bool
	// absent is set when there is no Secret to merge into.
	absent bool
	// written and created are set when the target was changed, or made.
	written, created bool
}

// origin is one document of one store, or what is found there by a query.
type origin struct {
	store esv1.StoreRef
	ref   providers.Ref
	// find tells queries apart; empty for a document that is named.
	find string
}

// target is the metadata of the Secret that the ExternalSecret names, as far as the controller watches it.
type target struct {
	// exists is false also for a Secret that does not carry the label of managed Secrets.
	exists          bool
	uid             types.UID
	resourceVersion string
	dataHash        string
	// inputs binds the data to what it was made from; empty unless that is volatile.
	inputs string
	// controller is the UID of the object that controls the Secret, and controllerName what to call it.
	controller     types.UID
	controllerName string
	// controllerIsES is set when that object is an ExternalSecret.
	controllerIsES bool
	// predecessor is set when that object had the name of the ExternalSecret before it, and is gone.
	predecessor bool
	// updaters are the field managers of External Secrets Operator that wrote the Secret by update instead of apply.
	updaters []string
}

// memo is what the process remembers about an ExternalSecret between runs. Losing it costs a repeated look, never
// correctness.
type memo struct {
	uid types.UID
	// last is of the run before: an older object from the cache is not acted on.
	last flow.Last
	// refreshed is when the values were read last; the status may say less (heartbeat).
	refreshed time.Time
	// aim is the point of the interval at which the object is due.
	aim aim
	// stores are the configurations of the stores that the values were read with.
	stores string
	// content is the fingerprint of the target where its data-hash does not say all (scope.dynamic).
	content string
	// missing is what was said last about entries that the stores do not have.
	missing string
	// made is what was made last by something volatile, and from what; nil for any other object.
	made *made
	// following is set when the objects that this one depends on are followed.
	following bool
	// waiting is since when the object has waited for a store that nobody has validated yet; zero when it does not.
	waiting time.Time
}
