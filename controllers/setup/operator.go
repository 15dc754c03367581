package setup

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/sealbridge/sealbridge/controllers/secretstore"
)

// ElectionOptions are how replicas elect a leader.
type ElectionOptions struct {
	// ID is the name of the lease.
	ID string
	// LeaseDuration is how long others wait for a leader that is silent, RenewDeadline how long a leader tries to be heard
	// before it gives up, and RetryPeriod the time between attempts: each shorter than the one before.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
}

// check says which flag cannot be meant.
func (o *ElectionOptions) check() error {
	switch {
	case o.ID == "":
		return errors.New("--leader-election-id: the lease needs a name")
	case o.RetryPeriod <= 0 || o.RenewDeadline <= o.RetryPeriod || o.LeaseDuration <= o.RenewDeadline:
		return errors.New("--leader-election-lease-duration must be longer than --leader-election-renew-deadline, and that longer than --leader-election-retry-period")
	}
	return nil
}

// addOperatorFlags binds the flags of External Secrets Operator whose meaning the controller has, under their names there.
// --concurrent and --controller-class have the same name anyway. --namespace has not the same meaning: see cures.
func (o *Options) addOperatorFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.LeaderElect, "enable-leader-election", false, "the same as --leader-elect, as External Secrets Operator names it")
	fs.StringVar(&o.Election.ID, "leader-election-id", "sealbridge-controller", "name of the lease by which replicas elect a leader")
	fs.DurationVar(&o.Election.LeaseDuration, "leader-election-lease-duration", 15*time.Second, "how long replicas wait for a leader that is silent")
	fs.DurationVar(&o.Election.RenewDeadline, "leader-election-renew-deadline", 10*time.Second, "how long a leader tries to renew its lease before it gives up")
	fs.DurationVar(&o.Election.RetryPeriod, "leader-election-retry-period", 2*time.Second, "time between attempts to get or renew the lease")
	fs.StringVar(&o.MetricsBindAddress, "metrics-addr", defaultMetricsAddress, "the same as --metrics-bind-address, as External Secrets Operator names it")
	fs.StringVar(&o.HealthProbeBindAddress, "live-addr", defaultProbeAddress, "the same as --health-probe-bind-address, as External Secrets Operator names it")
	fs.Float32Var(&o.ClientQPS, "client-qps", 0, "the same as --kubeclient-qps, as External Secrets Operator names it")
	fs.IntVar(&o.ClientBurst, "client-burst", defaultClientBurst, "the same as --kubeclient-burst, as External Secrets Operator names it")
	fs.StringVar(&o.TimeEncoding, "zap-time-encoding", "", "changes nothing: times are written in the form of RFC 3339. The chart of External Secrets Operator always gives it")
	fs.StringVar(&o.TemplateLeft, "template-left-delimiter", "{{", "what actions begin with in spec.target.template of ExternalSecrets")
	fs.StringVar(&o.TemplateRight, "template-right-delimiter", "}}", "what actions end with in spec.target.template of ExternalSecrets")
	fs.DurationVar(&o.StoreInterval, "store-requeue-interval", secretstore.DefaultInterval, "how often a store is checked whose spec.refreshInterval is empty")
}

// operatorNotes say of each flag of External Secrets Operator that was given and changes nothing what happens instead.
func (o *Options) operatorNotes() []string {
	switch o.TimeEncoding {
	case "", "iso8601", "rfc3339", "rfc3339nano":
		return nil
	}
	return []string{"--zap-time-encoding changes nothing: times are written in the form of RFC 3339"}
}

// cures says of each flag of External Secrets Operator that does not exist here what to do instead.
func cures() map[string]string {
	const (
		remove  = "remove it: "
		off     = "leave the controller out instead: "
		caching = remove + "no cache holds the data of Secrets or ConfigMaps, and none is needed"
		plain   = "the metrics are served as plain HTTP: bind them to an address that only the scraper reaches, with --metrics-bind-address"
		tokens  = remove + "the logins of stores are always kept and shared by the objects that use them"
		states  = remove + "generators are not served"
	)
	return map[string]string{
		"enable-cluster-external-secret-reconciler": off + "--controllers=*,-clusterexternalsecret",
		"enable-secret-store-reconciler":            off + "--controllers=*,-secretstore",
		"enable-cluster-store-reconciler":           "use --watch-namespaces, which serves no kind without a namespace",
		"enable-push-secret-reconciler":             remove + "PushSecrets are not served",
		"enable-cluster-push-secret-reconciler":     remove + "ClusterPushSecrets are not served",
		"enable-secrets-caching":                    caching,
		"enable-configmaps-caching":                 caching,
		"enable-managed-secrets-caching":            caching,
		"enable-secret-api-read-on-cache-mismatch":  caching,
		"enable-flood-gate":                         remove + "a store that is not ready is never asked",
		"enable-generator-state":                    states,
		"generator-gc-grace-period":                 states,
		"enable-extended-metric-labels":             remove + "labels of objects are not part of the metrics; join them with kube-state-metrics",
		"enable-http2":                              remove + "the endpoints are plain HTTP",
		"unsafe-allow-generic-targets":              remove + "targets other than Secrets are not supported",
		"metrics-auth":                              plain,
		"metrics-secure":                            plain,
		"metrics-cert-dir":                          plain,
		"metrics-cert-name":                         plain,
		"metrics-key-name":                          plain,
		"enable-vault-token-cache":                  tokens,
		"experimental-enable-vault-token-cache":     tokens,
		"vault-token-cache-size":                    tokens,
		"experimental-vault-token-cache-size":       tokens,
	}
}

// forms are what flags of a type take.
func forms() map[string]string {
	return map[string]string{"int": "a number", "float32": "a number", "duration": "a time such as 90s or 1h30m", "bool": "true or false"}
}

// ExplainFlag adds to the error of a flag that is not known, or does not take its value, what to do about it. It returns any other
// error as it is.
func ExplainFlag(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		if form, ok := forms()[invalid.GetFlag().Value.Type()]; ok {
			return fmt.Errorf("--%s %q: use %s", invalid.GetFlag().Name, invalid.GetValue(), form)
		}
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	if cure, ok := cures()[unknown.GetSpecifiedName()]; ok {
		return fmt.Errorf("%w, which External Secrets Operator has: %s", err, cure)
	}
	return fmt.Errorf("%w: --help lists those that exist", err)
}
