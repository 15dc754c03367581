package setup

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"

	"github.com/sealbridge/sealbridge/controllers/sealingkey"
	"github.com/sealbridge/sealbridge/crypto/keyring"
)

// parse returns the options of a command line and an environment.
func parse(t *testing.T, env map[string]string, args ...string) (Options, error) {
	t.Helper()
	var o Options
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.AddFlags(fs, "ns")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	return o, FromEnvironment(fs, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func TestTheFlagsOfSealingKeysAreThoseOfSealedSecrets(t *testing.T) {
	t.Parallel()
	all := []string{
		"--key-prefix", "own", "--key-size", "2048", "--key-ttl", "48h", "--my-cn", "cluster", "--key-renew-period", "0",
		"--key-cutoff-time", "Mon, 02 Feb 2026 15:04:05 +0200", "--key-order-priority", "SecretCreationTimestamp",
		"--privatekey-labels", "a=b,c=d", "--privatekey-annotations", "e=f",
	}
	inEnvironment := map[string]string{}
	for flag := range slices.Chunk(all, 2) {
		inEnvironment["SEALED_SECRETS_"+strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(flag[0], "--"), "-", "_"))] = flag[1]
	}
	set := sealingkey.Deps{
		Prefix: "own", Generate: keyring.Options{Bits: 2048, Validity: 48 * time.Hour, CommonName: "cluster"},
		Labels: map[string]string{"a": "b", "c": "d"}, Annotations: map[string]string{"e": "f"},
		Order:   sealingkey.OrderSecretCreationTimestamp,
		Renewal: sealingkey.Renewal{Cutoff: time.Date(2026, 2, 2, 13, 4, 5, 0, time.UTC)}, Native: true,
	}
	byDefault := sealingkey.Deps{
		Prefix: "sealed-secrets-key", Generate: keyring.Options{Bits: 4096, Validity: 87600 * time.Hour},
		Order: sealingkey.OrderCertNotBefore, Renewal: sealingkey.Renewal{Period: 720 * time.Hour}, Native: true,
	}
	compatOnly := byDefault
	compatOnly.Native = false
	withFlag := set
	withFlag.Prefix = "flag"
	empty := maps.Clone(inEnvironment)
	for name := range empty {
		empty[name] = ""
	}
	for name, test := range map[string]struct {
		env  map[string]string
		args []string
		want sealingkey.Deps
	}{
		"defaults":                       {want: byDefault},
		"flags":                          {args: all, want: set},
		"environment":                    {env: inEnvironment, want: set},
		"no native keys":                 {args: []string{"--native-keys=false"}, want: compatOnly},
		"a flag wins":                    {env: inEnvironment, args: []string{"--key-prefix=flag"}, want: withFlag},
		"empty variables are none":       {env: empty, want: byDefault},
		"variables of others are others": {env: map[string]string{"SEALED_SECRETS_NAMESPACE": "x", "KEY_SIZE": "1"}, want: byDefault},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := parse(t, test.env, test.args...)
			if err != nil || o.Namespace != "ns" {
				t.Fatalf("%q, %v", o.Namespace, err)
			}
			var got sealingkey.Deps
			o.Keys.apply(&got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if err := o.Keys.check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFlagOfSealingKeysThatCannotBeMeantIsRefused(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"--key-size=512":                          "512 bits are too few",
		"--key-size=16385":                        "16385 bits are too many; use 4096",
		"--key-ttl=0":                             "use a time over 0",
		"--key-renew-period=-1h":                  "or 0 for never",
		"--key-order-priority=Age":                "use CertNotBefore or SecretCreationTimestamp",
		"--key-prefix=Keys":                       "does not begin the name",
		"--key-prefix=":                           "does not begin the name",
		"--key-prefix=" + strings.Repeat("k", 47): "does not begin the name",
		"--privatekey-labels=a b=c":               "is no label",
		"--privatekey-annotations=a b=c":          "is no annotation",
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
	private := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(private, []byte("AGE-SECRET-KEY-PQ-1CANARY\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{private: "a private key stands where recipients", "missing": "no such file"} {
		_, err := (&KeyOptions{RecoveryRecipients: path}).recovery()
		if err == nil || !strings.HasPrefix(err.Error(), "--recovery-recipients: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := parse(t, nil, "--key-cutoff-time=2026-01-01"); err == nil {
		t.Error("a time of another form is taken")
	}
	_, err := parse(t, map[string]string{"SEALED_SECRETS_KEY_SIZE": "big"})
	if err == nil || !strings.Contains(err.Error(), "environment variable SEALED_SECRETS_KEY_SIZE: --key-size \"big\": use a number") {
		t.Errorf("a wrong variable: %v", err)
	}
}
