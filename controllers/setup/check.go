package setup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	sbv1 "github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	ssv1 "github.com/sealbridge/sealbridge/api/sealedsecrets/v1alpha1"
)

// check says which flags cannot be meant, beside those of controllers that are switched on.
func (o *Options) check(ctx context.Context) error {
	var errs []error
	if len(validation.IsDNS1123Label(o.Namespace)) > 0 {
		errs = append(errs, fmt.Errorf("--namespace: %q is not the name of a namespace", o.Namespace))
	}
	if o.Concurrent < 1 {
		errs = append(errs, fmt.Errorf("--concurrent: %d objects at once are none; use 1 or more", o.Concurrent))
	}
	if o.StoreInterval <= 0 {
		errs = append(errs, errors.New("--store-requeue-interval: use a time over 0"))
	}
	if o.StatusHeartbeat < 0 {
		errs = append(errs, errors.New("--status-heartbeat: use a time over 0, or 0 for every refresh"))
	}
	if o.ClientQPS > 0 && o.ClientBurst < 1 {
		errs = append(errs, errors.New("--kubeclient-burst: with --kubeclient-qps, use 1 or more"))
	}
	errs = append(errs, o.Election.check(), checkProfiles(o.PprofBindAddress),
		checkAddress(ctx, "--metrics-bind-address", o.MetricsBindAddress),
		checkAddress(ctx, "--health-probe-bind-address", o.HealthProbeBindAddress))
	return errors.Join(errs...)
}

// checkAddress fails for what nobody can listen on. "" and "0" switch an endpoint off.
func checkAddress(ctx context.Context, flag, address string) error {
	if address == "" || address == "0" {
		return nil
	}
	if err := checkListen(ctx, flag, address); err != nil {
		return fmt.Errorf("%w, or 0 for none", err)
	}
	return nil
}

func checkListen(ctx context.Context, flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = (&net.Resolver{}).LookupPort(ctx, "tcp", port)
	}
	if err != nil {
		return fmt.Errorf("%s %q: use host:port, as :8080 or 127.0.0.1:8080", flag, address)
	}
	return nil
}

// kinds are those that a controller watches; all of them are in the groups that config/crd defines.
func (o *Options) kinds(controller string) []schema.GroupVersionKind {
	ofStores := []string{"SecretStore"}
	if len(o.WatchNamespaces) == 0 {
		ofStores = append(ofStores, "ClusterSecretStore")
	}
	group, names := esv1.GroupVersion(), []string(nil)
	switch controller {
	case SecretStore:
		names = ofStores
	case ExternalSecret:
		names = append([]string{"ExternalSecret"}, ofStores...)
	case ClusterExternalSecret:
		names = []string{"ClusterExternalSecret", "ExternalSecret"}
	case SealedSecret:
		group, names = ssv1.GroupVersion(), []string{"SealedSecret"}
	case GitSync:
		group, names = sbv1.GroupVersion(), []string{"GitSync"}
	}
	var out []schema.GroupVersionKind
	for _, name := range names {
		out = append(out, group.WithKind(name))
	}
	return out
}

// mapper returns what knows the API server's kinds. It fails when one is not served that is to be watched, because a cache
// would wait for it and say so in words for programmers.
func (o *Options) mapper(cfg *rest.Config, on map[string]bool) (meta.RESTMapper, error) {
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server: %w", err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(cfg, client)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server: %w", err)
	}
	var missing []string
	for _, controller := range Names() {
		if !on[controller] {
			continue
		}
		for _, kind := range o.kinds(controller) {
			_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
			name := kind.Kind + " (" + kind.GroupVersion().String() + ")"
			switch {
			case meta.IsNoMatchError(err):
				if !slices.Contains(missing, name) {
					missing = append(missing, name)
				}
			case err != nil:
				return nil, fmt.Errorf("ask the API server which kinds it serves: %w", err)
			}
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the cluster does not serve %s: install the definitions (kubectl apply -f config/crd), or leave out controllers (--controllers)", strings.Join(missing, ", "))
	}
	return mapper, nil
}

// Explain adds to an error with which the manager did not start, or ended, what to do about it, where that is known.
func Explain(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w\nsomething else has the address, maybe another controller: choose others with --metrics-bind-address, --health-probe-bind-address and --sealed-secrets-bind-address", err)
	}
	return err
}
