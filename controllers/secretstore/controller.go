package secretstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// DefaultInterval is how often a store is checked that does not say (External Secrets Operator's default).
const DefaultInterval = 5 * time.Minute

// What the controller may do, also through the pool of sessions: read the credentials and CA bundles that stores name. To
// mint tokens of ServiceAccounts is granted per namespace and account (docs/spec/secretstore.md).
//
// +kubebuilder:rbac:groups=external-secrets.io,resources=secretstores;clustersecretstores,verbs=get;list;watch
// +kubebuilder:rbac:groups=external-secrets.io,resources=secretstores/status;clustersecretstores/status,verbs=update;patch
// +kubebuilder:rbac:groups="",resources=secrets;configmaps,verbs=get
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// Deps are what the Reconciler needs; Client, Status, Sessions and Events are required.
type Deps struct {
	// Client reads stores, from a cache, and Status writes their status.
	Client   client.Reader
	Status   flow.StatusWriter
	Sessions *sessions.Pool
	Events   events.EventRecorder
	// Observer is told of each run; nil for nobody.
	Observer flow.Observer
	// Class is the spec.controller of the stores that are served, beside those that name none.
	Class string
	// Interval is how often a store is checked that does not say; 0 means DefaultInterval.
	Interval time.Duration
	// NamespacedOnly leaves ClusterSecretStores alone: the controller may not see them.
	NamespacedOnly bool
	// Concurrent is how many stores of a kind are reconciled at once; 0 means one.
	Concurrent int
}

// Reconciler validates stores of both kinds.
type Reconciler struct {
	deps Deps
	seen *seen
}

// New returns a Reconciler.
func New(d Deps) *Reconciler {
	if d.Interval <= 0 {
		d.Interval = DefaultInterval
	}
	return &Reconciler{deps: d, seen: &seen{stores: map[string]record{}}}
}

// SetupWithManager registers a controller for each kind of store.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	for kind, proto := range map[string]client.Object{
		esv1.KindSecretStore: &esv1.SecretStore{}, esv1.KindClusterSecretStore: &esv1.ClusterSecretStore{},
	} {
		if kind == esv1.KindClusterSecretStore && r.deps.NamespacedOnly {
			continue
		}
		places := flow.NewPlaces(r.deps.Concurrent)
		err := ctrl.NewControllerManagedBy(mgr).Named(strings.ToLower(kind)).
			For(proto, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
			WatchesRawSource(r.replaced(kind)).
			WatchesRawSource(r.recovered(kind)).
			WithOptions(places.Options()).
			Complete(reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
				return r.reconcile(ctx, req, proto.DeepCopyObject().(client.Object), places)
			}))
		if err != nil {
			return fmt.Errorf("set up the controller of %s: %w", kind, err)
		}
	}
	return nil
}

// replaced is a source of the stores of a kind a credential of which was replaced: they are checked at once.
func (r *Reconciler) replaced(kind string) source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.deps.Sessions.OnReplaced(func(store sessions.Replaced) {
			if store.Kind == kind {
				flow.EnqueueMerged(queue, flow.PriorityNews, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: store.Namespace, Name: store.Name}})
			}
		})
		return nil
	})
}

// recovered is a source of the stores of a kind whose backend answers again: one that was found unavailable is checked at once.
func (r *Reconciler) recovered(kind string) source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		r.deps.Sessions.Subscribe(func(n sessions.News) {
			if n.Recovered && (n.Store.Namespace == "") == (kind == esv1.KindClusterSecretStore) {
				flow.Enqueue(queue, flow.PriorityNews, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: n.Store.Namespace, Name: n.Store.Name}})
			}
		})
		return nil
	})
}

func (r *Reconciler) reconcile(ctx context.Context, req reconcile.Request, obj client.Object, places *flow.Places) (reconcile.Result, error) {
	kind, spec, status := sessions.Parts(obj)
	name := sessions.Name(kind, req.Namespace, req.Name)
	engine := flow.Engine{Status: r.deps.Status, Events: r.deps.Events, Observer: r.deps.Observer}
	err := r.deps.Client.Get(ctx, req.NamespacedName, obj)
	if apierrors.IsNotFound(err) {
		engine.Gone(obj, req.NamespacedName)
		if uid, ok := r.seen.forget(name); ok {
			r.deps.Sessions.Forget(uid)
		}
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("read %s: %w", name, redact.API(err))
	}
	s := &scope{obj: obj, name: name, spec: spec, status: status, places: places, now: time.Now(),
		interval: intervalOf(spec.RefreshInterval, r.deps.Interval)}
	last, before, first := r.seen.first(name, obj.GetUID(), s.now)
	if before != "" {
		r.deps.Sessions.Forget(before)
	}
	if pause := last.Behind(obj, s.now); pause > 0 {
		return reconcile.Result{RequeueAfter: pause}, nil
	}
	s.first = first
	result, err := flow.Run(ctx, engine, obj, s, report, r.steps()...)
	r.seen.ran(name, flow.LastOf(obj, err, time.Now()))
	return result, err
}

// seen remembers when each store was checked last or, after a start, first seen.
type seen struct {
	mu     sync.Mutex
	stores map[string]record
}

type record struct {
	uid types.UID
	at  time.Time
	// run is what the last run left: an older object from the cache is not acted on.
	run flow.Last
}

// first notes a store, and returns what the last run over it left, or that it was not known, with the one that had its name before
// it, which nobody has seen go where it was made anew at once.
func (s *seen) first(name string, uid types.UID, now time.Time) (last flow.Last, before types.UID, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.stores[name]
	if was.uid == uid {
		return was.run, "", false
	}
	s.stores[name] = record{uid: uid, at: now}
	return flow.Last{}, was.uid, true
}

func (s *seen) checked(name string, uid types.UID, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stores[name] = record{uid: uid, at: now, run: s.stores[name].run}
}

func (s *seen) ran(name string, run flow.Last) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, ok := s.stores[name]; ok {
		was.run = run
		s.stores[name] = was
	}
}

func (s *seen) last(name string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stores[name].at
}

func (s *seen) forget(name string) (types.UID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, ok := s.stores[name]
	delete(s.stores, name)
	return was.uid, ok
}
