package clusterexternalsecret

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
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

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// What the controller may do. It reads no Secret. To remove the finalizers that External Secrets Operator has left on
// namespaces it must be allowed to patch namespaces, which config/takeover grants: whoever may do that may change the
// labels by which namespaces are secured.
//
// +kubebuilder:rbac:groups=external-secrets.io,resources=clusterexternalsecrets,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=external-secrets.io,resources=clusterexternalsecrets/status,verbs=update;patch
// +kubebuilder:rbac:groups=external-secrets.io,resources=clusterexternalsecrets/finalizers,verbs=update
// +kubebuilder:rbac:groups=external-secrets.io,resources=externalsecrets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// Deps are what the Reconciler needs; Client, Live, Status and Events are required.
type Deps struct {
	// Client reads ClusterExternalSecrets, ExternalSecrets and the metadata of namespaces (from caches), and writes.
	Client client.Client
	// Live reads ExternalSecrets, and the metadata of namespaces and ClusterExternalSecrets, from the API server itself.
	Live client.Reader
	// Status writes the status.
	Status flow.StatusWriter
	Events events.EventRecorder
	// Observer is told of each run; nil for nobody.
	Observer flow.Observer
	// Concurrent is how many objects are reconciled at once; 0 means one.
	Concurrent int
}

// Reconciler provisions ClusterExternalSecrets.
type Reconciler struct {
	deps Deps

	mu sync.Mutex
	// written is what our last runs left, by name: an older object from the cache is not acted on.
	written map[string]flow.Last
	// freed are the objects whose finalizer this process has removed once, so that it does not fight with an operator that
	// runs beside it: by the name of the ClusterExternalSecret, itself and the namespaces that exist.
	freed map[string]map[types.UID]bool
}

// New returns a Reconciler.
func New(d Deps) *Reconciler {
	return &Reconciler{deps: d, written: map[string]flow.Last{}, freed: map[string]map[types.UID]bool{}}
}

// ownerIndex finds ExternalSecrets by the UID of the ClusterExternalSecret that controls them.
const ownerIndex = "clusterexternalsecret"

// SetupWithManager registers the controller: it watches ClusterExternalSecrets, ExternalSecrets and the metadata of
// namespaces. The context bounds the set-up only.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &esv1.ExternalSecret{}, ownerIndex, func(obj client.Object) []string {
		if owner := ownerOf(obj); owner != nil {
			return []string{string(owner.UID)}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("index ExternalSecrets by ClusterExternalSecret: %w", err)
	}
	changed := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, deleting())
	err = ctrl.NewControllerManagedBy(mgr).Named("clusterexternalsecret").
		For(&esv1.ClusterExternalSecret{}, builder.WithPredicates(changed)).
		Watches(&esv1.ExternalSecret{}, handler.EnqueueRequestsFromMapFunc(r.ofExternalSecret), builder.WithPredicates(externalSecretChanged())).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace), builder.OnlyMetadata, builder.WithPredicates(namespaceChanged())).
		WithOptions(flow.Options(max(1, r.deps.Concurrent))).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the controller of ClusterExternalSecrets: %w", err)
	}
	return nil
}

// deleting lets the event pass that an object is to be deleted.
func deleting() predicate.Funcs {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetDeletionTimestamp().IsZero() && !e.ObjectNew.GetDeletionTimestamp().IsZero()
	}}
}

// externalSecretChanged lets the events pass after which an ExternalSecret may not be what it should, or one that was in
// the way is not any more.
func externalSecretChanged() predicate.Funcs {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := ownerOf(e.ObjectOld), ownerOf(e.ObjectNew)
			return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || (before == nil) != (after == nil) ||
				predicate.LabelChangedPredicate{}.Update(e) || predicate.AnnotationChangedPredicate{}.Update(e)
		},
	}
}

// namespaceChanged lets the events pass after which a namespace may be selected or not, or be held by a finalizer of
// External Secrets Operator. At the start each ClusterExternalSecret is looked at anyway.
func namespaceChanged() predicate.Funcs {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList || len(heldBy(e.Object)) > 0 },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return predicate.LabelChangedPredicate{}.Update(e) || deleting().Update(e) ||
				len(heldBy(e.ObjectOld)) != len(heldBy(e.ObjectNew))
		},
	}
}

// ofExternalSecret returns the ClusterExternalSecret that controls an ExternalSecret, and those that want one of its name.
func (r *Reconciler) ofExternalSecret(ctx context.Context, obj client.Object) []reconcile.Request {
	names := map[string]bool{}
	if owner := ownerOf(obj); owner != nil {
		names[owner.Name] = true
	}
	for _, ces := range r.all(ctx) {
		if nameOf(&ces) == obj.GetName() {
			names[ces.Name] = true
		}
	}
	return requests(names)
}

// ofNamespace returns the ClusterExternalSecrets that select a namespace or have selected it, and those whose finalizer
// it carries, whether they exist or not.
func (r *Reconciler) ofNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	names := map[string]bool{}
	for _, name := range heldBy(obj) {
		names[name] = true
	}
	for _, ces := range r.all(ctx) {
		chosen, err := newSelection(&ces.Spec)
		if err == nil && (chosen.has(obj) || mentions(&ces.Status, obj.GetName())) {
			names[ces.Name] = true
		}
	}
	return requests(names)
}

// all returns all ClusterExternalSecrets, which the caller must not change.
func (r *Reconciler) all(ctx context.Context) []esv1.ClusterExternalSecret {
	var list esv1.ClusterExternalSecretList
	if err := r.deps.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(redact.API(err), "list ClusterExternalSecrets")
	}
	return list.Items
}

func requests(names map[string]bool) []reconcile.Request {
	out := make([]reconcile.Request, 0, len(names))
	for name := range names {
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
	}
	return out
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	engine := flow.Engine{Status: r.deps.Status, Events: r.deps.Events, Observer: r.deps.Observer}
	ces := &esv1.ClusterExternalSecret{}
	err := r.deps.Client.Get(ctx, req.NamespacedName, ces)
	if apierrors.IsNotFound(err) {
		engine.Gone(ces, req.NamespacedName)
		r.remember(req.Name, flow.Last{})
		r.keepFreed(req.Name, nil)
		return reconcile.Result{}, r.free(ctx, &scope{name: req.Name, gone: true})
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("read ClusterExternalSecret: %w", redact.API(err))
	}
	if pause := r.recall(req.Name).Behind(ces, time.Now()); pause > 0 {
		return reconcile.Result{RequeueAfter: pause}, nil
	}
	s := &scope{name: req.Name, ces: ces, now: time.Now(), version: versionOf(ces)}
	result, err := flow.Run(ctx, engine, ces, s, report, r.steps()...)
	r.remember(req.Name, flow.LastOf(ces, err, time.Now()))
	return result, err
}

func (r *Reconciler) recall(name string) flow.Last {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written[name]
}

// remember keeps what the last run over a ClusterExternalSecret left; nothing is forgotten.
func (r *Reconciler) remember(name string, last flow.Last) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.written, name)
	if last != (flow.Last{}) {
		r.written[name] = last
	}
}

// heldBy returns the names of the ClusterExternalSecrets whose finalizer of External Secrets Operator an object carries.
func heldBy(obj client.Object) []string {
	var names []string
	for _, finalizer := range obj.GetFinalizers() {
		if name, ok := strings.CutPrefix(finalizer, esv1.FinalizerNamespacePrefix); ok {
			names = append(names, name)
		}
	}
	return names
}
