package apply

import (
	"context"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
)

// Engine applies and prunes for one GitSync. All fields but Holds are required.
type Engine struct {
	// Client acts as the identity of the GitSync and reads from the API server, not from a cache.
	Client client.Client
	Owner  Owner
	Memory *Memory
	// Live answers from a watch what an object is now.
	Live func(ctx context.Context, e Entry) Live
	// Holds tells whether another GitSync still holds an object; nil means none does.
	Holds Holder
	// Force allows to delete and create again what cannot be changed.
	Force bool
	// Parallel is how many objects of a stage are worked on at the same time.
	Parallel int
	Now      func() time.Time
}

// Action is what happened to an object.
type Action string

// The actions of a Result.
const (
	Unchanged  Action = "unchanged"
	Created    Action = "created"
	Configured Action = "configured"
	// Repaired: somebody else had changed or deleted the object.
	Repaired Action = "repaired"
	// Recreated: deleted and created again because of an immutable field.
	Recreated Action = "recreated"
	// Held: not touched, because of what Result.Waits says.
	Held   Action = "held"
	Failed Action = "failed"
	// Pruned: the deletion was asked for. Terminating: it was before, and the object is not gone yet.
	Pruned      Action = "pruned"
	Terminating Action = "terminating"
	// Gone: there was nothing to prune. Kept: the object is not ours any more, or asks to be kept.
	Gone Action = "gone"
	Kept Action = "kept"
)

// Result is what happened to one object.
type Result struct {
	Ref    Ref
	Action Action
	// Waits says what a held object, or an applied one whose Secret is not materialised yet, waits for.
	Waits string
	// Err is set when Action is Failed.
	Err *ObjectError
}

// Wrote reports whether the cluster was changed.
func (r Result) Wrote() bool {
	switch r.Action {
	case Created, Configured, Repaired, Recreated, Pruned:
		return true
	default:
		return false
	}
}

// Apply brings the objects into the cluster and returns a Result for each, in their stable order. It returns early only
// when ctx ends; then the objects that were not reached fail.
func (e *Engine) Apply(ctx context.Context, objects []Object) []Result {
	r := &run{Engine: e, defined: definedKinds(objects)}
	var out []Result
	for s, group := range staged(slices.Clone(objects)) {
		results := r.each(group, func(o Object) Result { return r.gated(ctx, stage(s), o) })
		if stage(s) == sources || stage(s) == secrets {
			r.await(ctx, group, results)
		}
		out = append(out, results...)
	}
	return out
}

// run is one call of Apply.
type run struct {
	*Engine
	// defined are the kinds that CustomResourceDefinitions among the objects define.
	defined map[schema.GroupKind]bool
	// missing are the Secrets that are not materialised, sorted; it changes between stages only.
	missing []secretKey
}

// each runs do for every element, some at a time, and keeps the order.
func (e *Engine) each(objects []Object, do func(Object) Result) []Result {
	out := make([]Result, len(objects))
	var g errgroup.Group
	g.SetLimit(max(1, e.Parallel))
	for i, o := range objects {
		g.Go(func() error {
			defer func() {
				if recover() != nil { // a bug met by one object must not end the process for all; what it held is not shown
					out[i] = Result{Ref: o.Ref, Action: Failed, Err: &ObjectError{
						Ref: o.Ref, Reason: ReasonInternal, Text: "met an error in SealBridge itself; please report the object's kind and fields",
					}}
				}
			}()
			out[i] = do(o)
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
	return out
}

// gated applies an object unless it waits for something of this run.
func (r *run) gated(ctx context.Context, s stage, o Object) Result {
	if s >= rest {
		if k, ok := mentions(o.desired, r.missing); ok {
			return Result{Ref: o.Ref, Action: Held, Waits: "waits for " + k.String()}
		}
	}
	res := r.object(ctx, o)
	if res.Err != nil && r.defined[o.Ref.GroupKind()] && (res.Err.Reason == ReasonNoKind || res.Err.Reason == ReasonNotFound) {
		return Result{Ref: o.Ref, Action: Held, Waits: "waits for its CustomResourceDefinition to be established"}
	}
	return res
}

// await finds out which Secrets are there after the stage, and notes in the results what is not.
func (r *run) await(ctx context.Context, group []Object, results []Result) {
	var mu sync.Mutex
	byRef := make(map[Ref]*Result, len(results))
	for i := range results {
		byRef[results[i].Ref] = &results[i]
	}
	r.each(group, func(o Object) Result {
		key, ok := target(o.desired)
		if o.Ref.Kind == "Secret" && o.Ref.Group == "" {
			key, ok = secretKey{namespace: o.Ref.Namespace, name: o.Ref.Name}, true
		} else if o.Sensitive {
			key.maker = o.Ref
		}
		res := byRef[o.Ref]
		if stageOf(o.Ref.GroupKind()) == secrets && res.Err == nil && res.Action != Held {
			res.Waits = r.materialised(ctx, o, key, ok)
		}
		if ok && (res.Err != nil || res.Action == Held || res.Waits != "") {
			mu.Lock()
			defer mu.Unlock()
			r.missing = append(r.missing, key)
		}
		return *res
	})
	slices.SortFunc(r.missing, compareSecrets)
}

// materialised returns what the object's controller has still to do, or "".
func (r *run) materialised(ctx context.Context, o Object, key secretKey, makes bool) string {
	if rec, ok := r.Memory.get(o.Ref); ok && rec.materialised {
		return ""
	}
	live, err := r.read(ctx, o)
	if err != nil {
		return "its state could not be read"
	}
	ok, why := synced(live)
	if !ok && !served(live) {
		return why
	}
	if makes && key.namespace != "" && !r.exists(ctx, key) {
		return key.String() + " is not there yet"
	}
	if ok {
		r.Memory.setMaterialised(o.Ref)
	}
	return ""
}

// exists tells whether a Secret is there; an identity that may not look has to believe the condition.
func (r *run) exists(ctx context.Context, key secretKey) bool {
	secret := &metav1.PartialObjectMetadata{}
	secret.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Secret"})
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: key.namespace, Name: key.name}, secret)
	return err == nil || apierrors.IsForbidden(err)
}

// definedKinds returns the kinds that the CustomResourceDefinitions among the objects define.
func definedKinds(objects []Object) map[schema.GroupKind]bool {
	out := make(map[schema.GroupKind]bool)
	for _, o := range objects {
		if o.Ref.Kind == "CustomResourceDefinition" {
			out[schema.GroupKind{Group: str(o.desired, "spec", "group"), Kind: str(o.desired, "spec", "names", "kind")}] = true
		}
	}
	return out
}

// read returns the live object.
func (e *Engine) read(ctx context.Context, o Object) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.desired.GroupVersionKind())
	err := e.Client.Get(ctx, o.Ref.Key(), live)
	return live, err
}

// Prune deletes the objects of the entries that are still the owner's, last stage first, and returns a Result for each.
func (e *Engine) Prune(ctx context.Context, entries []Entry) []Result {
	var byStage [stageCount][]Entry
	for _, x := range Union(nil, entries) {
		s := stageOf(x.GroupKind())
		byStage[s] = append(byStage[s], x)
	}
	var out []Result
	for _, group := range slices.Backward(byStage[:]) {
		results := make([]Result, len(group))
		var g errgroup.Group
		g.SetLimit(max(1, e.Parallel))
		for i, x := range group {
			g.Go(func() error {
				results[i] = e.prune(ctx, x)
				return nil
			})
		}
		_ = g.Wait() // the functions return no errors
		out = append(out, results...)
	}
	return out
}

func (e *Engine) prune(ctx context.Context, x Entry) Result {
	fail := func(err error) Result {
		return Result{Ref: x.Ref, Action: Failed, Err: objectError(x.Ref, about{there: true}, err)}
	}
	gvk := x.GVK()
	if mapping, err := e.Client.RESTMapper().RESTMapping(x.GroupKind()); err == nil {
		gvk = mapping.GroupVersionKind // the version in the inventory may have been retired
	}
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(gvk)
	err := e.Client.Get(ctx, x.Key(), live)
	owner, ours := ownerOf(live)
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		e.Memory.forget(x.Ref)
		return Result{Ref: x.Ref, Action: Gone}
	case err != nil:
		return fail(err)
	case !ours || owner != e.Owner || live.Annotations[v1alpha1.AnnotationPrune] == v1alpha1.PruneDisabled:
		e.Memory.forget(x.Ref)
		return Result{Ref: x.Ref, Action: Kept}
	case live.DeletionTimestamp != nil:
		return Result{Ref: x.Ref, Action: Terminating}
	}
	e.Memory.forget(x.Ref)
	// The answer is the object itself while a finalizer keeps it: only as unstructured it is of a kind that the client knows.
	doomed := &unstructured.Unstructured{}
	doomed.SetGroupVersionKind(gvk)
	doomed.SetNamespace(x.Namespace)
	doomed.SetName(x.Name)
	err = e.Client.Delete(ctx, doomed, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &live.UID})
	if apierrors.IsNotFound(err) {
		return Result{Ref: x.Ref, Action: Gone}
	}
	if err != nil {
		return fail(err)
	}
	return Result{Ref: x.Ref, Action: Pruned}
}
