package setup

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sealbridge/sealbridge/controllers/sessions"
)

// DefaultNamespace is where the controller keeps its sealing keys and lease when nothing says otherwise.
const DefaultNamespace = "sealbridge-system"

// The controllers that can be switched on and off, in the order in which they are listed to users.
const (
	ExternalSecret        = "externalsecret"
	ClusterExternalSecret = "clusterexternalsecret"
	SecretStore           = "secretstore"
	SealedSecret          = "sealedsecret"
	GitSync               = "gitsync"
)

// Names returns the names that --controllers knows.
func Names() []string {
	return []string{ExternalSecret, ClusterExternalSecret, SecretStore, SealedSecret, GitSync}
}

// Options are the settings of the controller binary. The zero value is not useful; AddFlags sets the defaults.
type Options struct {
	// Namespace is where the controller runs: its sealing keys and its lease live there.
	Namespace string
	// Controllers selects which controllers run, as Enabled reads it.
	Controllers []string
	// WatchNamespaces are the only namespaces that are served; all when empty. With some, kinds without a namespace are not
	// served.
	WatchNamespaces []string
	// LeaderElect lets several replicas run, one of which acts, and Election is how they agree which.
	LeaderElect bool
	Election    ElectionOptions
	// MetricsBindAddress and HealthProbeBindAddress are host:port; "0" switches the endpoint off.
	MetricsBindAddress, HealthProbeBindAddress string
	// PprofBindAddress serves net/http/pprof on loopback; empty switches it off.
	PprofBindAddress string
	// SealedSecretsBindAddress serves the sealing certificate, and judges and reseals SealedSecrets.
	SealedSecretsBindAddress string
	// Keys are the sealing keys.
	Keys KeyOptions
	// Transit is the sealing key that Vault holds.
	Transit TransitOptions
	// NewKey asks for another sealing key whenever it gives something; nil for never.
	NewKey <-chan os.Signal
	// Sealed are the SealedSecrets.
	Sealed SealedOptions
	// ClientQPS bounds the requests to the API server in a second, ClientBurst those at once; no limit unless it is over 0.
	ClientQPS   float32
	ClientBurst int
	// Version is what the metrics say that runs.
	Version string
	// ControllerClass is the spec.controller of the stores that this process serves; stores without one are served too.
	ControllerClass string
	// StoreInterval is how often a store is checked that does not say.
	StoreInterval time.Duration
	// OmitNames leaves out the metrics that have a series for each object.
	OmitNames bool
	// StatusHeartbeat is how old status.refreshTime may become while nothing changes; 0 writes it at every refresh.
	StatusHeartbeat time.Duration
	// Concurrent is how many objects of a kind are reconciled at once.
	Concurrent int
	// TemplateLeft and TemplateRight are the delimiters of the templates of ExternalSecrets' targets.
	TemplateLeft, TemplateRight string
	// TimeEncoding is what the flag of External Secrets Operator says, and changes nothing.
	TimeEncoding string
	// Ambient lets SecretStores that name no identity use one of the controller's own, and ClusterAmbient ClusterSecretStores.
	Ambient, ClusterAmbient bool
	// RequireServiceAccount refuses GitSyncs that do not name the ServiceAccount to apply as.
	RequireServiceAccount bool

	// closed are the namespaces that each controller leaves out, because it may not read there what it needs.
	closed map[string][]string
	// restored is told of what the controllers write.
	restored *restored
}

// The defaults of flags that have two names.
const (
	defaultMetricsAddress       = ":8080"
	defaultProbeAddress         = ":8081"
	defaultSealedSecretsAddress = ":8082"
	defaultClientBurst          = 10
)

// AddFlags binds the options to flags; namespace is the default of --namespace.
func (o *Options) AddFlags(fs *pflag.FlagSet, namespace string) {
	fs.StringVar(&o.Namespace, "namespace", namespace, "namespace of the controller's own objects (sealing keys, lease), not what it watches (--watch-namespaces); default $POD_NAMESPACE")
	fs.StringSliceVar(&o.Controllers, "controllers", []string{"*"},
		"which controllers run: * for all, a name to switch one on, -name to switch one off; names: "+strings.Join(Names(), ", "))
	fs.StringSliceVar(&o.WatchNamespaces, "watch-namespaces", nil,
		"serve the objects of these namespaces only, with rights in them alone; ClusterSecretStores and ClusterExternalSecrets are not served then; all when empty")
	fs.BoolVar(&o.LeaderElect, "leader-elect", false, "elect a leader, so that several replicas can run")
	fs.StringVar(&o.MetricsBindAddress, "metrics-bind-address", defaultMetricsAddress, "address of the Prometheus endpoint; 0 for none")
	fs.StringVar(&o.HealthProbeBindAddress, "health-probe-bind-address", defaultProbeAddress, "address of /healthz and /readyz; 0 for none")
	fs.StringVar(&o.PprofBindAddress, "pprof-bind-address", "", "loopback address of the profiling endpoint, as 127.0.0.1:6060; empty for none")
	fs.StringVar(&o.SealedSecretsBindAddress, "sealed-secrets-bind-address", defaultSealedSecretsAddress, "address of the sealing certificate (/v1/cert.pem), /v1/verify and /v1/rotate")
	o.Keys.AddFlags(fs)
	o.Transit.AddFlags(fs)
	o.Sealed.AddFlags(fs)
	o.addAliases(fs)
	o.addOperatorFlags(fs)
	fs.BoolVar(&o.OmitNames, "metrics-omit-names", false, "leave out the metrics that have a series for each object, where there are many")
	fs.StringVar(&o.ControllerClass, "controller-class", "default", "serve the stores whose spec.controller is this or empty")
	fs.DurationVar(&o.StatusHeartbeat, "status-heartbeat", 10*time.Minute, "how old status.refreshTime may become while nothing changes; 0 writes it at every refresh")
	fs.IntVar(&o.Concurrent, "concurrent", 10, "how many objects of each kind are reconciled at once")
	fs.BoolVar(&o.Ambient, sessions.FlagAmbient, true,
		"let SecretStores that name no identity use the controller's own (its environment, files and node); false where tenants write SecretStores")
	fs.BoolVar(&o.ClusterAmbient, sessions.FlagClusterAmbient, true, "let ClusterSecretStores that name no identity use the controller's own")
	fs.BoolVar(&o.RequireServiceAccount, "require-service-account", false, "refuse GitSyncs without spec.serviceAccountName")
}

// enabled returns which controllers run. It fails for lists that cannot be meant.
func (o *Options) enabled() (map[string]bool, error) {
	on, err := Enabled(o.Controllers)
	if err != nil || len(o.WatchNamespaces) == 0 {
		return on, err
	}
	for _, ns := range o.WatchNamespaces {
		if len(validation.IsDNS1123Label(ns)) > 0 {
			return nil, fmt.Errorf("--watch-namespaces: %q is not the name of a namespace", ns)
		}
	}
	if slices.Contains(o.Controllers, ClusterExternalSecret) {
		return nil, fmt.Errorf("--controllers names %s, which serves all namespaces: leave out either it or --watch-namespaces", ClusterExternalSecret)
	}
	on[ClusterExternalSecret] = false
	return on, nil
}

// Enabled returns which of the known controllers the list switches on: "*" stands for all, a later "-name" takes one
// away. It fails for a name that is not known and for a list that switches nothing on.
func Enabled(list []string) (map[string]bool, error) {
	on := map[string]bool{}
	for _, item := range list {
		name, off := strings.CutPrefix(strings.TrimSpace(item), "-")
		switch {
		case name == "*" && !off:
			for _, n := range Names() {
				on[n] = true
			}
		case slices.Contains(Names(), name):
			on[name] = !off
		default:
			return nil, fmt.Errorf("--controllers: %q is not known; use * or any of %s", name, strings.Join(Names(), ", "))
		}
	}
	for _, n := range Names() {
		if on[n] {
			return on, nil
		}
	}
	return nil, fmt.Errorf("--controllers switches everything off; use * or any of %s", strings.Join(Names(), ", "))
}

// checkProfiles fails for a profiling endpoint that others can reach: profiles say what runs, and taking one costs time.
func checkProfiles(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--pprof-bind-address %q: use host:port, as 127.0.0.1:6060", address)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("--pprof-bind-address %q: use a loopback address, as 127.0.0.1:6060, and kubectl port-forward", address)
	}
	return nil
}
