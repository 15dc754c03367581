package setup

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A controller that is to serve some namespaces, and may not read one of them, would wait for that one with all others: a namespace that a
// tenant has deleted, and its roles with it, would end the service of every tenant at the next start. So what may not be read is left out,
// and all begin anew when it may be. While nothing may be read at all, the controller waits, and its readiness says for what.

const (
	// asking is how often the API server is asked whether a namespace may be read that was left out.
	asking = 10 * time.Second
	// askedAtOnce is how many questions the API server is asked at the same time.
	askedAtOnce = 10
)

// watched is a kind that a controller watches, in some namespaces or, with none named, in all.
type watched struct {
	kind       schema.GroupVersionKind
	namespaces []string
}

// resource returns what the API server calls the kind, and where to watch it; "" is everywhere.
func (w watched) resource(mapper meta.RESTMapper) (schema.GroupVersionResource, []string, error) {
	mapping, err := mapper.RESTMapping(w.kind.GroupKind(), w.kind.Version)
	if err != nil {
		return schema.GroupVersionResource{}, nil, fmt.Errorf("ask the API server what it serves %s as: %w", w.kind.Kind, err)
	}
	if len(w.namespaces) == 0 || mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return mapping.Resource, []string{""}, nil
	}
	return mapping.Resource, w.namespaces, nil
}

// toWatch are the verbs that a watch takes.
func toWatch() []string { return []string{"list", "watch"} }

// namespaces are those that a controller serves, all when empty. What is said of SealedSecrets alone counts before what is said of all kinds.
func (o *Options) namespaces(controller string) []string {
	all := o.WatchNamespaces
	if own := o.Sealed.namespaces(o.Namespace); controller == SealedSecret && len(own) > 0 {
		all = own
	}
	return slices.DeleteFunc(slices.Clone(all), func(ns string) bool { return slices.Contains(o.closed[controller], ns) })
}

// watched returns all that a controller watches.
func (o *Options) watched(controller string) []watched {
	namespaces := o.namespaces(controller)
	secrets := watched{corev1.SchemeGroupVersion.WithKind("Secret"), namespaces}
	everyNamespace := watched{kind: corev1.SchemeGroupVersion.WithKind("Namespace")}
	var out []watched
	switch controller {
	case ExternalSecret:
		out = append(out, secrets)
		if len(namespaces) == 0 { // the conditions of ClusterSecretStores name namespaces by their labels
			out = append(out, everyNamespace)
		}
	case ClusterExternalSecret:
		out = append(out, everyNamespace)
	case SealedSecret:
		out = append(out, watched{secrets.kind, []string{o.Namespace}})
		if !o.Sealed.SkipRecreate {
			out = append(out, secrets)
		}
	}
	for _, kind := range o.kinds(controller) {
		out = append(out, watched{kind, namespaces})
	}
	return out
}

// together are the controllers that leave out the same namespaces: an ExternalSecret is nothing without its store.
func together() [][]string {
	return [][]string{{ExternalSecret, SecretStore}, {SealedSecret}, {GitSync}}
}

// reach has the controllers leave out the namespaces that they may not read. It returns what notices when that is over; nil where there are
// none.
func (o *Options) reach(ctx context.Context, cfg *rest.Config, on map[string]bool, mapper meta.RESTMapper) (*closing, error) {
	c, err := client.New(cfg, client.Options{Scheme: clientgoscheme.Scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server: %w", err)
	}
	gaps, err := o.gaps(ctx, c, on, mapper)
	if err != nil || len(gaps) == 0 {
		return nil, err
	}
	o.leave(gaps)
	return &closing{gaps: gaps, client: c, every: asking}, nil
}

// leave has the controllers leave out namespaces; not while those are all that they are to serve.
func (o *Options) leave(gaps []gap) {
	o.closed = map[string][]string{}
	for _, g := range gaps {
		if g.all {
			continue
		}
		for _, controller := range g.controllers {
			o.closed[controller] = append(o.closed[controller], g.namespace)
		}
	}
}

// gap is a namespace that controllers cannot serve.
type gap struct {
	controllers []string
	namespace   string
	// needed is all that they have to be allowed there, and missing the first of it that they are not.
	needed  []act
	missing act
	// all is set where it is the same with all others.
	all bool
}

// gaps returns where controllers are to serve several namespaces, and may not watch in one what they watch in the others.
func (o *Options) gaps(ctx context.Context, c client.Client, on map[string]bool, mapper meta.RESTMapper) ([]gap, error) {
	var out []gap
	for _, controllers := range together() {
		namespaces := o.namespaces(controllers[0])
		if len(namespaces) < 2 {
			continue
		}
		possible, open := make([]gap, len(namespaces)), make([]bool, len(namespaces))
		asking, ctx := errgroup.WithContext(ctx)
		asking.SetLimit(askedAtOnce)
		for i, ns := range namespaces {
			asking.Go(func() error {
				needed, err := o.acts(controllers, on, ns, mapper)
				if err != nil {
					return err
				}
				possible[i] = gap{controllers: controllers, namespace: ns, needed: needed}
				open[i], err = possible[i].closes(ctx, c)
				return err
			})
		}
		if err := asking.Wait(); err != nil {
			return nil, err
		}
		for i, g := range possible {
			if g.all = !slices.Contains(open, true); !open[i] {
				out = append(out, g)
			}
		}
	}
	return out, nil
}

// acts are all that those of the controllers that are switched on have to be allowed in a namespace to watch it.
func (o *Options) acts(controllers []string, on map[string]bool, namespace string, mapper meta.RESTMapper) ([]act, error) {
	var out []act
	for _, controller := range controllers {
		if !on[controller] {
			continue
		}
		for _, w := range o.watched(controller) {
			resource, namespaces, err := w.resource(mapper)
			if err != nil {
				return nil, err
			}
			for _, verb := range toWatch() {
				if a := (act{verb, resource, namespace}); slices.Contains(namespaces, namespace) && !slices.Contains(out, a) {
					out = append(out, a)
				}
			}
		}
	}
	return out, nil
}

// closes asks whether the controllers may do all that they need, and remembers the first that they may not.
func (g *gap) closes(ctx context.Context, c client.Client) (bool, error) {
	for _, a := range g.needed {
		if allowed, err := a.allowed(ctx, c); err != nil || !allowed {
			g.missing = a
			return false, err
		}
	}
	return true, nil
}

// closing ends the manager when gaps have closed. It runs on every replica, as each has caches of its own.
type closing struct {
	gaps   []gap
	client client.Client
	log    logr.Logger
	every  time.Duration
}

// Start implements manager.Runnable.
func (c *closing) Start(ctx context.Context) error {
	for _, g := range c.gaps {
		c.log.Info("a namespace is not served; "+cure+", or leave the namespace out of the flags. It is served some seconds after it may be read",
			"namespace", g.namespace, "controllers", strings.Join(g.controllers, ","), "missing", g.missing.String())
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.every):
		}
		closed := 0
		for i := range c.gaps {
			g := &c.gaps[i]
			if done, err := g.closes(ctx, c.client); err == nil && done { // what cannot be asked now is asked again
				closed++
				c.log.Info("a namespace may be read now; the controllers begin anew, to serve it", "namespace", g.namespace, "controllers", strings.Join(g.controllers, ","))
			}
		}
		if closed > 0 {
			return errAnew
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*closing) NeedLeaderElection() bool { return false }

// only limits a cache to namespaces; to none when there are none.
func only(namespaces []string) map[string]cache.Config {
	if len(namespaces) == 0 {
		return nil
	}
	out := map[string]cache.Config{}
	for _, ns := range namespaces {
		out[ns] = cache.Config{}
	}
	return out
}
