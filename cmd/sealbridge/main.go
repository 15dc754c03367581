// Command sealbridge is SealBridge's command line. Under the name kubeseal it takes kubeseal's flags and does what
// kubeseal does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sealbridge/sealbridge/internal/sealing"
)

// version is set by the linker (make build).
var version = "devel"

// kubesealVersion is the kubeseal that the seal command behaves like, as scripts that ask for it read it.
const kubesealVersion = "0.40.0"

// host is what a command may use of the process it runs in.
type host struct {
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
	env      func(name string) (string, bool)
	terminal bool // whether somebody sits at stdin
}

func main() {
	debug.SetGCPercent(200) // a run is short; with more it would save collections and touch new pages instead, which cost as much
	// No signal handler but while a file is replaced or a value typed: a command that waits for its input ends at the first Ctrl-C.
	os.Exit(run(context.Background(), os.Args, host{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.LookupEnv,
		terminal: term.IsTerminal(int(os.Stdin.Fd())),
	}))
}

// run runs the command that args name, the program's own name included, and returns the exit code: 0, 1 for a command
// that failed, 2 for a command line that makes no sense. As kubeseal it returns 2, as kubeseal does, for flags that it cannot
// read and for nothing else.
func run(ctx context.Context, args []string, h host) int {
	cmd := newRoot(ctx, h)
	asKubeseal := strings.TrimSuffix(filepath.Base(args[0]), ".exe") == "kubeseal"
	if asKubeseal {
		cmd = newSeal(ctx, "kubeseal", h)
	}
	cmd.SetArgs(args[1:])
	cmd.SetIn(h.stdin)
	cmd.SetOut(h.stdout)
	cmd.SetErr(h.stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var found *errFound
	if errors.As(err, &found) {
		_, _ = fmt.Fprintln(h.stderr, err)
		return 1
	}
	_, _ = fmt.Fprintln(h.stderr, "error:", err)
	if known, ok := asProblem(err); ok && known.Hint != "" {
		_, _ = fmt.Fprintln(h.stderr, "hint:", known.Hint)
	}
	var usage *usageError
	if errors.As(err, &usage) && (usage.unread || !asKubeseal) {
		return 2
	}
	return 1
}

func newRoot(ctx context.Context, h host) *cobra.Command {
	root := &cobra.Command{
		Use:           "sealbridge",
		Short:         "Keeps secrets out of Git: seals them for one cluster",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments("see sealbridge --help for the commands"),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(badFlag)
	root.AddCommand(newEditing(ctx, h)...)
	root.AddCommand(newLint(h), newRewrap(ctx, h), newKeys(ctx, h))
	root.AddCommand(newSeal(ctx, "seal", h), &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments("sealbridge version takes none"),
		RunE:  func(*cobra.Command, []string) error { return h.output([]byte("sealbridge " + version + "\n")) },
	})
	root.Version = version
	root.SetVersionTemplate("sealbridge {{.Version}}\n")
	return root
}

// output writes the result of a command that changes nothing else.
func (h host) output(text []byte) error {
	if _, err := h.stdout.Write(text); err != nil {
		return &sealing.Error{Problem: "write the output: " + cause(err).Error(), Hint: "run the command again where its output has room", Cause: err}
	}
	return nil
}

// asProblem returns the error that says what to do.
func asProblem(err error) (*sealing.Error, bool) {
	var known *sealing.Error
	ok := errors.As(err, &known)
	return known, ok
}

// usageError marks an error of the command line itself.
type usageError struct {
	err    error
	unread bool // the flags could not be read at all
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(hint, format string, args ...any) error {
	return &usageError{err: &sealing.Error{Problem: fmt.Sprintf(format, args...), Hint: hint}}
}

func badFlag(cmd *cobra.Command, err error) error {
	return &usageError{err: &sealing.Error{Problem: err.Error(), Hint: "see " + cmd.CommandPath() + " --help"}, unread: true}
}

func noArguments(hint string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage(hint, "unexpected argument %q", args[0])
		}
		return nil
	}
}
