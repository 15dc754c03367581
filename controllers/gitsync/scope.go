package gitsync

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/gitsync/apply"
)

// scope is one run over one GitSync.
type scope struct {
	sync  *v1alpha1.GitSync
	state *state
	began time.Time

	// asked is set by resolve: Git was asked in this run.
	asked bool
	// drifted is set by compare: an object of the inventory may not be as it was applied.
	drifted bool
	// idle is set by compare: what is in Git is in the cluster, and nothing has to be built.
	idle bool
	// unreachable is set by resolve when Git cannot be asked but what was applied can still be repaired.
	unreachable error
	// objects and entries are set by build: what is desired.
	objects []apply.Object
	entries []apply.Entry
	// built is the build without its objects, digest identifies it; set by build.
	built  *Built
	digest string
	// results are added by apply, prune and finalize.
	results []apply.Result
	// complete is set by prune: everything desired is in the cluster and nothing else of the inventory is.
	complete bool
	// checkedHealth and unhealthy are set by health.
	checkedHealth bool
	unhealthy     []string
	// drifts are set by finish: objects that may not be as they were applied. Of one that is not watched yet nothing is known, and one that
	// was changed before the answer to its write came was not known yet when its event did.
	drifts []apply.Ref
	// original is the GitSync as it was read; set for one that is being deleted.
	original *v1alpha1.GitSync
	// released is set by letGo: the finalizer is gone.
	released bool
	// abandoned is set by finalize: why objects were left behind.
	abandoned string
}

func (s *scope) name() types.NamespacedName {
	return types.NamespacedName{Namespace: s.sync.Namespace, Name: s.sync.Name}
}

func (s *scope) owner() apply.Owner {
	return apply.Owner{Namespace: s.sync.Namespace, Name: s.sync.Name}
}

// input returns what decides, as of the last check.
func (s *scope) input() input {
	return input{revision: s.state.revision, generation: s.sync.Generation, keys: s.state.keys}
}

// inventory returns the entries in the GitSync's status; an entry that cannot be read is kept by nobody.
func inventory(sync *v1alpha1.GitSync) []apply.Entry {
	if sync.Status.Inventory == nil {
		return nil
	}
	out := make([]apply.Entry, 0, len(sync.Status.Inventory.Entries))
	for _, e := range sync.Status.Inventory.Entries {
		if ref, err := apply.ParseID(e.ID); err == nil {
			out = append(out, apply.Entry{Ref: ref, Version: e.Version})
		}
	}
	return out
}

// setInventory writes the entries into the GitSync's status.
func setInventory(sync *v1alpha1.GitSync, entries []apply.Entry) {
	out := &v1alpha1.Inventory{Entries: make([]v1alpha1.InventoryEntry, len(entries))}
	for i, e := range entries {
		out.Entries[i] = v1alpha1.InventoryEntry{ID: e.ID(), Version: e.Version}
	}
	sync.Status.Inventory = out
}
