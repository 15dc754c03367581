package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/sealbridge/sealbridge/controllers/setup"
	"github.com/sealbridge/sealbridge/internal/redact"
)

// version is set by the linker (make build).
var version = "devel"

// flags are what the command line says beyond setup.Options.
type flags struct {
	kubeconfig string
	logLevel   string
	logFormat  string
	options    setup.Options
}

func newCommand(stdout, stderr io.Writer) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "sealbridge-controller",
		Short:         "Materializes external and sealed secrets, and syncs Git repositories, without plaintext in Git",
		Version:       version,
		Args:          noArguments,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := setup.FromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			f.options.GiveWay(cmd.Flags())
			// kill -USR1 asks for a new sealing key, as with Sealed Secrets.
			newKey := make(chan os.Signal, 1)
			signal.Notify(newKey, syscall.SIGUSR1)
			defer signal.Stop(newKey)
			f.options.NewKey, f.options.Version = newKey, version
			return start(cmd.Context(), f, stdout, stderr)
		},
	}
	// The words that scripts for Sealed Secrets look for.
	cmd.SetVersionTemplate("controller version: {{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return setup.ExplainFlag(err) })
	fs := cmd.Flags()
	fs.StringVar(&f.kubeconfig, "kubeconfig", "", "path to a kubeconfig; without it KUBECONFIG, then the cluster that the process runs in")
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&f.logLevel, "loglevel", "info", "the same as --log-level, as External Secrets Operator names it")
	fs.StringVar(&f.logFormat, "log-format", "json", "json or text")
	f.options.AddFlags(fs, defaultNamespace())
	return cmd
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q: it takes flags alone, and --help lists them", args[0])
	}
	return nil
}

func start(ctx context.Context, f flags, stdout, stderr io.Writer) error {
	info := stderr
	if f.options.Sealed.InfoToStdout {
		info = stdout
	}
	logger, err := newLogger(f.logLevel, f.logFormat, info, stderr)
	if err != nil {
		return err
	}
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	log.SetOutput(redact.Log(stderr)) // where net/http writes what it cannot return as an error
	cfg, err := restConfig(f.kubeconfig)
	if err != nil {
		return err
	}
	for {
		mgr, err := setup.New(ctx, cfg, f.options)
		if err != nil {
			return setup.Explain(err)
		}
		if err := mgr.Start(ctx); !setup.Again(err) {
			return setup.Explain(err)
		}
	}
}

// newLogger returns a logger that writes errors to one writer and all else to another.
func newLogger(level, format string, info, errs io.Writer) (logr.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return logr.Logger{}, fmt.Errorf("--log-level %q: use debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	handler := func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, opts) }
	switch format {
	case "json":
	case "text":
		handler = func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, opts) }
	default:
		return logr.Logger{}, fmt.Errorf("--log-format %q: use json or text", format)
	}
	if info == errs {
		return logr.FromSlogHandler(handler(errs)), nil
	}
	return logr.FromSlogHandler(byLevel{info: handler(info), errs: handler(errs)}), nil
}

// byLevel writes errors to one handler and all else to another.
type byLevel struct{ info, errs slog.Handler }

func (h byLevel) of(level slog.Level) slog.Handler {
	if level >= slog.LevelError {
		return h.errs
	}
	return h.info
}

// Enabled implements slog.Handler.
func (h byLevel) Enabled(ctx context.Context, level slog.Level) bool {
	return h.of(level).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h byLevel) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h byLevel) WithAttrs(attrs []slog.Attr) slog.Handler {
	return byLevel{h.info.WithAttrs(attrs), h.errs.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h byLevel) WithGroup(name string) slog.Handler {
	return byLevel{h.info.WithGroup(name), h.errs.WithGroup(name)}
}

// restConfig finds the API server. Client-side rate limiting is off: API priority and fairness on the server is fairer
// than a number chosen here.
func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the Kubernetes API server: %w\nrun inside a cluster, or give --kubeconfig or KUBECONFIG", err)
	}
	cfg.QPS = -1
	cfg.WarningHandlerWithContext = rest.NoWarnings{} // they would be logged, and quote what a policy or webhook has seen
	cfg.UserAgent = "sealbridge-controller/" + version
	return cfg, nil
}

// podNamespace is the namespace that the controller runs in when --namespace does not say.
func podNamespace(getenv func(string) string, readFile func(string) ([]byte, error)) string {
	if ns := getenv("POD_NAMESPACE"); ns != "" {
		return ns
	}
	if b, err := readFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace"); err == nil {
		if ns := strings.TrimSpace(string(b)); ns != "" {
			return ns
		}
	}
	return setup.DefaultNamespace
}

func defaultNamespace() string { return podNamespace(os.Getenv, os.ReadFile) }
