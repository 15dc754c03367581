package setup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// A replica is ready when it may read all that the controllers watch, and has read what it needs before it can act. That one does
// not lead is no reason not to be: it serves the sealing certificate, and takes over at once. Rights are asked about, because
// who does not lead watches little of it.

// fillTime is how long a probe waits for caches; the kubelet gives it a second.
const fillTime = 200 * time.Millisecond

// need is what the controllers have to be allowed before they can serve a kind.
type need struct {
	resource   schema.GroupVersionResource
	verbs      []string
	namespaces []string
	by         []string
}

// needs returns what the controllers that are switched on watch where they serve, and what the election of a leader takes, one for each
// resource.
func (o *Options) needs(on map[string]bool, mapper meta.RESTMapper) ([]need, error) {
	var out []need
	add := func(by string, w watched, verbs ...string) error {
		resource, namespaces, err := w.resource(mapper)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(out, func(n need) bool { return n.resource == resource })
		if at < 0 {
			at, out = len(out), append(out, need{resource: resource, verbs: verbs})
		}
		for _, ns := range namespaces {
			if !slices.Contains(out[at].namespaces, ns) {
				out[at].namespaces = append(out[at].namespaces, ns)
			}
		}
		if !slices.Contains(out[at].by, by) {
			out[at].by = append(out[at].by, by)
		}
		return nil
	}
	var errs []error
	for _, controller := range Names() {
		if !on[controller] {
			continue
		}
		for _, w := range o.watched(controller) {
			errs = append(errs, add(controller, w, toWatch()...))
		}
	}
	if o.LeaderElect {
		lease := watched{coordinationv1.SchemeGroupVersion.WithKind("Lease"), []string{o.Namespace}}
		errs = append(errs, add("--leader-elect", lease, "get", "create", "update"))
	}
	return out, errors.Join(errs...)
}

// addReadiness adds a check for each resource that the controllers need, by its name, and one for the caches.
func addReadiness(mgr *apart, needs []need) error {
	filled := &filled{begun: make(chan struct{}), caches: mgr}
	if err := mgr.Add(filled); err != nil {
		return fmt.Errorf("add what notices that the caches are filled: %w", err)
	}
	errs := []error{addReadyCheck(mgr, "caches", filled.check)}
	for _, n := range needs {
		may := &may{need: n, client: mgr.GetClient()}
		errs = append(errs, addReadyCheck(mgr, n.resource.GroupResource().String(), may.check))
	}
	return errors.Join(errs...)
}

// addReadyCheck adds a check of which the log says what it says, once.
func addReadyCheck(mgr manager.Manager, name string, check healthz.Checker) error {
	said := &said{log: mgr.GetLogger().WithName("readiness").WithValues("check", name)}
	err := mgr.AddReadyzCheck(name, func(req *http.Request) error {
		err := check(req)
		said.say(err)
		return err
	})
	if err != nil {
		return fmt.Errorf("add readiness check %s: %w", name, err)
	}
	return nil
}

// said is what a check has said last.
type said struct {
	log  logr.Logger
	mu   sync.Mutex
	last string
}

func (s *said) say(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := ""
	if err != nil {
		now = err.Error()
	}
	switch {
	case now == s.last:
	case err != nil:
		s.log.Info("not ready", "reason", now)
	default:
		s.log.Info("ready")
	}
	s.last = now
}

// may asks whether the controllers may do what they need, until they may: what is taken away later the log and the objects say.
type may struct {
	need
	client client.Client

	mu sync.Mutex
	// granted is how many of the questions were answered with yes.
	granted int
}

func (m *may) check(req *http.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.granted < len(m.verbs)*len(m.namespaces) {
		q := act{m.verbs[m.granted%len(m.verbs)], m.resource, m.namespaces[m.granted/len(m.verbs)]}
		allowed, err := q.allowed(req.Context(), m.client)
		if err != nil {
			return err
		}
		if !allowed {
			return fmt.Errorf("the controller may not %s: "+cure+", or leave out what needs it: %s", q, strings.Join(m.by, ", "))
		}
		m.granted++
	}
	return nil
}

// cure is what to do about a right that is missing.
const cure = "give its ServiceAccount the roles of config/rbac (kubectl apply -k config/default, or config/namespaced with --watch-namespaces)"

// act is something that a controller may be allowed to do with all objects of a kind, in a namespace or, with none, in all of them.
type act struct {
	verb      string
	resource  schema.GroupVersionResource
	namespace string
}

// allowed asks the API server whether the controller may do it. Who may not ask is taken to be allowed: nobody is kept waiting for an answer.
func (a act) allowed(ctx context.Context, c client.Client) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: a.verb, Namespace: a.namespace, Group: a.resource.Group, Version: a.resource.Version, Resource: a.resource.Resource,
		},
	}}
	err := c.Create(ctx, review)
	if apierrors.IsForbidden(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask the API server whether the controller may %s: %w", a, err)
	}
	return review.Status.Allowed, nil
}

// String names the act.
func (a act) String() string {
	where := "in all namespaces"
	if a.namespace != "" {
		where = "in namespace " + a.namespace
	}
	return a.verb + " " + a.resource.GroupResource().String() + " " + where
}

// filled tells whether the caches are: those that every replica has before anything begins, and what the controllers of the one that
// leads have added.
type filled struct {
	begun  chan struct{}
	caches *apart
}

// Start implements manager.Runnable: the manager starts it when it has started the caches.
func (f *filled) Start(ctx context.Context) error {
	close(f.begun)
	<-ctx.Done()
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*filled) NeedLeaderElection() bool { return false }

func (f *filled) check(req *http.Request) error {
	ctx, cancel := context.WithTimeout(req.Context(), fillTime)
	defer cancel()
	select {
	case <-f.begun:
	case <-ctx.Done():
		return errNotFilled
	}
	if !f.caches.filled(ctx) {
		return errNotFilled
	}
	return nil
}

var errNotFilled = errors.New("what the controllers watch was not read yet; where it takes longer than seconds, the other checks or the log say why")
