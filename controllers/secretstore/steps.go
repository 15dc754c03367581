package secretstore

import (
	"context"
	"errors"
	"time"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/providers"
)

func (r *Reconciler) steps() []flow.Step[scope] {
	return []flow.Step[scope]{
		{Name: "skip a store of another controller", Do: r.skipForeign},
		{Name: "expect credentials", Do: r.expect},
		{Name: "refuse ambient credentials", Do: r.refuseAmbient},
		{Name: "skip a store that is not due", Do: r.skipFresh},
		{Name: "translate", Do: r.translate},
		{Name: "validate", Do: r.validate},
		{Name: "check", Do: r.check},
	}
}

func (r *Reconciler) skipForeign(_ context.Context, s *scope) error {
	if s.foreign = !sessions.Serves(r.deps.Class, s.spec); s.foreign {
		return flow.Done()
	}
	return nil
}

// expect makes the pool follow what the store was opened with before this process began, so that it notices what was replaced
// meanwhile.
func (r *Reconciler) expect(_ context.Context, s *scope) error {
	if !s.first || !ready(s.obj.GetGeneration(), s.status) {
		return nil
	}
	store, err := r.deps.Sessions.Translate(s.obj)
	if err != nil {
		return nil //nolint:nilerr // translate says so
	}
	r.deps.Sessions.Expect(store, lentOf(s.status.Credentials))
	return nil
}

// refuseAmbient sets Ready=False with AmbientCredentialsRefused for a store that would use an identity of the controller's own
// and may not, also for one that was found ready before the controller was told so.
func (r *Reconciler) refuseAmbient(_ context.Context, s *scope) error {
	store, err := r.deps.Sessions.Translate(s.obj)
	if err != nil {
		return nil //nolint:nilerr // translate says so
	}
	if err := r.deps.Sessions.Refused(store); err != nil {
		s.store = store
		return flow.Stall(esv1.ReasonAmbientCredentials, err)
	}
	return nil
}

// skipFresh ends the run for a store that is ready, was checked within its interval, and has its credentials still.
func (r *Reconciler) skipFresh(_ context.Context, s *scope) error {
	last := r.seen.last(s.name)
	s.due = nextCheck(s.obj.GetUID(), last, s.interval)
	replaced := r.deps.Sessions.ReplacedAt(s.obj, "").After(last)
	if s.fresh = ready(s.obj.GetGeneration(), s.status) && s.now.Before(s.due) && !replaced; s.fresh {
		return flow.Done()
	}
	return nil
}

// translate sets Ready=False with InvalidStoreConfiguration for a store that no provider of ours can serve.
func (r *Reconciler) translate(_ context.Context, s *scope) error {
	var err error
	if s.store, err = r.deps.Sessions.Translate(s.obj); err != nil {
		return flow.Stall(esv1.ReasonInvalidStore, err)
	}
	if _, err := sessions.Admits(s.spec.Conditions, s.obj); err != nil {
		return flow.Stall(esv1.ReasonInvalidStore, err)
	}
	return nil
}

// validate sets Ready=False with InvalidProviderConfig for a configuration that cannot work.
func (r *Reconciler) validate(_ context.Context, s *scope) error {
	if problems := s.store.Provider.Validate(s.store.Config); len(problems) > 0 {
		return flow.Stall(esv1.ReasonInvalidProviderConfig, providers.Errorf(providers.ErrInvalid,
			"%s: spec.provider.%s: %s", s.name, s.store.Provider.Name(), describe(problems)))
	}
	return nil
}

// maxTrust is how long at most what was read through a store shows that it can be used.
const maxTrust = time.Minute

// check sets Ready=False with AmbientCredentialsRefused when something that the configuration refers to asks for an identity of
// the controller's own that the store may not use, InvalidProviderConfig when something that the configuration refers to cannot work, and
// ValidationFailed when the backend refuses the identity or does not answer. It is repeated until it succeeds: what is
// wrong may be cured outside of the store. When a backend answers again that did not, the pool says so.
func (r *Reconciler) check(ctx context.Context, s *scope) error {
	defer s.places.Lend(flow.Patience)()
	checked, err := r.deps.Sessions.Check(ctx, s.store, min(s.interval, maxTrust))
	r.seen.checked(s.name, s.obj.GetUID(), s.now)
	s.due = nextCheck(s.obj.GetUID(), s.now, s.interval)
	s.unavailable = sessions.OutOfReach(err)
	switch {
	case errors.Is(err, sessions.ErrReferent):
		s.referent = true
		return nil
	case err != nil:
		return endingOf(err)
	}
	s.credentials, s.pushes, s.unverified = credentialsOf(checked.Lent), checked.Pushes, checked.Unverified
	return nil
}
