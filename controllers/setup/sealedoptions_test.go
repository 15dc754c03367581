package setup

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
)

// Every flag of the controller of Sealed Secrets 0.40 but --version, --log-level and --log-format, which the command has.
var flagsOfSealedSecrets = []string{
	"accept-deprecated-v1-data", "additional-namespaces", "all-namespaces", "key-cutoff-time", "key-order-priority", "key-prefix",
	"key-renew-period", "key-size", "key-ttl", "kubeclient-burst", "kubeclient-qps", "label-selector", "listen-addr",
	"listen-metrics-addr", "log-info-stdout", "max-unseal-retries", "metrics-omit-secret-labels", "my-cn", "old-gc-behavior",
	"privatekey-annotations", "privatekey-labels", "rate-limit", "rate-limit-burst", "read-timeout", "rotate-period",
	"skip-recreate", "update-status", "watch-for-secrets", "write-timeout",
}

func TestEveryFlagOfSealedSecretsIsTakenAndReadFromTheEnvironment(t *testing.T) {
	t.Parallel()
	var o Options
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(fs, "ns")
	read := map[string]bool{}
	if err := FromEnvironment(fs, func(name string) (string, bool) { read[name] = true; return "", false }); err != nil {
		t.Fatal(err)
	}
	for _, name := range flagsOfSealedSecrets {
		if fs.Lookup(name) == nil || !read[variable(name)] {
			t.Errorf("--%s is taken: %t, %s is read: %t", name, fs.Lookup(name) != nil, variable(name), read[variable(name)])
		}
	}
	if !read["SEALED_SECRETS_LOG_LEVEL"] || !read["SEALED_SECRETS_LOG_FORMAT"] {
		t.Error("the variables of the log are not read")
	}
}

func TestTheFlagsOfTheControllerOfSealedSecretsHaveTheirMeaning(t *testing.T) {
	t.Parallel()
	byDefault := Options{
		MetricsBindAddress: ":8080", SealedSecretsBindAddress: ":8082", ClientBurst: 10,
		Sealed: SealedOptions{
			AllNamespaces: true, UpdateStatus: true, AcceptDeprecated: true, Rate: 2, Burst: 2,
			ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxRetries: -1,
		},
	}
	changed := func(change func(*Options)) Options { o := byDefault; change(&o); return o }
	for name, test := range map[string]struct {
		args []string
		env  map[string]string
		want Options
	}{
		"defaults":  {want: byDefault},
		"addresses": {args: []string{"--listen-addr=:1", "--listen-metrics-addr=:2"}, want: changed(func(o *Options) { o.SealedSecretsBindAddress, o.MetricsBindAddress = ":1", ":2" })},
		"an address of the command line wins under either name": {
			args: []string{"--sealed-secrets-bind-address=:1"}, env: map[string]string{"SEALED_SECRETS_LISTEN_ADDR": ":2"},
			want: changed(func(o *Options) { o.SealedSecretsBindAddress = ":1" }),
		},
		"an address of the environment": {env: map[string]string{"SEALED_SECRETS_LISTEN_ADDR": ":2"}, want: changed(func(o *Options) { o.SealedSecretsBindAddress = ":2" })},
		"limits of the client":          {args: []string{"--kubeclient-qps=5", "--kubeclient-burst=20"}, want: changed(func(o *Options) { o.ClientQPS, o.ClientBurst = 5, 20 })},
		"limits of the server": {
			args: []string{"--rate-limit=20", "--rate-limit-burst=30", "--read-timeout=2m", "--write-timeout=3m"},
			want: changed(func(o *Options) {
				o.Sealed.Rate, o.Sealed.Burst, o.Sealed.ReadTimeout, o.Sealed.WriteTimeout = 20, 30, 2*time.Minute, 3*time.Minute
			}),
		},
		"what is served": {
			args: []string{"--all-namespaces=false", "--label-selector=app=web"}, env: map[string]string{"SEALED_SECRETS_ADDITIONAL_NAMESPACES": "a,b"},
			want: changed(func(o *Options) {
				o.Sealed.AllNamespaces, o.Sealed.LabelSelector, o.Sealed.AdditionalNamespaces = false, "app=web", []string{"a", "b"}
			}),
		},
		"what is done": {
			args: []string{"--update-status=false", "--skip-recreate", "--accept-deprecated-v1-data=false", "--metrics-omit-secret-labels", "--max-unseal-retries=9"},
			want: changed(func(o *Options) {
				o.Sealed.UpdateStatus, o.Sealed.SkipRecreate, o.Sealed.AcceptDeprecated, o.Sealed.OmitNames, o.Sealed.MaxRetries = false, true, false, true, 9
			}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := parse(t, test.env, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			got := Options{
				MetricsBindAddress: o.MetricsBindAddress, SealedSecretsBindAddress: o.SealedSecretsBindAddress, ClientQPS: o.ClientQPS,
				ClientBurst: o.ClientBurst, Sealed: o.Sealed,
			}
			if notes := o.Sealed.notes(); len(notes) > 0 {
				t.Errorf("notes: %q", notes)
			}
			got.Sealed.oldGC, got.Sealed.watchKeys = false, false
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(Options{}, SealedOptions{})); diff != "" {
				t.Error(diff)
			}
		})
	}
	if o, err := parse(t, nil, "--rotate-period=1h"); err != nil || o.Keys.RenewPeriod != time.Hour {
		t.Errorf("--rotate-period: %s, %v", o.Keys.RenewPeriod, err)
	}
}

func TestTheAddressesOfOthersPushOursAside(t *testing.T) {
	t.Parallel()
	type addresses struct{ Certificate, Metrics, Probes string }
	for name, test := range map[string]struct {
		args []string
		env  map[string]string
		want addresses
	}{
		"nothing is given":                                      {want: addresses{":8082", ":8080", ":8081"}},
		"the command line of Sealed Secrets' chart":             {args: []string{"--listen-addr", ":8080", "--listen-metrics-addr", ":8081"}, want: addresses{":8080", ":8081", ":8082"}},
		"in the environment":                                    {env: map[string]string{"SEALED_SECRETS_LISTEN_ADDR": ":8080", "SEALED_SECRETS_LISTEN_METRICS_ADDR": ":8081"}, want: addresses{":8080", ":8081", ":8082"}},
		"the certificate alone":                                 {args: []string{"--listen-addr=0.0.0.0:8080"}, want: addresses{"0.0.0.0:8080", ":8081", ":8082"}},
		"the metrics alone":                                     {args: []string{"--metrics-addr=:8081"}, want: addresses{":8082", ":8081", ":8080"}},
		"the certificate where the probes are":                  {args: []string{"--sealed-secrets-bind-address=:8081"}, want: addresses{":8081", ":8080", ":8082"}},
		"no metrics":                                            {args: []string{"--listen-addr=:8080", "--metrics-bind-address=0"}, want: addresses{":8080", "0", ":8081"}},
		"any free port":                                         {args: []string{"--listen-addr=:0", "--listen-metrics-addr=:0"}, want: addresses{":0", ":0", ":8081"}},
		"what is given is never moved":                          {args: []string{"--listen-addr=:8080", "--metrics-bind-address=:8080", "--live-addr=:8080"}, want: addresses{":8080", ":8080", ":8080"}},
		"the command line of External Secrets Operator's chart": {args: []string{"--metrics-addr=:8080", "--live-addr=:8082"}, want: addresses{":8081", ":8080", ":8082"}},
		"metrics where the certificate is":                      {args: []string{"--metrics-addr=:8082"}, want: addresses{":8081", ":8082", ":8080"}},
		"probes that are given": {
			args: []string{"--listen-addr=:8080", "--health-probe-bind-address=:8081"}, want: addresses{":8080", ":8082", ":8081"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o Options
			fs := pflag.NewFlagSet("", pflag.ContinueOnError)
			o.AddFlags(fs, "ns")
			if err := fs.Parse(test.args); err != nil {
				t.Fatal(err)
			}
			if err := FromEnvironment(fs, func(name string) (string, bool) { v, ok := test.env[name]; return v, ok }); err != nil {
				t.Fatal(err)
			}
			o.GiveWay(fs)
			if diff := cmp.Diff(test.want, addresses{o.SealedSecretsBindAddress, o.MetricsBindAddress, o.HealthProbeBindAddress}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAFlagThatChangesNothingSaysSo(t *testing.T) {
	t.Parallel()
	o, err := parse(t, nil, "--old-gc-behavior", "--watch-for-secrets=false")
	if err != nil {
		t.Fatal(err)
	}
	notes := o.Sealed.notes()
	for _, flag := range []string{"--old-gc-behavior", "--watch-for-secrets=false"} {
		if !slices.ContainsFunc(notes, func(n string) bool { return strings.HasPrefix(n, flag+" changes nothing: ") }) {
			t.Errorf("nothing about %s in %q", flag, notes)
		}
	}
}

func TestAFlagOfTheControllerThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"--label-selector=a=b=c":            "selects no labels",
		"--additional-namespaces=a,No_Name": `"No_Name" is no name of a namespace`,
		"--rate-limit=0":                    "use a number over 0",
		"--rate-limit-burst=-1":             "use a number over 0, or 0 for no more than --rate-limit",
		"--read-timeout=0":                  "use a time over 0",
		"--write-timeout=-1s":               "use a time over 0",
	} {
		o, err := parse(t, nil, arg)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(arg, "=")
		if _, err := New(t.Context(), &rest.Config{}, o); err == nil || !strings.HasPrefix(err.Error(), name) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

func TestABurstOfNoneIsNotTheDefaultOne(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]int{"--rate-limit-burst=0": 0, "--rate-limit-burst=3": 3, "--rate-limit=2": 2} {
		o, err := parse(t, nil, arg)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Sealed.check(); err != nil || o.Sealed.Burst != want {
			t.Errorf("%s: %d, %v", arg, o.Sealed.Burst, err)
		}
	}
}

func TestSealedSecretsAreServedInTheNamespacesOfTheFlags(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"all":                         {nil, nil},
		"its own":                     {[]string{"--all-namespaces=false"}, []string{"ns"}},
		"additional ones and its own": {[]string{"--additional-namespaces=b, a,,b"}, []string{"a", "b", "ns"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := parse(t, nil, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, o.Sealed.namespaces(o.Namespace)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
