package externalsecret

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	corev1 "k8s.io/api/core/v1"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/conditions"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// storeWait is how long an object waits for a store that cannot be used. What it waits for is an event of the store.
const storeWait = 5 * time.Minute

func (r *Reconciler) steps() []flow.Step[scope] {
	return []flow.Step[scope]{
		{Name: "resolve stores", Do: r.resolve},
		{Name: "release", Do: r.release},
		{Name: "refuse", Do: r.refuse},
		{Name: "observe", Do: r.observe},
		{Name: "depend", Do: r.depend},
		{Name: "skip fresh", Do: r.skipFresh},
		{Name: "admit", Do: r.admit},
		{Name: "find room", Do: r.findRoom},
		{Name: "read key", Do: failing(r.readKey)},
		{Name: "read templates", Do: failing(r.readTemplates)},
		{Name: "fetch", Do: r.fetch},
		{Name: "render", Do: r.render},
		{Name: "hold", Do: failing(r.hold)},
		{Name: "write", Do: failing(r.write)},
		{Name: "prune", Do: failing(r.prune)},
	}
}

// goingWait is how long an object is left alone whose namespace is being deleted.
const goingWait = 5 * time.Minute

// failed makes an error end the run with ESO's reason, repeated with backoff: what is wrong may be cured outside of the
// ExternalSecret. A store that says how long it wants to be left alone is, and what a namespace refuses that is being deleted is not
// tried again and again: the ExternalSecret goes with it.
func failed(err error) error {
	var throttled *providers.ThrottledError
	switch {
	case errors.As(err, &throttled) && throttled.After > 0:
		return flow.Wait(esv1.ReasonSecretSyncedError, min(throttled.After, sessions.MaxThrottle), err)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return flow.Wait(esv1.ReasonSecretSyncedError, goingWait, err)
	default:
		return flow.Fail(esv1.ReasonSecretSyncedError, err)
	}
}

func failing(do func(context.Context, *scope) error) func(context.Context, *scope) error {
	return func(ctx context.Context, s *scope) error {
		if err := do(ctx, s); err != nil {
			return failed(err)
		}
		return nil
	}
}

// resolve finds the stores that are asked, and ends the run for an object that another controller serves, whatever it is that the
// object names the other's store for.
func (r *Reconciler) resolve(ctx context.Context, s *scope) error {
	s.stores = map[esv1.StoreRef]client.Object{}
	asked := askedStores(&s.es.Spec)
	for _, ref := range storesOf(&s.es.Spec) {
		obj, err := r.store(ctx, s.es.Namespace, ref)
		if err != nil {
			return failed(err)
		}
		if slices.Contains(asked, ref) {
			s.stores[ref] = obj
		}
		if obj == nil {
			continue
		}
		if _, spec, _ := sessions.Parts(obj); !sessions.Serves(r.deps.Class, spec) {
			s.ignored = true
			return flow.Done()
		}
	}
	return nil
}

// store returns the store as the cache has it, which the caller must not change; nil when there is none.
func (r *Reconciler) store(ctx context.Context, namespace string, ref esv1.StoreRef) (client.Object, error) {
	if r.unseen(ref) {
		return nil, nil //nolint:nilnil // admit says so
	}
	var obj client.Object = &esv1.SecretStore{}
	key := types.NamespacedName{Namespace: namespace, Name: ref.Name}
	if ref.Kind == esv1.KindClusterSecretStore {
		obj, key.Namespace = &esv1.ClusterSecretStore{}, ""
	}
	err := r.deps.Client.Get(ctx, key, obj, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // a store that does not exist is a fact, not a failure
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", sessions.Name(ref.Kind, namespace, ref.Name), redact.API(err))
	}
	return obj, nil
}

// unseen reports whether the controller may not see the store.
func (r *Reconciler) unseen(ref esv1.StoreRef) bool {
	return r.deps.NamespacedOnly && ref.Kind == esv1.KindClusterSecretStore
}

// refuse sets Ready=False for a spec that cannot be acted on as a whole. Nothing that was materialized is changed.
func (r *Reconciler) refuse(_ context.Context, s *scope) error {
	err := refuse(&s.es.Spec)
	if err == nil {
		s.windows, err = parseWindows(s.es.Spec.SyncWindows)
	}
	if err != nil {
		return flow.Stall(esv1.ReasonSecretSyncedError, err)
	}
	return nil
}

// observe looks up the target in the metadata cache.
func (r *Reconciler) observe(ctx context.Context, s *scope) error {
	var err error
	if s.target, err = r.targets.get(ctx, s.es); err != nil {
		return failed(err)
	}
	s.observed = true
	return nil
}

// skipFresh ends the run when nothing is due: this is where almost every run ends, without a request to anybody.
func (r *Reconciler) skipFresh(ctx context.Context, s *scope) error {
	s.plan = decide(s)
	if s.plan.verify {
		if err := r.verify(ctx, s); err != nil {
			return failed(err)
		}
	}
	if !s.plan.refresh {
		r.foretell(s)
		return flow.Done()
	}
	if s.target.taken(s.es) {
		name := fmt.Sprintf("Secret %s/%s", s.es.Namespace, targetName(s.es))
		return failed(ownedByAnother(name, s.target.controllerName))
	}
	return nil
}

// admit sets Ready=False when a store does not exist, is not ready or does not admit the namespace. It waits for an event
// of the store, and looks again after storeWait for what has none.
func (r *Reconciler) admit(ctx context.Context, s *scope) error {
	for _, ref := range askedStores(&s.es.Spec) {
		name := sessions.Name(ref.Kind, s.es.Namespace, ref.Name)
		obj := s.stores[ref]
		if r.unseen(ref) {
			return flow.Stall(esv1.ReasonSecretSyncedError, providers.Errorf(providers.ErrInvalid,
				"%s is not served: this controller serves some namespaces only (--watch-namespaces); use a SecretStore", name))
		}
		if obj == nil {
			return s.wait(providers.Errorf(providers.ErrNotFound, "%s does not exist; create it, or correct the reference", name), true)
		}
		_, spec, status := sessions.Parts(obj)
		if err := usable(name, obj.GetGeneration(), status); err != nil {
			return s.wait(err, !validated(obj.GetGeneration(), status))
		}
		if len(spec.Conditions) == 0 || ref.Kind != esv1.KindClusterSecretStore {
			continue
		}
		namespace, err := r.namespace(ctx, s.es.Namespace)
		if err != nil {
			return failed(err)
		}
		ok, err := sessions.Admits(spec.Conditions, namespace)
		if err == nil && !ok {
			err = providers.Errorf(providers.ErrDenied,
				"%s may not be used from namespace %s: none of its spec.conditions matches the namespace", name, s.es.Namespace)
		}
		if err != nil {
			return s.wait(err, false)
		}
	}
	s.memo.waiting = time.Time{}
	return nil
}

// namespaceWait is how long a worker waits for the namespaces to be read, which they never are where that is not allowed.
const namespaceWait = time.Second

// namespace returns the metadata of a namespace from the cache.
func (r *Reconciler) namespace(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	ctx, cancel := context.WithTimeout(ctx, namespaceWait)
	defer cancel()
	err := r.deps.Client.Get(ctx, types.NamespacedName{Name: name}, namespace)
	switch {
	case err == nil:
		return namespace, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("look up namespace %s: the controller has not read the namespaces: its log says why, and so does its readiness (/readyz/namespaces)", name)
	default:
		return nil, fmt.Errorf("look up namespace %s: %w", name, redact.API(err))
	}
}

// storeGrace is how long a store may be missing or not validated before the object says so: whoever applies a store and
// its users together, or starts the controller, causes no alarm.
const storeGrace = 2 * time.Second

// wait ends the run until the store has an event. A young store is one that is missing or not validated yet.
func (s *scope) wait(err error, young bool) error {
	if young {
		if s.memo.waiting.IsZero() {
			s.memo.waiting = s.now
		}
		if s.early = s.now.Sub(s.memo.waiting) < storeGrace; s.early {
			return flow.Wait(esv1.ReasonSecretSyncedError, storeGrace, err)
		}
	}
	return flow.Wait(esv1.ReasonSecretSyncedError, storeWait, err)
}

// validated reports whether a store's status is about the store as it is.
func validated(generation int64, status *esv1.SecretStoreStatus) bool {
	return conditions.Ready(status.Conditions).Status != "" &&
		(status.ObservedGeneration == 0 || status.ObservedGeneration == generation)
}

// askable reports whether a store is ready or was just not there when it was checked. Its users ask that one as well: the pool
// of sessions bounds how often, wakes them when it is up again, and lets them say the same from the outage's beginning to its end.
func askable(status *esv1.SecretStoreStatus) bool {
	return conditions.Ready(status.Conditions).Status == metav1.ConditionTrue || status.Unavailable
}

// usable says why a store cannot be asked now; nil when it can.
func usable(name string, generation int64, status *esv1.SecretStoreStatus) error {
	ready := conditions.Ready(status.Conditions)
	switch {
	case !validated(generation, status):
		return providers.Errorf(providers.ErrUnavailable, "%s is not ready: it has not been validated yet", name)
	case !askable(status):
		return providers.Errorf(providers.ErrUnavailable, "%s is not ready (%s): %s", name, ready.Reason, strings.TrimPrefix(ready.Message, name+": "))
	default:
		return nil
	}
}

// findRoom ends the run when as many objects ask one of the stores as may. Nobody has been asked then, nothing is reported, and
// the object is called when there is room.
func (r *Reconciler) findRoom(_ context.Context, s *scope) error {
	refs := askedStores(&s.es.Spec)
	keys := make([]laneKey, len(refs))
	for i, ref := range refs {
		keys[i] = laneOf(s.stores[ref])
	}
	if s.visit.enter(keys) {
		return nil
	}
	s.held = true
	r.places.Unjudged(client.ObjectKeyFromObject(s.es))
	return flow.Wait(esv1.ReasonSecretSyncedError, storeWait, errNoRoom)
}

// errNoRoom is shown to nobody.
var errNoRoom = errors.New("a store is slow, and as many objects wait for it as may")

// fetch asks the stores for all that the entries read. A store that cannot be asked fails the object; a document that cannot be read is
// told apart by assemble.
func (r *Reconciler) fetch(ctx context.Context, s *scope) error {
	r.ask(s)
	defer s.visit.leave()
	s.documents = map[origin]providers.Result{}
	err := r.readDocuments(ctx, s)
	if err == nil {
		err = r.search(ctx, s)
	}
	r.answered(s, err)
	return err
}

// readDocuments asks each store for all documents that entries name, at once.
func (r *Reconciler) readDocuments(ctx context.Context, s *scope) error {
	wanted := wantedOf(&s.es.Spec)
	for _, ref := range askedStores(&s.es.Spec) {
		if len(wanted[ref]) == 0 {
			continue
		}
		store, err := r.deps.Sessions.Translate(s.stores[ref])
		if err != nil {
			return failed(err)
		}
		s.visit.to(laneOf(s.stores[ref]))
		req := s.request(store, wanted[ref], s.after())
		req.Since, req.Forced = s.since, s.plan.forced
		results, err := r.deps.Sessions.Fetch(ctx, req)
		if err != nil {
			return failed(err)
		}
		for i, result := range results {
			s.documents[origin{store: ref, ref: wanted[ref][i]}] = result
			r.noteSource(s, ref, wanted[ref][i], result)
		}
		if err := s.weigh(ctx); err != nil {
			return failed(err)
		}
	}
	return nil
}

// weigh fails when what was read so far is too much, or when its turn does not come.
func (s *scope) weigh(ctx context.Context) error {
	inTurn, err := fits(s.documents)
	if err != nil || !inTurn {
		return err
	}
	return large.Take(ctx)
}

// request asks a store for documents that are asked for again at next.
func (s *scope) request(store sessions.Store, refs []providers.Ref, next time.Time) sessions.Request {
	interval := intervalOf(&s.es.Spec)
	return sessions.Request{
		Store: store, Namespace: s.es.Namespace, Refs: refs, MaxAge: sessions.MaxAge(interval), Interval: interval, Next: next,
	}
}

// foretell tells the pool what the object will read and when, if it was read before this process began: else nobody knows until
// each object has been read once, and requests that answer several documents are seldom full.
func (r *Reconciler) foretell(s *scope) {
	if intervalOf(&s.es.Spec) == 0 || !s.memo.refreshed.IsZero() {
		return
	}
	at := s.turn()
	for ref, refs := range wantedOf(&s.es.Spec) {
		if obj := s.stores[ref]; obj != nil && !at.IsZero() {
			if store, err := r.deps.Sessions.Translate(obj); err == nil {
				r.deps.Sessions.Foretell(s.request(store, refs, at))
			}
		}
	}
}

// render makes the content from the documents, or finds what was made from the same before.
func (r *Reconciler) render(ctx context.Context, s *scope) error {
	var missing []string
	var err error
	if s.found, missing, err = gather(ctx, &s.es.Spec, s.documents); err != nil {
		return failed(err)
	}
	r.announceMissing(s, missing)
	if volatile(r.targetTemplates(), &s.es.Spec, s.templates) {
		err = r.makeOnce(ctx, s)
	} else {
		s.memo.made = nil
		s.content, err = r.make(ctx, s)
	}
	if err != nil {
		return err
	}
	if err := refuseLabels(s.content.labels); err != nil {
		return failed(err)
	}
	s.content.mark(s.es, keyedHash(s.key, s.es, s.content.hash))
	s.dynamic = shares(&s.es.Spec) || dynamicMetadata(&s.es.Spec, r.deps.Delims)
	return nil
}

// make makes the content.
func (r *Reconciler) make(ctx context.Context, s *scope) (content, error) {
	var err error
	if s.values, err = assemble(ctx, newRenderer(r.deps.Templates), s.found); err != nil {
		return content{}, failed(err)
	}
	if err := r.empty(ctx, s); err != nil {
		return content{}, err
	}
	c, err := render(ctx, r.targetTemplates(), s.es, s.values, s.templates)
	if err != nil {
		return content{}, failed(err)
	}
	return c, nil
}
