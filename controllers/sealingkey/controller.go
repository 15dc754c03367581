package sealingkey

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// DefaultPrefix begins the names of key Secrets, as --key-prefix of Sealed Secrets does.
const DefaultPrefix = "sealed-secrets-key"

// The reason and action of the event about a key Secret that cannot be used.
const (
	reasonBadKey = "ErrSealingKey"
	actionLoad   = "Load"
)

// Deps are what a Controller needs. Namespace, Keeper, Events and Now are required.
type Deps struct {
	// Namespace holds the key Secrets: the controller's own.
	Namespace string
	// Prefix of the names of new key Secrets, and the name of the legacy one; empty means DefaultPrefix.
	Prefix string
	// Keeper receives the ring.
	Keeper *Keeper
	Events events.EventRecorder
	Now    func() time.Time
	// Generate shapes new keys; NotBefore is set from Now.
	Generate keyring.Options
	// Labels and Annotations are put on new key Secrets beside the label that makes them keys.
	Labels, Annotations map[string]string
	// Order says which key is the newest; empty means OrderCertNotBefore.
	Order Order
	// Renewal says when the newest key of each kind is followed by another; the zero value means never.
	Renewal Renewal
	// Force asks for another key of each kind at once whenever it gives something; nil for never.
	Force <-chan os.Signal
	// Native has keys of the native format kept, too.
	Native bool
	// Held are keys that somebody else holds, nil for none, and HeldPeriod is how often is asked for them; zero means a minute.
	Held       Holder
	HeldPeriod time.Duration
}

// Holder gives keys whose private half it keeps, as plugins/transit does.
type Holder interface {
	// Ask asks which keys there are.
	Ask(ctx context.Context) error
	// Keys returns what the last answer was, and keys that know why others do not open or cannot be asked.
	Keys() []keyring.Member
}

// Controller keeps a Keeper's ring equal to the key Secrets. It runs on every replica, because each of them serves the
// certificate; only the leader creates keys.
type Controller struct {
	deps  Deps
	kinds []*kind
	// live asks the API server, writer creates.
	live    client.Reader
	writer  client.Writer
	elected <-chan struct{}
	// reported is the version of each faulty key Secret that was warned of.
	reported map[string]string
	// forced says that other keys were asked for.
	forced atomic.Bool
	// asked is closed once the holder was asked.
	asked chan struct{}
}

// New returns a Controller.
func New(deps Deps) *Controller {
	if deps.Prefix == "" {
		deps.Prefix = DefaultPrefix
	}
	if deps.HeldPeriod <= 0 {
		deps.HeldPeriod = heldPeriod
	}
	kinds := []*kind{compatKind()}
	if deps.Native {
		kinds = append(kinds, nativeKind())
	}
	return &Controller{deps: deps, kinds: kinds, reported: map[string]string{}, asked: make(chan struct{})}
}

// Secrets are read and written in the controller's own namespace only; `make generate` turns the markers into a Role.
// +kubebuilder:rbac:groups="",namespace=sealbridge-system,resources=secrets,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=events.k8s.io,namespace=sealbridge-system,resources=events,verbs=create;patch

// SetupWithManager registers the controller and a cache of its own for each kind of key, which holds nothing but the
// labeled key Secrets.
func (c *Controller) SetupWithManager(mgr ctrl.Manager) error {
	c.live, c.writer, c.elected = mgr.GetAPIReader(), mgr.GetClient(), mgr.Elected()
	options := flow.Options(1)
	everyReplica := false
	options.NeedLeaderElection = &everyReplica
	builder := ctrl.NewControllerManagedBy(mgr).Named("sealingkey").WithOptions(options).
		WatchesRawSource(source.Func(c.enqueueAtStart))
	for _, k := range c.kinds {
		active, err := k.active()
		if err != nil {
			return err
		}
		keys, err := cache.New(mgr.GetConfig(), cache.Options{
			HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
			DefaultNamespaces: map[string]cache.Config{c.deps.Namespace: {LabelSelector: active}},
			DefaultTransform:  cache.TransformStripManagedFields(),
		})
		if err != nil {
			return fmt.Errorf("make the cache of sealing keys: %w", err)
		}
		if err := mgr.Add(ownCache{keys}); err != nil {
			return fmt.Errorf("add the cache of sealing keys: %w", err)
		}
		k.cached = keys
		builder = builder.WatchesRawSource(source.Kind(keys, &corev1.Secret{}, handler.TypedEnqueueRequestsFromMapFunc(
			func(context.Context, *corev1.Secret) []reconcile.Request { return []reconcile.Request{c.request()} })))
	}
	return builder.Complete(c)
}

// ownCache makes the manager start the cache before the controllers, and wait for it.
type ownCache struct{ cache.Cache }

// GetCache is how the manager recognizes a cache.
func (o ownCache) GetCache() cache.Cache { return o.Cache }

// request is the only one there is: the ring is built as a whole.
func (c *Controller) request() reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: c.deps.Namespace, Name: c.deps.Prefix}}
}

// enqueueAtStart asks for a run without any key, for another when this replica becomes the leader, and for one whenever
// somebody asks for a new key.
func (c *Controller) enqueueAtStart(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	queue.Add(c.request())
	if c.deps.Held != nil {
		go c.watchHolder(ctx, func() { queue.Add(c.request()) })
	}
	go func() {
		select {
		case <-ctx.Done():
		case <-c.elected:
			queue.Add(c.request())
		}
	}()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-c.deps.Force:
				c.forced.Store(true)
				queue.Add(c.request())
			}
		}
	}()
	return nil
}

// Reconcile reads all key Secrets, publishes their ring, creates the first key of a kind where there is none, and follows
// the newest by another when that is due.
func (c *Controller) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	held := c.heldKeys(ctx)
	var secrets []corev1.Secret
	var without []*kind
	for _, k := range c.kinds {
		of, err := c.keySecrets(ctx, k, k.cached)
		if err != nil {
			return reconcile.Result{}, err
		}
		if !hasCommon(of) {
			without = append(without, k)
		}
		secrets = append(secrets, of...)
	}
	keys := load(secrets, c.deps.Order, held...)
	c.warn(ctx, newFaults(c.reported, keys.faults))
	if len(without) > 0 && c.leads() {
		// While the first key is being made nobody is told that there is none, unless that fails. One that was retired meanwhile is
		// none at once: what would be sealed to it would never open.
		if before, _ := c.deps.Keeper.Ring(); before != nil {
			c.deps.Keeper.replace(keys.ring)
		}
		for _, k := range without {
			if err := c.createFirst(ctx, k); err != nil {
				c.deps.Keeper.replace(keys.ring)
				return reconcile.Result{}, err
			}
		}
		return reconcile.Result{}, nil
	}
	if c.deps.Keeper.replace(keys.ring) {
		newest := map[string]string{}
		for _, k := range c.kinds {
			if key, ok := k.newest(keys.ring); ok {
				newest[k.name] = key.Fingerprint()
			}
		}
		if key, ok := keys.ring.NewestRemote(); ok {
			newest["held"] = key.Fingerprint()
		}
		log.FromContext(ctx).Info("sealing keys loaded", "keys", keys.count(), "newest", newest)
	}
	if !c.leads() {
		if c.forced.Swap(false) {
			log.FromContext(ctx).Info("no new sealing key is made: this replica does not lead; ask the one that does")
		}
		return reconcile.Result{}, nil
	}
	if c.forced.Swap(false) { // before: who asks meanwhile asks for one that is made after that
		if err := c.force(ctx); err != nil {
			c.forced.Store(true)
			return reconcile.Result{}, err
		}
	}
	return c.renew(ctx, keys)
}

// keySecrets returns the labeled key Secrets of a kind and the legacy one.
func (c *Controller) keySecrets(ctx context.Context, k *kind, from client.Reader) ([]corev1.Secret, error) {
	active, err := k.active()
	if err != nil {
		return nil, err
	}
	var list corev1.SecretList
	if err := from.List(ctx, &list, client.InNamespace(c.deps.Namespace), client.MatchingLabelsSelector{Selector: active}); err != nil {
		return nil, fmt.Errorf("list sealing keys in namespace %s: %w", c.deps.Namespace, redact.API(err))
	}
	if !k.legacy {
		return list.Items, nil
	}
	var legacy corev1.Secret
	err = c.live.Get(ctx, c.request().NamespacedName, &legacy)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return nil, fmt.Errorf("read sealing key %s/%s: %w", c.deps.Namespace, c.deps.Prefix, redact.API(err))
	case isLegacy(&legacy):
		list.Items = append(list.Items, legacy)
	}
	return list.Items, nil
}

// warn tells of key Secrets that cannot be used: every replica in its log, the leader by an event.
func (c *Controller) warn(ctx context.Context, faults []fault) {
	for _, f := range faults {
		log.FromContext(ctx).Error(f.err, "sealing key left out", "secret", f.secret.Name)
		if c.leads() {
			c.deps.Events.Eventf(f.secret, nil, corev1.EventTypeWarning, reasonBadKey, actionLoad,
				"sealing key left out: %s; repair or remove it", f.err.Error())
		}
	}
}

func (c *Controller) leads() bool {
	select {
	case <-c.elected:
		return true
	default:
		return false
	}
}
