package setup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sealbridge/sealbridge/controllers/flow"
)

// errAnew is what a manager ends with when another is to follow it: the log has the reason.
var errAnew = errors.New("the controllers begin anew")

// Again reports that a manager that ended with an error is to be followed by another: because the controllers may read namespaces that it
// had to leave out, or because the cluster was restored from a backup. It is not while anything of the first goes on, which must not meet
// the second: the process has to end then.
func Again(err error) bool {
	return errors.Is(err, errAnew) && !errors.Is(err, context.DeadlineExceeded)
}

// lookBack is how often the API server is asked whether the cluster's history is still the one that was seen.
const lookBack = 30 * time.Second

// restored ends the manager when the cluster turns out to have been restored from a backup. What the controllers remember of objects,
// stores and Secrets is then of a history that is gone, and the numbers of its generations are those of others. A start decides from what
// the cluster says alone. Who watches is told to list anew where the revision was raised and marked as compacted, as etcd's documentation
// asks for, and then sees older versions. That takes a minute and more where the API server was away for long, and where the revision was
// not raised, watches just say nothing until the cluster has caught up. Nor has a watch that was away seen what the controllers have
// written meanwhile. So the API server is asked, too, for the object of each kind that was written last, by whomever. It runs where the
// controllers do, and watches nothing that they do not.
type restored struct {
	informers cache.Informers
	kinds     []client.Object
	reader    client.Reader
	scheme    *runtime.Scheme
	log       logr.Logger
	every     time.Duration

	mu sync.Mutex
	// newest is, of each kind, the object of the latest version that was seen or written.
	newest map[schema.GroupVersionKind]version
}

// version is an object at a time.
type version struct {
	kind    schema.GroupVersionKind
	key     client.ObjectKey
	version string
}

// GetResourceVersion implements versioned.
func (v version) GetResourceVersion() string { return v.version }

// addRestored adds what notices that the cluster was restored, by the kinds that the controllers which are switched on watch.
func (o *Options) addRestored(mgr manager.Manager, on map[string]bool) error {
	r := &restored{informers: mgr.GetCache(), reader: mgr.GetAPIReader(), scheme: mgr.GetScheme(), log: mgr.GetLogger(), every: lookBack}
	var seen []schema.GroupVersionKind
	for _, controller := range Names() {
		if !on[controller] {
			continue
		}
		for _, kind := range o.kinds(controller) {
			if slices.Contains(seen, kind) {
				continue
			}
			seen = append(seen, kind)
			obj, err := mgr.GetScheme().New(kind)
			if err != nil {
				return fmt.Errorf("make a %s: %w", kind.Kind, err)
			}
			if obj, ok := obj.(client.Object); ok {
				r.kinds = append(r.kinds, obj)
			}
		}
	}
	if err := mgr.Add(r); err != nil {
		return fmt.Errorf("add what notices that the cluster was restored: %w", err)
	}
	o.restored = r
	return nil
}

// statuses returns a writer of statuses whose versions count as seen.
func (o *Options) statuses(w flow.StatusWriter) flow.StatusWriter { return seenWriter{w, o.restored} }

// seenWriter is a writer of statuses whose versions count as seen.
type seenWriter struct {
	flow.StatusWriter
	restored *restored
}

// WriteStatus implements flow.StatusWriter.
func (w seenWriter) WriteStatus(ctx context.Context, obj client.Object) error {
	err := w.StatusWriter.WriteStatus(ctx, obj)
	if err == nil {
		w.restored.saw(obj)
	}
	return err //nolint:wrapcheck // it only listens
}

// Start implements manager.Runnable.
func (r *restored) Start(ctx context.Context) error {
	older := make(chan version, 1)
	handler := toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(now any) { r.saw(now) },
		UpdateFunc: func(before, now any) {
			v := r.saw(now)
			was, ok := before.(client.Object)
			if ok && v != nil && wentBack(was, now.(client.Object)) {
				select {
				case older <- *v:
				default: // one is enough
				}
			}
		},
	}
	for _, kind := range r.kinds {
		informer, err := r.informers.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %T for older versions: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watch %T for older versions: %w", kind, err)
		}
	}
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case v := <-older:
			return r.end(v)
		case <-tick.C:
			if v := r.older(ctx); v != nil {
				return r.end(*v)
			}
		}
	}
}

func (r *restored) end(v version) error {
	r.log.Info("the cluster has an older version of an object than it had, so it was restored from a backup; the controllers begin anew, from what it says now",
		"kind", v.kind.Kind, "object", v.key.String())
	return errAnew
}

// saw notes the version of an object that an informer has, or that a write has made, and returns it; nil for what is none.
func (r *restored) saw(now any) *version {
	obj, ok := now.(client.Object)
	if !ok {
		return nil
	}
	kind, err := apiutil.GVKForObject(obj, r.scheme)
	if err != nil {
		return nil
	}
	v := version{kind, client.ObjectKeyFromObject(obj), obj.GetResourceVersion()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.newest[kind]; !ok || isOlder(known, v) {
		if r.newest == nil {
			r.newest = map[schema.GroupVersionKind]version{}
		}
		r.newest[kind] = v
	}
	return &v
}

// older returns what was seen last of a kind that the API server has in an older version than that, or does not have while it knows of no
// version as late; else nil, also when it cannot be asked. An object that it does not have may just have been deleted.
func (r *restored) older(ctx context.Context) *version {
	r.mu.Lock()
	newest := slices.Collect(maps.Values(r.newest))
	r.mu.Unlock()
	for _, v := range newest {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(v.kind.GroupVersion().WithKind(v.kind.Kind + "List"))
		named := client.MatchingFields{"metadata.name": v.key.Name}
		if r.reader.List(ctx, list, client.InNamespace(v.key.Namespace), named) != nil {
			continue // it is asked again
		}
		var known versioned = list
		if len(list.Items) > 0 {
			known = &list.Items[0]
		}
		if isOlder(known, v) {
			return &v
		}
	}
	return nil
}

// wentBack reports whether an object that took the place of another of its name shows that the cluster did: it has an older version, or it is
// the same and of an earlier generation, though somebody has written it since. A generation never gets less (Kubernetes API conventions).
func wentBack(was, now client.Object) bool {
	return isOlder(now, was) || now.GetUID() == was.GetUID() && now.GetGeneration() < was.GetGeneration()
}

// isOlder reports whether an object has an older version than what is known by its name. No watch goes back, and no list that takes the
// place of one: both are of the version that was seen last, or of a later one.
func isOlder(obj, known versioned) bool {
	order, err := resourceversion.CompareResourceVersion(obj.GetResourceVersion(), known.GetResourceVersion())
	return err == nil && order < 0
}

// versioned is an object or a list.
type versioned interface{ GetResourceVersion() string }
