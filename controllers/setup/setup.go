// Package setup puts the controllers together: it is the one place that lists them.
//
// It takes the address of an API server and Options, and returns a manager that runs the controllers which the options
// switch on, with the caches, sessions and keys that each of them is given. Nothing runs before the manager is started.
package setup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	ssv1 "github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/announce"
	"github.com/sealbridge/sealbridge/controllers/clusterexternalsecret"
	"github.com/sealbridge/sealbridge/controllers/externalsecret"
	"github.com/sealbridge/sealbridge/controllers/flow"
	"github.com/sealbridge/sealbridge/controllers/gitsync"
	"github.com/sealbridge/sealbridge/controllers/gitsync/source"
	"github.com/sealbridge/sealbridge/controllers/observe"
	"github.com/sealbridge/sealbridge/controllers/sealedsecret"
	"github.com/sealbridge/sealbridge/controllers/sealhttp"
	"github.com/sealbridge/sealbridge/controllers/sealingkey"
	"github.com/sealbridge/sealbridge/controllers/secretstore"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/controllers/watches"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/plugins/transit"
	"github.com/sealbridge/sealbridge/providers/builtin"
)

// The component that events name as their source, per kind; those of External Secrets Operator and Sealed Secrets, so that
// filters on events keep working.
const (
	externalSecretsComponent = "external-secrets"
	sealedSecretsComponent   = "sealed-secrets"
	gitSyncComponent         = "sealbridge-gitsync"
)

// patience is how long a controller waits until it has read what it watches. With controller-runtime's own, two minutes, the process would
// end, and with it all others: one that waits says which kind it is, by its readiness, and goes on when it may read it.
const patience = 10 * 365 * 24 * time.Hour

// New returns a manager with the controllers that the options switch on. The context bounds the set-up only.
func New(ctx context.Context, cfg *rest.Config, o Options) (manager.Manager, error) {
	on, err := o.enabled()
	if err != nil {
		return nil, err
	}
	if err := o.check(ctx); err != nil {
		return nil, err
	}
	var handover *sealedsecret.Handover
	var held *transit.Client
	if on[SealedSecret] {
		handover = &sealedsecret.Handover{}
		if held, err = o.sealing(ctx); err != nil {
			return nil, err
		}
	}
	mapper, err := o.mapper(cfg, on)
	if err != nil {
		return nil, err
	}
	mgr, err := o.manager(ctx, cfg, on, mapper, handover)
	if err != nil {
		return nil, err
	}
	watcher, err := watches.New(mgr.GetConfig(), mgr.GetHTTPClient(), watches.DefaultLimit)
	if err != nil {
		return nil, err
	}
	observer, err := observe.New(metrics.Registry, o.OmitNames)
	if err != nil {
		return nil, err
	}
	announcer := announce.New(mgr.GetClient())
	if err := mgr.Add(announcer); err != nil {
		return nil, fmt.Errorf("add the writer of events: %w", err)
	}
	recorder := announcer.Recorder(externalSecretsComponent)
	pool := sessions.New(sessions.Deps{
		Providers: builtin.All(), Reader: mgr.GetAPIReader(), Tokens: mgr.GetClient(), Watches: watcher, Observer: observer,
		NoAmbient: sessions.NoAmbient{SecretStores: !o.Ambient, ClusterSecretStores: !o.ClusterAmbient},
	})
	templates := template.NewCache()
	for _, c := range []struct {
		name  string
		setUp func() error
	}{
		{SecretStore, func() error { return addSecretStore(mgr, o, pool, recorder, observer) }},
		{ExternalSecret, func() error { return addExternalSecret(ctx, mgr, o, pool, watcher, templates, recorder, observer) }},
		{ClusterExternalSecret, func() error { return addClusterExternalSecret(ctx, mgr, o, recorder, observer) }},
		{SealedSecret, func() error {
			return addSealedSecret(mgr, o, held, handover, templates, announcer.Recorder(sealedSecretsComponent))
		}},
		{GitSync, func() error { return addGitSync(mgr, o) }},
	} {
		if !on[c.name] {
			continue
		}
		if err := c.setUp(); err != nil {
			return nil, err
		}
	}
	if on[SecretStore] || on[ExternalSecret] {
		if err := mgr.Add(pool); err != nil {
			return nil, fmt.Errorf("add the session pool: %w", err)
		}
		if err := mgr.Add(watcher); err != nil {
			return nil, fmt.Errorf("add the watches of dependencies: %w", err)
		}
	}
	if held != nil {
		return ending{mgr, held}, nil
	}
	return mgr, nil
}

// sealing checks what the options say of sealing, and returns the client of the key that Vault holds; nil where none is.
func (o Options) sealing(ctx context.Context) (*transit.Client, error) {
	err := errors.Join(o.Keys.check(), o.Sealed.check(), checkListen(ctx, "--sealed-secrets-bind-address", o.SealedSecretsBindAddress))
	if err != nil {
		return nil, err
	}
	return o.Transit.client()
}

// manager returns a manager without controllers, which tells whether they may do what they need.
func (o *Options) manager(
	ctx context.Context, cfg *rest.Config, on map[string]bool, mapper meta.RESTMapper, handover *sealedsecret.Handover,
) (manager.Manager, error) {
	closing, err := o.reach(ctx, cfg, on, mapper)
	if err != nil {
		return nil, err
	}
	needs, err := o.needs(on, mapper)
	if err != nil {
		return nil, err
	}
	mgr, err := newManager(cfg, *o, on, mapper, handover)
	if err != nil {
		return nil, err
	}
	if closing != nil {
		closing.log = mgr.GetLogger()
		if err := mgr.Add(closing); err != nil {
			return nil, fmt.Errorf("add what notices that namespaces may be read: %w", err)
		}
	}
	return mgr, errors.Join(o.addRestored(mgr, on), addReadiness(mgr, needs))
}

func newManager(cfg *rest.Config, o Options, on map[string]bool, mapper meta.RESTMapper, handover *sealedsecret.Handover) (*apart, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	kinds, err := o.cached(on, handover)
	if err != nil {
		return nil, err
	}
	if o.ClientQPS > 0 {
		cfg = rest.CopyConfig(cfg)
		cfg.QPS, cfg.Burst = o.ClientQPS, o.ClientBurst
	}
	a := &apart{}
	a.Manager, err = ctrl.NewManager(cfg, manager.Options{
		Scheme:                        scheme,
		NewCache:                      a.newCache,
		MapperProvider:                func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper, nil },
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsBindAddress},
		HealthProbeBindAddress:        o.HealthProbeBindAddress,
		PprofBindAddress:              o.PprofBindAddress,
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              o.Election.ID,
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &o.Election.LeaseDuration,
		RenewDeadline:                 &o.Election.RenewDeadline,
		RetryPeriod:                   &o.Election.RetryPeriod,
		// The list in New gives each controller its name; a process may run one manager after another.
		Controller: config.Controller{SkipNameValidation: ptr.To(true), CacheSyncTimeout: patience},
		// What we hold of an object is what somebody wrote into it, not who.
		Cache: cache.Options{
			DefaultTransform: externalsecret.Cached, DefaultNamespaces: only(o.WatchNamespaces),
			ByObject: kinds,
		},
		// No informer ever holds the data of a Secret, and none of a ConfigMap; both are read one by one.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.ConfigMap{}}}},
	})
	if err != nil {
		return nil, fmt.Errorf("set up the manager: %w", err)
	}
	if err := a.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, fmt.Errorf("add health check: %w", err)
	}
	return a, nil
}

// cached says which objects of the namespaced kinds that are watched the manager's cache holds. The cache looks up each of these kinds at
// once, and a cluster may not have what is not served.
func (o *Options) cached(on map[string]bool, handover *sealedsecret.Handover) (map[client.Object]cache.ByObject, error) {
	out := map[client.Object]cache.ByObject{}
	if on[ExternalSecret] {
		out[&esv1.ExternalSecret{}] = cache.ByObject{Namespaces: only(o.namespaces(ExternalSecret))}
	}
	if on[ExternalSecret] || on[SecretStore] {
		out[&esv1.SecretStore{}] = cache.ByObject{Namespaces: only(o.namespaces(SecretStore))}
	}
	if on[GitSync] {
		out[&sbv1.GitSync{}] = cache.ByObject{Namespaces: only(o.namespaces(GitSync))}
	}
	if on[SealedSecret] {
		sealed, err := o.Sealed.cached(o.namespaces(SealedSecret), handover)
		if err != nil {
			return nil, err
		}
		out[&ssv1.SealedSecret{}] = sealed
	}
	return out, nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, esv1.AddToScheme, ssv1.AddToScheme, sbv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("build scheme: %w", err)
		}
	}
	return scheme, nil
}

func addSecretStore(mgr manager.Manager, o Options, pool *sessions.Pool, recorder events.EventRecorder, observer flow.Observer) error {
	return secretstore.New(secretstore.Deps{
		Client: mgr.GetClient(), Status: o.statuses(flow.NewStatuses(mgr)), Sessions: pool, Events: recorder,
		Observer: observer, Class: o.ControllerClass, Concurrent: o.Concurrent, NamespacedOnly: len(o.WatchNamespaces) > 0,
		Interval: o.StoreInterval,
	}).SetupWithManager(mgr)
}

func addExternalSecret(
	ctx context.Context, mgr manager.Manager, o Options, pool *sessions.Pool, watcher *watches.Watcher, templates *template.Cache,
	recorder events.EventRecorder, observer flow.Observer,
) error {
	for _, note := range o.operatorNotes() {
		mgr.GetLogger().Info(note)
	}
	return externalsecret.New(externalsecret.Deps{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Status: o.statuses(flow.NewStatuses(mgr)), Sessions: pool, Events: recorder, Observer: observer,
		Key:       externalsecret.InputsKey(mgr.GetAPIReader(), mgr.GetClient(), o.Namespace),
		Templates: templates, Watches: watcher, APIServer: mgr.GetConfig().Host, Class: o.ControllerClass, Heartbeat: o.StatusHeartbeat, Concurrent: o.Concurrent,
		Namespaces: o.namespaces(ExternalSecret), NamespacedOnly: len(o.WatchNamespaces) > 0, Delims: template.NewDelims(o.TemplateLeft, o.TemplateRight),
	}).SetupWithManager(ctx, mgr)
}

func addClusterExternalSecret(ctx context.Context, mgr manager.Manager, o Options, recorder events.EventRecorder, observer flow.Observer) error {
	return clusterexternalsecret.New(clusterexternalsecret.Deps{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Status: o.statuses(flow.NewStatuses(mgr)), Events: recorder, Observer: observer,
		Concurrent: o.Concurrent,
	}).SetupWithManager(ctx, mgr)
}

// addSealedSecret adds the keys, what is opened with them, and the certificate to seal with, which are one capability.
func addSealedSecret(
	mgr manager.Manager, o Options, held *transit.Client, handover *sealedsecret.Handover, templates *template.Cache, announcer events.EventRecorder,
) error {
	for _, note := range o.Sealed.notes() {
		mgr.GetLogger().Info(note)
	}
	if err := registerBuild(metrics.Registry, o.Version); err != nil {
		return err
	}
	keys := sealingkey.NewKeeper()
	recorder := mgr.GetEventRecorder(sealedSecretsComponent)
	deps := sealingkey.Deps{Namespace: o.Namespace, Keeper: keys, Events: recorder, Now: time.Now, Force: o.NewKey}
	o.Keys.apply(&deps)
	if held != nil {
		deps.Held = held
		if note := o.Transit.note(); note != "" {
			mgr.GetLogger().Info(note)
		}
	}
	if err := sealingkey.New(deps).SetupWithManager(mgr); err != nil {
		return err
	}
	status := o.statuses(flow.NewStatusesOfParts(mgr))
	if !o.Sealed.UpdateStatus {
		status = noStatus{}
	}
	c, err := sealedsecret.New(sealedsecret.Deps{
		Keys: keys, Engine: flow.Engine{Status: status, Events: announcer}, Metrics: metrics.Registry, OmitNames: o.OmitNames || o.Sealed.OmitNames,
		Now: time.Now, Concurrent: o.Transit.workers(o.Concurrent), Namespaces: o.namespaces(SealedSecret), Handover: handover,
		SkipRecreate: o.Sealed.SkipRecreate, RefuseDeprecated: !o.Sealed.AcceptDeprecated, MaxRetries: o.Sealed.maxRetries(), Templates: templates,
	})
	if err != nil {
		return err
	}
	if err := c.SetupWithManager(mgr); err != nil {
		return err
	}
	recovery, err := o.Keys.recovery()
	if err != nil {
		return err
	}
	server, err := sealhttp.New(keys, sealhttp.Options{
		Recovery: recovery, Held: held != nil,
		Address: o.SealedSecretsBindAddress, Rate: o.Sealed.Rate, Burst: &o.Sealed.Burst, ReadTimeout: o.Sealed.ReadTimeout,
		WriteTimeout: o.Sealed.WriteTimeout, RefuseDeprecated: !o.Sealed.AcceptDeprecated, Metrics: metrics.Registry,
	})
	if err != nil {
		return err
	}
	if err := mgr.Add(server); err != nil {
		return fmt.Errorf("add the server of the sealing certificate: %w", err)
	}
	return addReadyCheck(mgr, "sealing-keys", func(*http.Request) error { return server.Ready() })
}

func addGitSync(mgr manager.Manager, o Options) error {
	c, err := gitsync.New(gitsync.Deps{
		Config: mgr.GetConfig(), HTTPClient: mgr.GetHTTPClient(), Mapper: mgr.GetRESTMapper(),
		Client: mgr.GetClient(), Status: o.statuses(flow.NewStatuses(mgr)), Reader: mgr.GetAPIReader(), Events: mgr.GetEventRecorder(gitSyncComponent),
		Git: gitsync.NewGit(source.New(source.Limits{})), RequireServiceAccount: o.RequireServiceAccount, Concurrent: o.Concurrent,
	})
	if err != nil {
		return err
	}
	return c.SetupWithManager(mgr)
}
