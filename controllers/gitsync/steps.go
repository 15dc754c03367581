package gitsync

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/gitsync/apply"
	"github.com/sealbridge/sealbridge/internal/redact"
	"github.com/sealbridge/sealbridge/providers"
)

// validate refuses what cannot be reconciled.
func (r *Reconciler) validate(_ context.Context, s *scope) error {
	if p := refused(s.sync, r.deps.RequireServiceAccount); p != nil {
		return flow.Stall(p.Reason, p)
	}
	return nil
}

// awaitDependencies waits until the GitSyncs of spec.dependsOn are ready; they enqueue this one when they become so.
func (r *Reconciler) awaitDependencies(ctx context.Context, s *scope) error {
	var missing []string
	for _, d := range s.sync.Spec.DependsOn {
		key := types.NamespacedName{Namespace: d.Namespace, Name: d.Name}
		if key.Namespace == "" {
			key.Namespace = s.sync.Namespace
		}
		other := &v1alpha1.GitSync{}
		err := r.deps.Client.Get(ctx, key, other)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("read GitSync %s: %w", key, redact.API(err))
		}
		if err != nil || !isReady(other) {
			missing = append(missing, key.String())
		}
	}
	if len(missing) > 0 {
		return flow.Wait(v1alpha1.ReasonDependencyNotReady, intervalOf(s.sync),
			providers.Errorf(providers.ErrNotFound, "waits until these GitSyncs are ready: %s", few(missing)))
	}
	return nil
}

// resolve asks Git for the revision when that is due.
func (r *Reconciler) resolve(ctx context.Context, s *scope) error {
	st := s.state
	if !due(s.sync, st, r.deps.Now()) {
		return r.refreshKeys(ctx, s)
	}
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(&s.sync.Spec))
	defer cancel()
	keys, err := r.keysVersion(ctx, s.sync)
	if err != nil {
		return ending(s.sync, reasonOf(err, v1alpha1.ReasonDecryptionFailed), err)
	}
	revision, err := r.ask(ctx, s.sync)
	if err != nil {
		if st.checkout != nil && st.settled == s.input() {
			s.unreachable = err // what was applied is still kept as it was
			return nil
		}
		return ending(s.sync, reasonOf(err, v1alpha1.ReasonGitOperationFailed), err)
	}
	if revision != st.revision || st.generation != s.sync.Generation || st.keys != keys {
		st.checkout = nil
	}
	st.checked, st.generation, st.requested = r.deps.Now(), s.sync.Generation, s.sync.Annotations[v1alpha1.AnnotationRequestedAt]
	st.revision, st.keys = revision, keys
	s.asked = true
	return nil
}

// ask asks Git for the revision.
func (r *Reconciler) ask(ctx context.Context, sync *v1alpha1.GitSync) (string, error) {
	repo, err := r.repository(ctx, sync)
	if err != nil {
		return "", err
	}
	return r.deps.Git.Resolve(ctx, repo)
}

// refreshKeys looks whether the decryption Secret was changed since it made a build impossible.
func (r *Reconciler) refreshKeys(ctx context.Context, s *scope) error {
	if s.state.refusal == nil || keysRef(s.sync) == nil {
		return nil
	}
	keys, err := r.keysVersion(ctx, s.sync)
	if err != nil {
		return ending(s.sync, reasonOf(err, v1alpha1.ReasonDecryptionFailed), err)
	}
	s.state.keys = keys
	return nil
}

// compare finds out whether anything has to be built: not when the same input is applied and nothing drifted, and not
// when the same input is known to make nothing.
func (r *Reconciler) compare(ctx context.Context, s *scope) error {
	st := s.state
	if st.refusal != nil && st.refused == s.input() {
		return ending(s.sync, reasonOf(st.refusal, v1alpha1.ReasonBuildFailed), st.refusal)
	}
	s.drifted = r.drifted(ctx, s)
	s.idle = st.settled == s.input() && !s.drifted
	return nil
}

// drifted reports whether an object may not be as it was applied. What cannot be watched is compared when Git is asked.
func (r *Reconciler) drifted(ctx context.Context, s *scope) bool {
	return slices.ContainsFunc(inventory(s.sync), func(e apply.Entry) bool {
		live := r.watch.live(ctx, e)
		return (live.Known || s.asked) && s.state.memory.Drifted(e.Ref, live)
	})
}

// build reads the revision and makes the objects of it.
func (r *Reconciler) build(ctx context.Context, s *scope) error {
	if s.idle {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(&s.sync.Spec))
	defer cancel()
	st := s.state
	if err := r.checkout(ctx, s); err != nil {
		return ending(s.sync, reasonOf(err, v1alpha1.ReasonGitOperationFailed), err)
	}
	if r.unchanged(s) {
		st.settled, s.idle, st.checkout = s.input(), true, st.applied
		s.digest = digestOf(st.built, s.input(), &s.sync.Spec)
		return nil
	}
	keys, err := r.secret(ctx, s.sync.Namespace, keysRef(s.sync), "spec.decryption.secretRef", v1alpha1.ReasonDecryptionFailed)
	if err != nil {
		return ending(s.sync, reasonOf(err, v1alpha1.ReasonDecryptionFailed), err)
	}
	built, err := st.checkout.Build(ctx, s.sync.Spec.Path, keys)
	if err == nil {
		err = r.accept(s, built)
	}
	if err != nil {
		if repeats(err) {
			st.refused, st.refusal = s.input(), err
		}
		return ending(s.sync, reasonOf(err, v1alpha1.ReasonBuildFailed), err)
	}
	st.refusal = nil
	s.digest = digestOf(built, s.input(), &s.sync.Spec)
	built.Objects = nil // they may hold decrypted values, and live as long as this run
	s.built = built
	return nil
}

func (r *Reconciler) checkout(ctx context.Context, s *scope) error {
	if s.state.checkout != nil {
		return nil
	}
	repo, err := r.repository(ctx, s.sync)
	if err != nil {
		return err
	}
	s.state.checkout, err = r.deps.Git.Checkout(ctx, repo, s.state.revision)
	return err
}

// unchanged reports whether a new revision changes nothing of what was built from the applied one.
func (r *Reconciler) unchanged(s *scope) bool {
	st, in := s.state, s.input()
	in.revision = st.settled.revision
	return st.settled == in && !s.drifted && st.built != nil && st.built.Same(st.checkout)
}

// accept checks what was built and makes it ready to be applied.
func (r *Reconciler) accept(s *scope, built *Built) error {
	if built.Plaintext != nil && s.sync.Spec.PlaintextSecrets != v1alpha1.PlaintextAllow {
		return &Problem{Reason: v1alpha1.ReasonPlaintextSecret, Terminal: true, Err: built.Plaintext}
	}
	if emptied(s.sync, built.Objects) {
		return &Problem{Reason: v1alpha1.ReasonEmptyBuild, Terminal: true, Err: providers.Errorf(providers.ErrInvalid,
			"%s holds no objects at %s, and nothing is pruned; correct spec.path, or set spec.allowEmpty", pathOf(s.sync), s.state.revision)}
	}
	objects, err := place(s.sync, built.Objects, newScopes(r.deps.Mapper, built.Objects))
	if err != nil {
		return err
	}
	s.objects, s.entries = objects, apply.Entries(objects)
	return nil
}

// apply brings the objects into the cluster, after their names were written into the inventory.
func (r *Reconciler) apply(ctx context.Context, s *scope) error {
	if s.idle {
		return nil
	}
	engine, err := r.engineOf(ctx, s)
	if err != nil {
		return ending(s.sync, reasonOf(err, v1alpha1.ReasonApplyFailed), err)
	}
	s.state.unsettle(s.input())
	if err := r.writeAhead(ctx, s); err != nil {
		return err
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(&s.sync.Spec))
	defer cancel()
	if err := r.createNamespace(ctx, s, engine.Client); err != nil {
		return ending(s.sync, v1alpha1.ReasonApplyFailed, err)
	}
	kinds := kindsOf(inventory(s.sync))
	r.watch.use(outer, s.name(), kinds)
	s.state.watching.Store(true)
	s.results = engine.Apply(ctx, s.objects)
	r.watch.use(outer, s.name(), kinds) // of kinds that were only just defined
	if p := applyFailure(s.results); p != nil {
		s.state.watching.Store(false) // its retry interval decides, not the life of the objects that were applied
		return ending(s.sync, p.Reason, p)
	}
	if w := waits(s.results); len(w) > 0 {
		return r.waiting(s, w)
	}
	return nil
}

// prune deletes what is in the inventory and not desired any more; what cannot be deleted stays in the inventory.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	if s.idle {
		return nil
	}
	var kept []apply.Entry
	var failure *Problem
	if gone := apply.Without(inventory(s.sync), s.entries); s.sync.Spec.Prune && len(gone) > 0 {
		ctx, cancel := context.WithTimeout(ctx, timeoutOf(&s.sync.Spec))
		defer cancel()
		engine, err := r.engineOf(ctx, s)
		if err != nil {
			return ending(s.sync, reasonOf(err, v1alpha1.ReasonPruneFailed), err)
		}
		results := engine.Prune(ctx, gone)
		s.results = append(s.results, results...)
		kept = survivors(gone, results)
		failure = applyFailure(results)
	}
	setInventory(s.sync, apply.Union(s.entries, kept))
	r.watch.use(ctx, s.name(), kindsOf(inventory(s.sync)))
	if failure != nil {
		return ending(s.sync, v1alpha1.ReasonPruneFailed, failure)
	}
	s.complete = true
	s.state.checkout.Trim()
	s.state.settled, s.state.applied, s.state.built = s.input(), s.state.checkout, s.built
	return nil
}

// survivors returns the entries whose objects could not be deleted.
func survivors(entries []apply.Entry, results []apply.Result) []apply.Entry {
	failed := make(map[apply.Ref]bool)
	for _, r := range results {
		failed[r.Ref] = r.Err != nil
	}
	return slices.DeleteFunc(slices.Clone(entries), func(e apply.Entry) bool { return !failed[e.Ref] })
}

// finish ends the run: what was applied is as it should be, but Git may be out of reach.
func (r *Reconciler) finish(ctx context.Context, s *scope) error {
	st := s.state
	st.watching.Store(len(healthChecks(s.sync)) > 0) // health can change at any time
	st.waiting = waiting{}
	for _, e := range inventory(s.sync) {
		if st.memory.Drifted(e.Ref, r.watch.live(ctx, e)) {
			s.drifts = append(s.drifts, e.Ref)
		}
	}
	if s.unreachable != nil {
		return ending(s.sync, reasonOf(s.unreachable, v1alpha1.ReasonGitOperationFailed), s.unreachable)
	}
	return nil
}

// waiting ends the run until an event of an owned object, or a growing pause, is over.
func (r *Reconciler) waiting(s *scope, what []string) error {
	st := s.state
	st.watching.Store(true)
	if st.waiting.since.IsZero() || st.waiting.input != s.input() {
		st.waiting = waiting{since: r.deps.Now(), input: s.input()}
	}
	after := pause(st.waiting.tries)
	st.waiting.tries++
	if limit := timeoutOf(&s.sync.Spec); r.deps.Now().Sub(st.waiting.since) >= limit {
		return flow.Wait(v1alpha1.ReasonHealthCheckFailed, after,
			providers.Errorf(providers.ErrUnavailable, "not ready after %s: %s", limit, few(what)))
	}
	return flow.Wait(v1alpha1.ReasonProgressing, after, providers.Errorf(providers.ErrUnavailable, "%s", few(what)))
}

// writeAhead writes the union of what was and what will be into the inventory, so that nothing is ever created that a
// later run does not know of, also when this process ends in the middle.
func (r *Reconciler) writeAhead(ctx context.Context, s *scope) error {
	before := inventory(s.sync)
	union := apply.Union(before, s.entries)
	if slices.Equal(before, union) {
		return nil
	}
	setInventory(s.sync, union)
	if err := r.deps.Status.WriteStatus(ctx, s.sync); err != nil {
		return fmt.Errorf("write the inventory: %w", redact.API(err))
	}
	s.state.wrote(s.sync.ResourceVersion)
	return nil
}

// engineOf returns the engine that acts as the GitSync's identity.
func (r *Reconciler) engineOf(ctx context.Context, s *scope) (*apply.Engine, error) {
	account := types.NamespacedName{Namespace: s.sync.Namespace, Name: s.sync.Spec.ServiceAccountName}
	if account.Name != "" {
		err := r.deps.Reader.Get(ctx, account, metadataOf(corev1.SchemeGroupVersion.WithKind("ServiceAccount")))
		if apierrors.IsNotFound(err) {
			return nil, &Problem{Reason: v1alpha1.ReasonApplyFailed, Err: &missingAccount{name: account}}
		}
		if err != nil {
			return nil, fmt.Errorf("read ServiceAccount %s: %w", account, redact.API(err))
		}
	}
	c, err := r.identities.as(account)
	if err != nil {
		return nil, err
	}
	return &apply.Engine{
		Client: c, Owner: s.owner(), Memory: s.state.memory, Live: r.watch.live, Holds: r.holds(ctx),
		Force: s.sync.Spec.Force, Parallel: r.deps.Parallel, Now: r.deps.Now,
	}, nil
}

// missingAccount says that the identity of a GitSync does not exist.
type missingAccount struct{ name types.NamespacedName }

func (m *missingAccount) Error() string {
	return fmt.Sprintf("ServiceAccount %s of spec.serviceAccountName does not exist; create it", m.name)
}

// holds tells whether another GitSync exists and has an object in its inventory.
func (r *Reconciler) holds(ctx context.Context) apply.Holder {
	return func(other apply.Owner, ref apply.Ref) bool {
		sync := &v1alpha1.GitSync{}
		err := r.deps.Client.Get(ctx, client.ObjectKey{Namespace: other.Namespace, Name: other.Name}, sync)
		if apierrors.IsNotFound(err) {
			return false
		}
		return err != nil || slices.ContainsFunc(inventory(sync), func(e apply.Entry) bool { return e.Ref == ref })
	}
}

// createNamespace makes spec.targetNamespace if that is asked for. It stays when the GitSync goes: others may use it.
func (r *Reconciler) createNamespace(ctx context.Context, s *scope, c client.Client) error {
	if !s.sync.Spec.CreateNamespace || s.sync.Spec.TargetNamespace == "" {
		return nil
	}
	ns := metadataOf(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := c.Get(ctx, client.ObjectKey{Name: s.sync.Spec.TargetNamespace}, ns)
	if apierrors.IsNotFound(err) {
		err = client.IgnoreAlreadyExists(c.Create(ctx, namespaceOf(s.sync.Spec.TargetNamespace)))
	}
	if err != nil {
		return fmt.Errorf("create Namespace %s: %w", s.sync.Spec.TargetNamespace, redact.API(err))
	}
	return nil
}

func kindsOf(entries []apply.Entry) map[schema.GroupVersionKind]bool {
	out := make(map[schema.GroupVersionKind]bool)
	for _, e := range entries {
		out[e.GVK()] = true
	}
	return out
}

// isReady reports whether a GitSync is ready as it is now.
func isReady(sync *v1alpha1.GitSync) bool {
	c := meta.FindStatusCondition(sync.Status.Conditions, v1alpha1.ConditionReady)
	return c != nil && c.Status == metav1.ConditionTrue && sync.Status.ObservedGeneration == sync.Generation
}
