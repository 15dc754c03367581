package setup

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// aliases returns the flags of Sealed Secrets that are another name of one of ours.
func aliases() map[string]string {
	return map[string]string{
		"listen-addr": "sealed-secrets-bind-address", "listen-metrics-addr": "metrics-bind-address", "rotate-period": "key-renew-period",
	}
}

// addAliases binds the addresses of the options to their flags in Sealed Secrets.
func (o *Options) addAliases(fs *pflag.FlagSet) {
	fs.StringVar(&o.SealedSecretsBindAddress, "listen-addr", defaultSealedSecretsAddress, "the same as --sealed-secrets-bind-address, as Sealed Secrets names it")
	fs.StringVar(&o.MetricsBindAddress, "listen-metrics-addr", defaultMetricsAddress, "the same as --metrics-bind-address, as Sealed Secrets names it")
	fs.Float32Var(&o.ClientQPS, "kubeclient-qps", 0, "how many requests a second the API server is asked; 0 or less for no limit but the API server's own")
	fs.IntVar(&o.ClientBurst, "kubeclient-burst", defaultClientBurst, "how many requests at once, where --kubeclient-qps sets a limit")
}

// GiveWay moves the endpoints that were left at defaults which the command line or the environment, which were read, gives to
// another: the ports that Sealed Secrets has for its certificate and its metrics, 8080 and 8081, are those of our metrics and
// probes, and the one that the chart of External Secrets Operator has for its probes, 8082, is that of our sealing certificate.
// The metrics go where Sealed Secrets has its own, the others to a port that nobody else has.
func (o *Options) GiveWay(fs *pflag.FlagSet) {
	given := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { f := fs.Lookup(name); return f != nil && f.Changed })
	}
	endpoints := []struct {
		address *string
		given   bool
		// others are where it goes, in order.
		others []string
	}{
		{&o.SealedSecretsBindAddress, given("sealed-secrets-bind-address", "listen-addr"), []string{defaultProbeAddress, defaultMetricsAddress}},
		{&o.MetricsBindAddress, given("metrics-bind-address", "listen-metrics-addr", "metrics-addr"), []string{defaultProbeAddress, defaultSealedSecretsAddress}},
		{&o.HealthProbeBindAddress, given("health-probe-bind-address", "live-addr"), []string{defaultSealedSecretsAddress, defaultMetricsAddress}},
	}
	taken := map[string]bool{}
	for _, fixed := range []bool{true, false} {
		for _, e := range endpoints {
			if e.given != fixed {
				continue
			}
			for _, other := range e.others {
				if fixed || !taken[portOf(*e.address)] {
					break
				}
				*e.address = other
			}
			if port := portOf(*e.address); port != "" {
				taken[port] = true
			}
		}
	}
}

// portOf returns the port of an address; "" is that of one without any, which takes none.
func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" {
		return ""
	}
	return port
}

// FromEnvironment sets the flags that the command line has not set and that Sealed Secrets has too, from the environment
// variables that it reads: --key-size from SEALED_SECRETS_KEY_SIZE. An empty variable counts as none. lookup is
// os.LookupEnv outside of tests. Its errors name the variable.
func FromEnvironment(fs *pflag.FlagSet, lookup func(string) (string, bool)) error {
	known := pflag.NewFlagSet("", pflag.ContinueOnError)
	var o Options
	o.Keys.AddFlags(known)
	o.Sealed.AddFlags(known)
	o.addAliases(known)
	for _, name := range []string{"log-level", "log-format"} {
		known.String(name, "", "")
	}
	given := func(name string) bool {
		f := fs.Lookup(name)
		return f != nil && f.Changed
	}
	// What is set below counts as given too, so the values are collected before: the command line wins under either name.
	other := aliases()
	for alias, name := range aliases() {
		other[name] = alias
	}
	set := map[string]string{}
	known.VisitAll(func(k *pflag.Flag) {
		value, ok := lookup(variable(k.Name))
		if ok && value != "" && fs.Lookup(k.Name) != nil && !given(k.Name) && !given(other[k.Name]) {
			set[k.Name] = value
		}
	})
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if err := fs.Set(name, set[name]); err != nil {
			return fmt.Errorf("environment variable %s: %w", variable(name), ExplainFlag(err))
		}
	}
	return nil
}

func variable(flag string) string {
	return "SEALED_SECRETS_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
