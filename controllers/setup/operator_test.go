package setup_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/sealbridge/sealbridge/controllers/setup"
)

func TestTheFlagsOfExternalSecretsOperatorMeanWhatTheyMeantThere(t *testing.T) {
	t.Parallel()
	var o setup.Options
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(fs, "here")
	err := fs.Parse([]string{
		"--concurrent=50", "--controller-class=blue", "--store-requeue-interval=1m", "--enable-leader-election", "--leader-election-id=mine",
		"--leader-election-lease-duration=60s", "--leader-election-renew-deadline=40s", "--leader-election-retry-period=5s",
		"--metrics-addr=:1", "--live-addr=:2", "--client-qps=50", "--client-burst=100",
		"--template-left-delimiter=[[", "--template-right-delimiter=]]", "--zap-time-encoding=epoch",
	})
	if err != nil {
		t.Fatal(err)
	}
	if o.Concurrent != 50 || o.ControllerClass != "blue" || o.StoreInterval != time.Minute || !o.LeaderElect || o.MetricsBindAddress != ":1" ||
		o.HealthProbeBindAddress != ":2" || o.ClientQPS != 50 || o.ClientBurst != 100 || o.TemplateLeft != "[[" || o.TemplateRight != "]]" || o.TimeEncoding != "epoch" {
		t.Errorf("options %+v", o)
	}
	if want := (setup.ElectionOptions{ID: "mine", LeaseDuration: time.Minute, RenewDeadline: 40 * time.Second, RetryPeriod: 5 * time.Second}); o.Election != want {
		t.Errorf("election %+v", o.Election)
	}
}

func TestTheNamespaceOfTheControllerIsNotWhatItWatches(t *testing.T) {
	t.Parallel()
	var o setup.Options
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(fs, "here")
	if err := fs.Parse([]string{"--namespace=own", "--watch-namespaces=a,b"}); err != nil {
		t.Fatal(err)
	}
	if o.Namespace != "own" || len(o.WatchNamespaces) != 2 {
		t.Errorf("namespace %q, watched %v", o.Namespace, o.WatchNamespaces)
	}
	if usage := fs.Lookup("namespace").Usage; !strings.Contains(usage, "--watch-namespaces") {
		t.Errorf("--help says %q", usage)
	}
}

func TestAFlagThatIsNotKnownOrDoesNotTakeItsValueIsAnErrorWithACure(t *testing.T) {
	t.Parallel()
	var o setup.Options
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(fs, "here")
	for flag, want := range map[string]string{
		"--enable-flood-gate":                     "remove it: a store that is not ready is never asked",
		"--metrics-secure":                        "with --metrics-bind-address",
		"--enable-cluster-store-reconciler=false": "use --watch-namespaces",
		"--none":                  "--help lists those that exist",
		"--key-size=big":          `--key-size "big": use a number`,
		"--kubeclient-qps=many":   `--kubeclient-qps "many": use a number`,
		"--key-renew-period=5":    `--key-renew-period "5": use a time such as 90s or 1h30m`,
		"--update-status=maybe":   `--update-status "maybe": use true or false`,
		"--privatekey-labels=own": "own must be formatted as key=value",
		"--key-cutoff-time=now":   "must be one of: `Mon, 02 Jan 2006 15:04:05 -0700`",
	} {
		err := setup.ExplainFlag(fs.Parse([]string{flag}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", flag, err, want)
		}
	}
	other := errors.New("other")
	if got := setup.ExplainFlag(other); !errors.Is(got, other) || got.Error() != "other" {
		t.Errorf("another error became %v", got)
	}
}
