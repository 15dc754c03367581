package externalsecret

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/internal/template"
)

// What the controller may do. Secrets are created and patched (server-side apply), deleted when a target is renamed or its values are gone, listed
// and watched as metadata, and read one by one: credentials of stores, templates, and a target when the API server refuses a
// write. ConfigMaps are watched as metadata too, one by one, while somebody depends on them.
// The pool of sessions mints ServiceAccount tokens with the same account; that right is not here, it is granted per
// namespace and account (docs/spec/secretstore.md).
//
// +kubebuilder:rbac:groups=external-secrets.io,resources=externalsecrets,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=external-secrets.io,resources=externalsecrets/status,verbs=update;patch
// +kubebuilder:rbac:groups=external-secrets.io,resources=externalsecrets/finalizers,verbs=update
// +kubebuilder:rbac:groups=external-secrets.io,resources=secretstores;clustersecretstores,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// DefaultHeartbeat is how old status.refreshTime may become while nothing changes.
const DefaultHeartbeat = 10 * time.Minute

// Deps are what the Reconciler needs; Client, Live, Status, Sessions and Events are required.
type Deps struct {
	// Client reads ExternalSecrets, stores and the metadata of namespaces (from caches), and writes.
	Client client.Client
	// Live reads Secrets from the API server itself.
	Live client.Reader
	// Status writes the status.
	Status   flow.StatusWriter
	Sessions *sessions.Pool
	Events   events.EventRecorder
	// Watches tell when a template or a source Secret of this cluster changes; without them it is noticed at the next
	// refresh.
	Watches *watches.Watcher
	// APIServer is the address of the API server, by which stores that read this cluster are recognized.
	APIServer string
	// Observer is told of each run; nil for nobody.
	Observer flow.Observer
	// Key returns the key under which targets show a hash of their data and what volatile templates were made from. While it fails
	// with ErrUnavailable objects wait; without one, and when it fails otherwise, this process makes one of its own, and the next
	// cannot tell and writes each target once more.
	Key func(context.Context) ([]byte, error)
	// Templates keeps parsed templates from one refresh to the next; the Reconciler's own when nil.
	Templates *template.Cache
	// Delims are those of the templates of targets.
	Delims template.Delims
	// Class is the spec.controller of the stores that are served, beside those that name none.
	Class string
	// Namespaces are those that the Client's cache is limited to; all when empty.
	Namespaces []string
	// NamespacedOnly is set when the controller may not see ClusterSecretStores.
	NamespacedOnly bool
	// Heartbeat is how old status.refreshTime may become while nothing changes; 0 writes it at every refresh.
	Heartbeat time.Duration
	// Concurrent is how many objects are reconciled at once; 0 means one.
	Concurrent int
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Reconciler materializes ExternalSecrets.
type Reconciler struct {
	deps    Deps
	targets *targets
	// inputs are what each object depends on in this cluster, and wake where it is enqueued when that changes.
	inputs *watches.Followers[types.NamespacedName]
	wake   *flow.Queue
	// ownKey stands in for Deps.Key, and keyless says once that it does.
	ownKey  []byte
	keyless sync.Once
	phases  phases
	readers readers
	// places are how many objects are reconciled at once, and lanes how many of them ask one store.
	places *flow.Places
	lanes  *lanes

	mu    sync.Mutex
	memos map[types.NamespacedName]memo
	// news is when what an object reads was seen to have changed, until it has been read.
	news map[types.NamespacedName]time.Time
	// unanswered are the objects that have asked a store and got no answer yet.
	unanswered map[types.NamespacedName]bool
}

// New returns a Reconciler.
func New(d Deps) *Reconciler {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Templates == nil {
		d.Templates = template.NewCache()
	}
	wake := &flow.Queue{}
	ownKey := make([]byte, keySize)
	_, _ = rand.Read(ownKey) // never fails
	places := flow.NewPlaces(d.Concurrent)
	return &Reconciler{
		deps: d, places: places, lanes: newLanes(places, flow.Patience), ownKey: ownKey, wake: wake, inputs: watches.NewFollowers(d.Watches, wake.Enqueue),
		memos: map[types.NamespacedName]memo{}, news: map[types.NamespacedName]time.Time{}, unanswered: map[types.NamespacedName]bool{},
	}
}

// SetupWithManager registers the controller: it watches ExternalSecrets, the metadata of the Secrets that they maintain, and
// the stores of both kinds. The context bounds the set-up only.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	var err error
	if r.targets, err = newTargets(ctx, mgr, r.deps.Namespaces); err != nil {
		return err
	}
	if err := mgr.Add(r.targets.cache); err != nil {
		return fmt.Errorf("add the cache of managed Secrets: %w", err)
	}
	for name, index := range map[string]client.IndexerFunc{storeIndex: indexStores, targetIndex: indexTarget} {
		if err := mgr.GetFieldIndexer().IndexField(ctx, &esv1.ExternalSecret{}, name, index); err != nil {
			return fmt.Errorf("index ExternalSecrets by %s: %w", name, err)
		}
	}
	users := handler.TypedEnqueueRequestsFromMapFunc(r.users)
	changed := predicate.Or[client.Object](
		predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{}, deleting())
	b := ctrl.NewControllerManagedBy(mgr).Named("externalsecret").
		For(&esv1.ExternalSecret{}, builder.WithPredicates(changed, later())).
		Watches(&esv1.ExternalSecret{}, atStart()).
		WatchesRawSource(source.Kind(r.targets.cache, secretMetadata(), users)).
		WatchesRawSource(r.watch(mgr.GetCache())).
		WatchesRawSource(r.wake).
		WatchesRawSource(r.lanes).
		WatchesRawSource(r.replaced()).
		WatchesRawSource(source.Func(r.hear)).
		Watches(&esv1.SecretStore{}, r.storeEvents(), builder.WithPredicates(storeChanged())).
		WithOptions(r.places.Options())
	if !r.deps.NamespacedOnly {
		b = b.Watches(&esv1.ClusterSecretStore{}, r.storeEvents(), builder.WithPredicates(storeChanged()))
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up the controller of ExternalSecrets: %w", err)
	}
	return nil
}

// deleting lets the event pass that an object is to be deleted.
func deleting() predicate.Funcs {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			return e.ObjectOld.GetDeletionTimestamp().IsZero() && !e.ObjectNew.GetDeletionTimestamp().IsZero()
		},
	}
}

// storeChanged lets the events of a store pass after which its users may be able to do what they could not, or have something
// else to say. That a store is down they find out by themselves.
func storeChanged() predicate.Funcs {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			_, _, before := sessions.Parts(e.ObjectOld)
			_, _, after := sessions.Parts(e.ObjectNew)
			return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() ||
				before.ObservedGeneration != after.ObservedGeneration ||
				conditions.Ready(before.Conditions).Status != conditions.Ready(after.Conditions).Status && !after.Unavailable ||
				askable(before) != askable(after)
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	ctx, end := r.deps.Sessions.Hold(ctx)
	defer end()
	engine := flow.Engine{Status: r.deps.Status, Events: r.deps.Events, Observer: r.deps.Observer}
	es := &esv1.ExternalSecret{}
	err := r.deps.Client.Get(ctx, req.NamespacedName, es)
	if apierrors.IsNotFound(err) {
		engine.Gone(es, req.NamespacedName)
		r.forget(req.NamespacedName)
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("read ExternalSecret: %w", redact.API(err))
	}
	m := r.recall(req.NamespacedName, es.UID)
	if pause := m.last.Behind(es, time.Now()); pause > 0 {
		r.places.Unjudged(req.NamespacedName)
		return reconcile.Result{RequeueAfter: pause}, nil
	}
	s := &scope{es: es, now: r.deps.Now(), memo: m, version: versionOf(es), news: r.newsOf(req.NamespacedName)}
	s.visit = r.lanes.visit(req.NamespacedName)
	defer s.visit.end()
	documents := documentsOf(es)
	if current, err := r.noteReader(ctx, es, documents); err != nil || !current {
		return reconcile.Result{}, err // what has become of it has an event
	}
	s.memo.aim = m.aim.at(r.phases.point(periodic(es, documents)), s.now)
	result, err := flow.Run(ctx, engine, es, s, report(r.deps.Heartbeat), r.steps()...)
	s.memo.last = flow.LastOf(es, err, time.Now())
	r.follow(s)
	r.remember(req.NamespacedName, s.memo)
	return result, err
}

// noteReader notes what an object reads, because its event may not have been noted yet, and reports whether the cache still has it as it
// was read. That of one which is gone may have been noted before: nobody would forget what is noted after that.
func (r *Reconciler) noteReader(ctx context.Context, es *esv1.ExternalSecret, documents []uint32) (current bool, err error) {
	key, now := client.ObjectKeyFromObject(es), &esv1.ExternalSecret{}
	r.readers.replace(key, nil, documents)
	switch err := r.deps.Client.Get(ctx, key, now, client.UnsafeDisableDeepCopy); {
	case client.IgnoreNotFound(err) != nil:
		return false, fmt.Errorf("read ExternalSecret: %w", redact.API(err))
	case err == nil && now.UID == es.UID && now.Generation == es.Generation:
		return true, nil
	}
	r.readers.replace(key, documents, nil)
	return false, nil
}

func (r *Reconciler) recall(key types.NamespacedName, uid types.UID) memo {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.memos[key]; m.uid == uid {
		return m
	}
	return memo{uid: uid}
}

func (r *Reconciler) remember(key types.NamespacedName, m memo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.memos[key] = m
	if r.news[key].Before(m.refreshed) {
		delete(r.news, key)
	}
}

func (r *Reconciler) forget(key types.NamespacedName) {
	r.lanes.forget(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.memos, key)
	r.inputs.Forget(key)
	delete(r.news, key)
	delete(r.unanswered, key)
}
