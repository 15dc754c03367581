package main

import (
	"context"
	"flag"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// clusterFlags say where the certificate and the controller are.
type clusterFlags struct {
	cert           string
	recipients     []string
	native         bool
	controllerNS   string
	controllerName string
	kubeconfig     string
	overrides      clientcmd.ConfigOverrides
	// seals says that the command has --cert.
	seals bool
	// given says whether the command line has a flag.
	given func(name string) bool
}

func (f *clusterFlags) bind(fs *pflag.FlagSet) {
	f.seals, f.given = true, fs.Changed
	fs.StringVar(&f.cert, "cert", "", "certificate to seal to: a file, or a file:, http: or https: URL; without it the controller is asked")
	fs.StringSliceVar(&f.recipients, "recipients", nil, "seal in the native format to the age recipients of these files, or file:, http: or https: URLs; each of them can open the values")
	fs.BoolVar(&f.native, "native", false, "seal in the native format to the controller's recipient, and to those of --recipients")
	f.bindController(fs)
}

// bindController adds the flags of commands that seal nothing.
func (f *clusterFlags) bindController(fs *pflag.FlagSet) {
	fs.StringVar(&f.controllerNS, "controller-namespace", "kube-system", "namespace of the controller's service")
	fs.StringVar(&f.controllerName, "controller-name", "sealed-secrets-controller", "name of the controller's service")
	fs.StringVar(&f.kubeconfig, "kubeconfig", "", "path to a kubeconfig")
	clientcmd.BindOverrideFlags(&f.overrides, fs, clientcmd.RecommendedConfigOverrideFlags(""))
}

// sealFlags are the flags of kubeseal v0.40.0, under the same names and with the same defaults.
type sealFlags struct {
	clusterFlags

	format      string
	output      string
	input       string
	name        string
	fromFile    []string
	privateKeys []string
	scope       scopeFlag
	allowEmpty  bool
	version     bool

	fetchCert bool
	validate  bool
	mergeInto string
	raw       bool
	reEncrypt bool
	rotate    bool
	unseal    bool
	update    bool // of sealbridge seal alone
}

// scopeFlag is a scope that was asked for; the empty one was not.
type scopeFlag struct{ scope seal.Scope }

func (s *scopeFlag) String() string { return string(s.scope) }
func (s *scopeFlag) Type() string   { return "string" }

func (s *scopeFlag) Set(name string) error {
	scope, err := seal.ParseScope(name)
	if err == nil && name != "" {
		s.scope = scope
	}
	return err
}

// orStrict is the scope of a value that no annotation speaks for.
func (s *scopeFlag) orStrict() seal.Scope {
	if s.scope == "" {
		return seal.Strict
	}
	return s.scope
}

func (f *sealFlags) bind(fs *pflag.FlagSet) {
	fs.SortFlags = true
	f.clusterFlags.bind(fs)
	fs.StringVarP(&f.format, "format", "o", "json", "output format, json or yaml")
	fs.StringVarP(&f.output, "sealed-secret-file", "w", "", "write to this file, replacing it at once; .yaml and .yml choose the format")
	fs.StringVarP(&f.input, "secret-file", "f", "", "read from this file instead of standard input")
	fs.BoolVar(&f.fetchCert, "fetch-cert", false, "write the controller's certificate, for later use with --cert; with --native its recipient, for --recipients")
	fs.BoolVar(&f.allowEmpty, "allow-empty-data", false, "accept a Secret without data")
	fs.BoolVar(&f.validate, "validate", false, "ask the controller whether it can open the SealedSecret")
	fs.StringVar(&f.mergeInto, "merge-into", "", "seal the Secret's values into the SealedSecret in this file")
	fs.BoolVar(&f.raw, "raw", false, "seal one value, from --from-file or standard input, and write nothing else")
	fs.StringVar(&f.name, "name", "", "name of the Secret (--raw with the strict scope needs it)")
	fs.StringSliceVar(&f.fromFile, "from-file", nil, "the file with the value for --raw, as path or key=path")
	fs.Var(&f.scope, "scope", "where the values may be opened: strict, namespace-wide or cluster-wide; without it the Secret's annotations decide, then strict")
	fs.BoolVar(&f.reEncrypt, "re-encrypt", false, "have the controller seal a SealedSecret again to its newest key")
	fs.BoolVar(&f.rotate, "rotate", false, "")
	_ = fs.MarkHidden("rotate") // the old name; cobra would announce a deprecated flag in the middle of the output
	fs.BoolVar(&f.unseal, "recovery-unseal", false, "open a SealedSecret with --recovery-private-key and write the plain Secret; for disaster recovery")
	fs.StringSliceVar(&f.privateKeys, "recovery-private-key", nil, "files with private keys for --recovery-unseal: PEM, age identities, or sealing-key Secrets (also a v1 List) in YAML or JSON")
	fs.BoolVar(&f.version, "version", false, "print the version")
}

// setFromEnvironment gives every flag that the command line left alone the value of its environment variable, as
// kubeseal does: SEALED_SECRETS_CONTROLLER_NAME for --controller-name. Unlike in kubeseal, a value that the flag does
// not take is an error; it is not quoted.
func setFromEnvironment(fs *pflag.FlagSet, env func(string) (string, bool)) error {
	var err error
	fs.VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed || f.Name == "help" || f.Name == "version" {
			return
		}
		variable := "SEALED_SECRETS_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := env(variable)
		if !ok {
			return
		}
		if f.Value.Set(value) != nil {
			err = usage("correct it or unset it", "the environment variable %s has a value that --%s does not take", variable, f.Name)
		}
	})
	return err
}

// bindLogging adds client-go's logging flags (-v and so on), hidden, as kubeseal has them.
func bindLogging(fs *pflag.FlagSet) {
	logging := flag.NewFlagSet("logging", flag.ContinueOnError)
	klog.InitFlags(logging)
	logging.VisitAll(func(f *flag.Flag) {
		p := pflag.PFlagFromGoFlag(f)
		p.Hidden = true
		fs.AddFlag(p)
	})
}

// mode is what one run of the seal command does.
type mode string

const (
	modeSeal      mode = "sealing a Secret"
	modeRaw       mode = "--raw"
	modeFetchCert mode = "--fetch-cert"
	modeMerge     mode = "--merge-into"
	modeValidate  mode = "--validate"
	modeReEncrypt mode = "--re-encrypt"
	modeUnseal    mode = "--recovery-unseal"
)

// mode returns what the flags ask for, or an error when they contradict each other. kubeseal takes the first of them and
// ignores the others.
func (f *sealFlags) mode() (mode, error) {
	var asked []mode
	for _, m := range []struct {
		set  bool
		mode mode
	}{
		{f.unseal, modeUnseal},
		{f.validate, modeValidate},
		{f.reEncrypt || f.rotate, modeReEncrypt},
		{f.fetchCert, modeFetchCert},
		{f.mergeInto != "", modeMerge},
		{f.raw, modeRaw},
	} {
		if m.set {
			asked = append(asked, m.mode)
		}
	}
	switch {
	case len(asked) > 1:
		return "", usage("give one of them", "%s and %s exclude each other", asked[0], asked[1])
	case len(f.fromFile) != 0 && !f.raw:
		return "", usage("kubectl create secret --from-file ... --dry-run=client -o yaml makes a Secret to seal", "--from-file requires --raw")
	case f.update && (len(asked) > 0 || f.output == ""):
		return "", usage("name the file to update with --sealed-secret-file (-w)", "--update seals into a file")
	case len(f.privateKeys) != 0 && !f.unseal && !f.update:
		return "", usage("add --recovery-unseal to open a SealedSecret", "--recovery-private-key requires --recovery-unseal")
	case f.unseal && len(f.privateKeys) == 0:
		return "", usage("give the file with the private key", "no key could decrypt secret (none is given): --recovery-unseal requires --recovery-private-key")
	case f.raw && f.input != "":
		return "", usage("give the value with --from-file or on standard input", "--raw does not read --secret-file")
	case f.mergeInto != "" && f.output != "":
		return "", usage("--merge-into writes to the file that it names", "--merge-into and --sealed-secret-file exclude each other")
	case len(asked) == 0:
		return modeSeal, nil
	default:
		return asked[0], nil
	}
}

// outputFormat returns the format to write: that of the output file's extension, else --format.
func (f *sealFlags) outputFormat() (sealing.Format, error) {
	format, err := sealing.ParseFormat(f.format)
	if err != nil {
		return "", &usageError{err: err}
	}
	if isYAML(f.output) {
		format = sealing.YAML
	}
	return format, nil
}

func newSeal(ctx context.Context, name string, h host) *cobra.Command {
	f := &sealFlags{}
	cmd := &cobra.Command{
		Use:   name,
		Short: "Seal a Secret for one cluster, with the flags of kubeseal",
		Long: "Reads Secrets in YAML or JSON and writes SealedSecrets that only the controller can open.\n" +
			"Every flag can be set by an environment variable too: SEALED_SECRETS_CONTROLLER_NAME for --controller-name.",
		Example:       "  kubectl create secret generic db --from-file=password --dry-run=client -o yaml | " + example(name) + " --cert cert.pem -o yaml > db.yaml",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			// Scripts say "kubeseal -": kubeseal looks at no argument, and reads standard input.
			if slices.Equal(args, []string{"-"}) && f.input == "" && len(f.fromFile) == 0 {
				return nil
			}
			if f.raw && len(args) > 0 { // which is not quoted: it may be the value
				return usage("give the value with --from-file or on standard input; other users can read arguments", "--raw takes no argument")
			}
			return noArguments("give the Secret with --secret-file (-f) or on standard input")(cmd, args)
		},
	}
	f.bind(cmd.Flags())
	if name == "seal" {
		cmd.Flags().BoolVar(&f.update, "update", false, "change the SealedSecrets of the file that --sealed-secret-file names, and keep the ciphertext of values that have not changed")
	}
	cmd.SetFlagErrorFunc(badFlag)
	named := cmd.Flags()
	kubeseal := pflag.NewFlagSet(name, pflag.ContinueOnError)
	kubeseal.AddFlagSet(named)
	bindLogging(named)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := setFromEnvironment(kubeseal, h.env); err != nil {
			return err
		}
		return (&sealRun{connection: connection{at: &f.clusterFlags, host: h}, flags: f, name: name, formatAsked: cmd.Flags().Changed("format")}).run(ctx)
	}
	return cmd
}

func example(name string) string {
	if name == "kubeseal" {
		return name
	}
	return "sealbridge " + name
}
