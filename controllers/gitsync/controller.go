package gitsync

import (
	"context"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// GitSync applies what a team commits as the ServiceAccount that spec.serviceAccountName names, and may impersonate any.
// The metadata watches by which it sees drift at once are another right, config/rbac/gitsync_drift_role.yaml. A cluster that
// wants GitSyncs without an account gives the controller the rights to apply what they hold, for example by binding
// cluster-admin to it.
//
// +kubebuilder:rbac:groups=sealbridge.dev,resources=gitsyncs,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=sealbridge.dev,resources=gitsyncs/status,verbs=patch;update
// +kubebuilder:rbac:groups="",resources=secrets;serviceaccounts;namespaces,verbs=get
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=impersonate
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Deps are what a Reconciler is made of. All fields are required unless they say otherwise.
type Deps struct {
	// Config and HTTPClient reach the API server as the controller itself; objects are applied through them.
	Config     *rest.Config
	HTTPClient *http.Client
	Mapper     meta.RESTMapper
	// Client reads GitSyncs from a cache and writes their metadata; Status writes the status.
	Client client.Client
	Status flow.StatusWriter
	// Reader reads Secrets, ServiceAccounts and namespaces from the API server, one at a time.
	Reader client.Reader
	Events events.EventRecorder
	Git    Git
	// RequireServiceAccount refuses GitSyncs without spec.serviceAccountName.
	RequireServiceAccount bool
	// Concurrent is how many GitSyncs are reconciled at once, Parallel how many objects of each; 0 means 10 and 8.
	Concurrent, Parallel int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Reconciler reconciles GitSyncs.
type Reconciler struct {
	deps       Deps
	states     *states
	watch      *watcher
	identities *identities
}

// New returns a Reconciler. It fails when the cache of owned objects' metadata cannot be made.
func New(deps Deps) (*Reconciler, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Concurrent <= 0 {
		deps.Concurrent = 10
	}
	if deps.Parallel <= 0 {
		deps.Parallel = 8
	}
	selector, err := ownedSelector()
	if err != nil {
		return nil, fmt.Errorf("watch owned objects: %w", err)
	}
	informers, err := cache.New(deps.Config, cache.Options{
		HTTPClient: deps.HTTPClient, Scheme: runtime.NewScheme(), Mapper: deps.Mapper,
		DefaultLabelSelector: selector, DefaultTransform: cache.TransformStripManagedFields(),
		ReaderFailOnMissingInformer: true, // who ends the last watch of a kind may come between somebody's look for it and the question
	})
	if err != nil {
		return nil, fmt.Errorf("watch owned objects: %w", err)
	}
	states := newStates()
	return &Reconciler{
		deps: deps, states: states,
		watch: &watcher{informers: informers, mapper: deps.Mapper, states: states, now: deps.Now, kinds: make(map[schema.GroupVersionKind]*watched)},
		identities: &identities{
			config: deps.Config, mapper: deps.Mapper, clients: make(map[types.NamespacedName]client.Client),
		},
	}, nil
}

// SetupWithManager adds the controller, and the watches of owned objects, to the manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := mgr.Add(r.watch.informers); err != nil {
		return fmt.Errorf("add the cache of owned objects: %w", err)
	}
	wanted := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("gitsync").
		For(&v1alpha1.GitSync{}, builder.WithPredicates(wanted)).
		Watches(&v1alpha1.GitSync{}, handler.EnqueueRequestsFromMapFunc(r.dependents), builder.WithPredicates(becameReady())).
		WatchesRawSource(source.Func(r.watch.Start)).
		WithOptions(flow.Options(r.deps.Concurrent)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the GitSync controller: %w", err)
	}
	return nil
}

// becameReady lets through the GitSyncs that have just become ready.
func becameReady() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return false },
		DeleteFunc: func(e event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*v1alpha1.GitSync)
			after, ok2 := e.ObjectNew.(*v1alpha1.GitSync)
			return ok1 && ok2 && isReady(after) && !isReady(before)
		},
	}
}

// dependents returns the GitSyncs that depend on one.
func (r *Reconciler) dependents(ctx context.Context, o client.Object) []reconcile.Request {
	all := &v1alpha1.GitSyncList{}
	if err := r.deps.Client.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		return nil // each looks again after its interval
	}
	var out []reconcile.Request
	for i := range all.Items {
		sync := &all.Items[i]
		for _, d := range sync.Spec.DependsOn {
			namespace := d.Namespace
			if namespace == "" {
				namespace = sync.Namespace
			}
			if d.Name == o.GetName() && namespace == o.GetNamespace() {
				out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(sync)})
			}
		}
	}
	return out
}

// Reconcile brings one GitSync one run further.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	sync, err := r.read(ctx, req)
	if apierrors.IsNotFound(err) {
		r.watch.use(ctx, req.NamespacedName, nil)
		r.states.drop(req.NamespacedName)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("read GitSync: %w", redact.API(err))
	}
	s := &scope{sync: sync, state: r.states.of(req.NamespacedName, sync.UID), began: r.deps.Now()}
	if !sync.DeletionTimestamp.IsZero() {
		s.original = sync.DeepCopy()
		return r.finalize(ctx, s)
	}
	if sync.Spec.Suspend {
		return r.suspend(ctx, s)
	}
	if err := r.hold(ctx, sync); err != nil {
		return reconcile.Result{}, err
	}
	result, err := flow.Run(ctx, r.flow(), sync, s, report(r.deps.Now),
		flow.Step[scope]{Name: "validate", Do: r.validate},
		flow.Step[scope]{Name: "await dependencies", Do: r.awaitDependencies},
		flow.Step[scope]{Name: "resolve", Do: r.resolve},
		flow.Step[scope]{Name: "compare", Do: r.compare},
		flow.Step[scope]{Name: "build", Do: r.build},
		flow.Step[scope]{Name: "apply", Do: r.apply},
		flow.Step[scope]{Name: "prune", Do: r.prune},
		flow.Step[scope]{Name: "check health", Do: r.health},
		flow.Step[scope]{Name: "finish", Do: r.finish},
	)
	s.state.wrote(sync.ResourceVersion)
	s.state.last = flow.LastOf(sync, err, r.deps.Now())
	return result, err
}

func (r *Reconciler) flow() flow.Engine {
	return flow.Engine{Status: r.deps.Status, Events: r.deps.Events}
}

// read returns the GitSync, from the API server when the cache has not seen our last write yet: an inventory must never
// be computed from an older one. Where the API server has not seen it either, the cluster was restored from a backup, and what was applied
// since is not there any more: it is compared again.
func (r *Reconciler) read(ctx context.Context, req reconcile.Request) (*v1alpha1.GitSync, error) {
	sync := &v1alpha1.GitSync{}
	if err := r.deps.Client.Get(ctx, req.NamespacedName, sync); err != nil {
		return nil, err
	}
	st, ok := r.states.find(req.NamespacedName)
	late := ok && (newer(st.resourceVersion, sync.ResourceVersion) || st.last.Behind(sync, r.deps.Now()) > 0)
	if late && st.uid == sync.UID && st.resourceVersion != "" {
		if err := r.deps.Reader.Get(ctx, req.NamespacedName, sync); err != nil {
			return nil, err
		}
		if newer(st.resourceVersion, sync.ResourceVersion) {
			r.states.drop(req.NamespacedName)
		}
	}
	return sync, nil
}

// hold adds the finalizer.
func (r *Reconciler) hold(ctx context.Context, sync *v1alpha1.GitSync) error {
	if controllerutil.ContainsFinalizer(sync, v1alpha1.Finalizer) {
		return nil
	}
	base := sync.DeepCopy()
	controllerutil.AddFinalizer(sync, v1alpha1.Finalizer)
	err := r.deps.Client.Patch(ctx, sync, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		return fmt.Errorf("add the finalizer: %w", redact.API(err))
	}
	return nil
}

// suspend says that nothing is done, and forgets what is known: when work goes on, everything is compared again.
func (r *Reconciler) suspend(ctx context.Context, s *scope) (reconcile.Result, error) {
	r.watch.use(ctx, s.name(), nil)
	result, err := flow.Run(ctx, r.flow(), s.sync, s, reportSuspended)
	if err == nil {
		r.states.drop(s.name())
	}
	return result, err
}
