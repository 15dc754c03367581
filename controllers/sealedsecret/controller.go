package sealedsecret

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/internal/template"
)

// fieldOwner is the manager of the fields that this controller writes.
const fieldOwner = "sealbridge-sealedsecret"

// Keys gives the current ring of sealing keys; *sealingkey.Keeper is one.
type Keys interface {
	// Ring returns the keys, nil before they were read for the first time, and a channel that is closed when they have
	// been replaced.
	Ring() (ring *keyring.Ring, replaced <-chan struct{})
}

// Deps are what a Controller needs; all but Namespaces, Handover and Templates are required.
type Deps struct {
	Keys   Keys
	Engine flow.Engine
	// Metrics receives the controller's own metrics; OmitNames keeps names of objects out of them.
	Metrics   prometheus.Registerer
	OmitNames bool
	Now       func() time.Time
	// Concurrent is how many objects are reconciled at once.
	Concurrent int
	// Namespaces limits where Secrets are watched; empty means everywhere. The manager's cache has the same limit.
	Namespaces []string
	// Handover has what the manager's cache was not left, as its Cached is that cache's transform; without it, each object that
	// has something to open is read once more.
	Handover *Handover
	// SkipRecreate leaves a Secret as it is until its SealedSecret changes, and watches no Secrets.
	SkipRecreate bool
	// RefuseDeprecated opens no spec.data.
	RefuseDeprecated bool
	// MaxRetries is how often in a row an object is retried before it rests, nil for no such bound.
	MaxRetries *int
	// Templates keeps parsed templates for many objects; without it, each run parses its own.
	Templates *template.Cache
}

// Controller materializes SealedSecrets.
type Controller struct {
	deps     Deps
	meters   *meters
	memory   *memory
	turn     turn
	lane     *lane
	together *together
	recent   *recency
	blockers *blockers
	// client reads SealedSecrets from the manager's cache and writes, marked reads the metadata of the Secrets that bear
	// our label from a cache (nil without one), live asks the API server.
	client client.Client
	marked client.Reader
	live   client.Reader
}

// New returns a Controller. Its metrics go on where those of an earlier Controller in the same registry stopped; it fails
// when another metric has their name.
func New(deps Deps) (*Controller, error) {
	meters, err := newMeters(deps.Metrics, deps.OmitNames)
	if err != nil {
		return nil, fmt.Errorf("set up the SealedSecret controller: %w", err)
	}
	return &Controller{deps: deps, meters: meters, memory: newMemory(), turn: newTurn(), lane: newLane(deps.Concurrent), recent: &recency{}, together: newTogether()}, nil
}

// +kubebuilder:rbac:groups=bitnami.com,resources=sealedsecrets,verbs=get;list;watch
// +kubebuilder:rbac:groups=bitnami.com,resources=sealedsecrets/status,verbs=update;patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// SetupWithManager registers the controller, which needs no more of the SealedSecrets in the manager's cache than
// Handover.Cached leaves, and, unless SkipRecreate is set, a cache of its own, which holds the metadata
// of the Secrets that the controller has written.
func (c *Controller) SetupWithManager(mgr ctrl.Manager) error {
	watcher, err := client.NewWithWatch(mgr.GetConfig(), client.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
	})
	if err != nil {
		return fmt.Errorf("make the client for watches of blocking Secrets: %w", err)
	}
	c.client, c.live = mgr.GetClient(), mgr.GetAPIReader()
	c.blockers = &blockers{client: watcher, limit: maxBlockers}
	b := ctrl.NewControllerManagedBy(mgr).Named("sealedsecret").
		For(&v1alpha1.SealedSecret{}, builder.WithPredicates(predicate.Or[client.Object](
			predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: scopeChanged}))).
		WatchesRawSource(&keyWatch{keys: c.deps.Keys, objects: mgr.GetClient(), memory: c.memory}).
		WatchesRawSource(c.blockers).
		WatchesRawSource(c.lane).
		WatchesRawSource(c.together).
		WithOptions(flow.Options(c.deps.Concurrent))
	if !c.deps.SkipRecreate {
		marked, err := c.markedCache(mgr)
		if err != nil {
			return err
		}
		c.marked = marked
		b = b.WatchesRawSource(source.Kind(marked, secretMetadata(), handler.TypedEnqueueRequestsFromMapFunc(sameName)))
	}
	return b.Complete(c)
}

// markedCache adds a cache of the metadata of the Secrets that the controller has written.
func (c *Controller) markedCache(mgr ctrl.Manager) (cache.Cache, error) {
	selector, err := markedSecrets()
	if err != nil {
		return nil, err
	}
	namespaces := map[string]cache.Config{}
	for _, ns := range c.deps.Namespaces {
		namespaces[ns] = cache.Config{}
	}
	marked, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DefaultNamespaces: namespaces, DefaultLabelSelector: selector, DefaultTransform: cachedVersion,
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of materialized Secrets: %w", err)
	}
	if err := mgr.Add(ownCache{marked}); err != nil {
		return nil, fmt.Errorf("add the cache of materialized Secrets: %w", err)
	}
	return marked, nil
}

// ownCache makes the manager start the cache before the controllers, and wait for it.
type ownCache struct{ cache.Cache }

// GetCache is how the manager recognizes a cache.
func (o ownCache) GetCache() cache.Cache { return o.Cache }

// markedSecrets selects the Secrets that the controller has written.
func markedSecrets() (labels.Selector, error) {
	exists, err := labels.NewRequirement(v1alpha1.LabelSealedBy, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("select by label %s: %w", v1alpha1.LabelSealedBy, err)
	}
	return labels.NewSelector().Add(*exists), nil
}

// scopeChanged notices the one thing outside of the spec that matters: the annotations that choose the scope.
func scopeChanged(e event.UpdateEvent) bool {
	return seal.ScopeOf(e.ObjectOld.GetAnnotations()) != seal.ScopeOf(e.ObjectNew.GetAnnotations())
}

func sameName(_ context.Context, secret *metav1.PartialObjectMetadata) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(secret)}}
}

// Reconcile brings one SealedSecret's Secret into the cluster.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	c.meters.requests.Inc()
	obj := &v1alpha1.SealedSecret{}
	err := c.client.Get(ctx, req.NamespacedName, obj)
	if apierrors.IsNotFound(err) {
		c.meters.forget(req.NamespacedName)
		c.memory.forget(req.NamespacedName, c.meters.forgetNamespace)
		c.blockers.forget(req.NamespacedName)
		c.deps.Handover.forget(req.NamespacedName)
		return reconcile.Result{}, nil
	}
	if err != nil {
		c.meters.errors.WithLabelValues(causeFetch, "").Inc()
		return reconcile.Result{}, fmt.Errorf("read SealedSecret %s: %w", req, redact.API(err))
	}
	record := c.memory.of(req.NamespacedName, obj.UID)
	if pause := record.last.Behind(obj, time.Now()); pause > 0 {
		return reconcile.Result{RequeueAfter: pause}, nil
	}
	s := &scope{obj: obj, record: record, sealScope: seal.ScopeOf(obj.Annotations), now: c.deps.Now()}
	result, err := flow.Run(ctx, c.deps.Engine, obj, s, report,
		flow.Step[scope]{Name: "look whether the Secret is current", Do: c.skipCurrent},
		flow.Step[scope]{Name: "leave it to a run over the whole object", Do: openLater},
	)
	if s.outdated {
		return c.materialize(ctx, req, s)
	}
	return c.end(s, result, err)
}

// materialize opens the values and writes the Secret. looked has what the cache has of the object.
func (c *Controller) materialize(ctx context.Context, req reconcile.Request, looked *scope) (reconcile.Result, error) {
	whole, err := c.whole(ctx, looked.obj)
	if apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil // the cache follows
	}
	if err != nil {
		c.meters.errors.WithLabelValues(causeFetch, "").Inc()
		return reconcile.Result{}, fmt.Errorf("read SealedSecret %s: %w", req, redact.API(err))
	}
	if whole.UID != looked.obj.UID || whole.DeletionTimestamp != nil {
		return reconcile.Result{}, nil
	}
	obj := slim(whole)
	s := &scope{obj: obj, whole: whole, record: looked.record, sealScope: seal.ScopeOf(obj.Annotations), now: looked.now, live: looked.live}
	s.repair = looked.repair && obj.Generation == looked.obj.Generation && s.sealScope == looked.sealScope
	result, err := flow.Run(ctx, c.deps.Engine, obj, s, report,
		flow.Step[scope]{Name: "check the spec", Do: c.checkSpec},
		flow.Step[scope]{Name: "look whether a Secret is in the way", Do: c.checkBlocked},
		flow.Step[scope]{Name: "open the values", Do: c.open},
		flow.Step[scope]{Name: "render the templates", Do: c.render},
		flow.Step[scope]{Name: "write the Secret", Do: c.write},
	)
	return c.end(s, result, err)
}

// rest is how long an object rests that has been retried as often as it may be: the longest pause of all that are retried. Without
// an end to it, what was down for a moment would need a restart.
const rest = 5 * time.Minute

// end remembers and counts how a run ended, and lets an object rest.
func (c *Controller) end(s *scope, result reconcile.Result, err error) (reconcile.Result, error) {
	s.record.last = flow.LastOf(s.obj, err, time.Now())
	if !s.current {
		s.record.reported = err == nil && synced(s.obj)
	}
	c.count(s, err)
	if err == nil {
		s.record.retries = 0
		return result, nil
	}
	if s.record.retries++; c.deps.MaxRetries == nil || s.record.retries <= *c.deps.MaxRetries {
		return result, err
	}
	return reconcile.Result{RequeueAfter: rest}, nil
}

// count shows how a run ended.
func (c *Controller) count(s *scope, err error) {
	if s.failure != "" {
		c.meters.failed(s.failure, s.obj.Namespace)
	}
	if err != nil && !s.retried {
		c.meters.errors.WithLabelValues(causeStatus, s.obj.Namespace).Inc()
		return // the condition is not what the cluster shows
	}
	c.meters.observe(s.obj)
}

// keyWatch enqueues the SealedSecrets that are not synced whenever the sealing keys have changed. As a source that has
// to sync, it holds the controller back until the keys were read for the first time.
type keyWatch struct {
	keys    Keys
	objects client.Reader
	memory  *memory
}

// Start implements source.Source.
func (k *keyWatch) Start(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	_, replaced := k.keys.Ring()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-replaced:
				// Before the objects are looked at, so that a change in between is not missed.
				_, replaced = k.keys.Ring()
				k.enqueue(ctx, queue)
			}
		}
	}()
	return nil
}

// WaitForSync implements source.SyncingSource.
func (k *keyWatch) WaitForSync(ctx context.Context) error {
	for {
		ring, replaced := k.keys.Ring()
		if ring != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the sealing keys to be read: %w", context.Cause(ctx))
		case <-replaced:
		}
	}
}

func (k *keyWatch) enqueue(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
	var list v1alpha1.SealedSecretList
	if err := k.objects.List(ctx, &list); err != nil {
		log.FromContext(ctx).Error(redact.API(err), "the sealing keys have changed, and SealedSecrets cannot be listed")
		return
	}
	for i := range list.Items {
		if name := client.ObjectKeyFromObject(&list.Items[i]); k.memory.waits(name) || !upToDate(&list.Items[i]) {
			flow.Enqueue(queue, flow.PriorityNews, reconcile.Request{NamespacedName: name})
		}
	}
}
