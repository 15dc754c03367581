package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// editFlags are the flags of the commands that change one key of a SealedSecret in a file.
type editFlags struct {
	clusterFlags

	name        string
	fromFile    string
	allowEmpty  bool
	privateKeys []string
	open        bool
}

// editRun is one run of set, unset or edit.
type editRun struct {
	connection

	flags *editFlags
	path  string
	key   string
}

func (f *editFlags) bind(cmd *cobra.Command, seals bool) {
	fs := cmd.Flags()
	if seals {
		f.clusterFlags.bind(fs)
	} else {
		fs.StringVarP(&f.overrides.Context.Namespace, "namespace", "n", "", "namespace of the SealedSecret, where the file has several")
	}
	fs.StringVar(&f.name, "name", "", "name of the SealedSecret, where the file has several (--namespace chooses too)")
	if seals {
		fs.StringVar(&f.fromFile, "from-file", "", "read the value from this file instead of standard input")
		fs.BoolVar(&f.allowEmpty, "allow-empty", false, "accept an empty value")
	}
}

func newEditing(ctx context.Context, h host) []*cobra.Command {
	command := func(use, short, long, example string, seals bool, act func(*editRun, context.Context) error) (*cobra.Command, *editFlags) {
		f := &editFlags{}
		cmd := &cobra.Command{
			Use: use, Short: short, Long: long, Example: example, SilenceUsage: true, SilenceErrors: true,
			Args: fileAndKey,
			RunE: func(cmd *cobra.Command, args []string) error {
				if err := setFromEnvironment(cmd.Flags(), h.env); err != nil {
					return err
				}
				return act(&editRun{connection: connection{at: &f.clusterFlags, host: h}, flags: f, path: args[0], key: args[1]}, ctx)
			},
		}
		cmd.SetFlagErrorFunc(badFlag)
		f.bind(cmd, seals)
		return cmd, f
	}
	set, _ := command("set FILE KEY", "Seal a value into one key of a SealedSecret in a file",
		"Reads a value from standard input or --from-file, whole, its last newline included, and seals it for the place and scope\n"+
			"that the SealedSecret has. Comments, order and formatting of the file stay, and the file is replaced at once.",
		"  printf %s \"$PASSWORD\" | sealbridge set db.yaml password --cert cert.pem\n  sealbridge set db.yaml tls.key --from-file key.pem", true, (*editRun).set)
	unset, _ := command("unset FILE KEY", "Remove one key of a SealedSecret in a file",
		"Removes the key and leaves all else in the file as it is. It needs neither a certificate nor a cluster.",
		"  sealbridge unset db.yaml password", false, (*editRun).unset)
	edit, f := command("edit FILE KEY", "Open one value with a recovery key, and seal it only if it has changed",
		"With --open: writes the opened value to standard output, for a pipe into an editor or filter of your choice.\n"+
			"Without: reads the new value as set does, and leaves the file as it is when the value is the one that is sealed there.\n"+
			"The value is held in memory alone: no temporary file is made and no program is started.",
		"  sealbridge edit db.yaml config --open --recovery-private-key key.pem | sed s/debug/info/ | sealbridge set db.yaml config --cert cert.pem", true, (*editRun).edit)
	edit.Flags().StringSliceVar(&f.privateKeys, "recovery-private-key", nil, "files with private keys that open the value: PEM, age identities, or sealing-key Secrets in YAML or JSON")
	edit.Flags().BoolVar(&f.open, "open", false, "write the opened value to standard output and change nothing")
	return []*cobra.Command{set, unset, edit}
}

func fileAndKey(cmd *cobra.Command, args []string) error {
	const never = "a value is never an argument, because other users can read arguments: give it on standard input or with --from-file"
	if len(args) == 2 && strings.Contains(args[1], "=") { // which is not quoted: a value stands behind it
		return usage(never, "%s takes a file and a key, and no key has a = in it", cmd.Name())
	}
	if len(args) == 2 && args[1] != "" {
		return nil
	}
	hint := "see " + cmd.CommandPath() + " --help"
	if len(args) > 2 {
		hint = never
	}
	return usage(hint, "%s takes a file and a key", cmd.Name())
}

func (r *editRun) set(ctx context.Context) error {
	value, err := r.value()
	if err != nil {
		return err
	}
	file, object, err := r.object()
	if err != nil {
		return err
	}
	return r.seal(ctx, file, object, value)
}

func (r *editRun) seal(ctx context.Context, file *sealing.File, object *sealing.Object, value []byte) error {
	to, err := r.recipients(ctx)
	if err != nil {
		return err
	}
	sealed, err := object.SealValue(sealing.Options{To: to, Random: rand.Reader, Namespace: r.namespace}, r.key, value)
	if err != nil {
		return inFile(r.path, err)
	}
	object.Set(r.key, sealed)
	return r.replace(file)
}

func (r *editRun) unset(context.Context) error {
	file, object, err := r.object()
	if err != nil {
		return err
	}
	if _, ok := object.Values[r.key]; !ok {
		return inFile(r.path, noSuchKey(object, r.key))
	}
	object.Remove(r.key)
	return r.replace(file)
}

func noSuchKey(object *sealing.Object, key string) error {
	_, err := object.Open(nil, "", key)
	return err
}

func (r *editRun) edit(ctx context.Context) error {
	if len(r.flags.privateKeys) == 0 {
		return usage("give the file with the private key, or use set, which needs none", "edit requires --recovery-private-key")
	}
	if r.flags.open && r.flags.fromFile != "" {
		return usage("--open changes nothing", "--open and --from-file exclude each other")
	}
	keys, err := readPrivateKeys(r.flags.privateKeys)
	if err != nil {
		return err
	}
	file, object, err := r.object()
	if err != nil {
		return err
	}
	namespace := object.Namespace
	if namespace == "" && object.Scope != seal.ClusterWide {
		if namespace, _, err = r.namespace(true); err != nil {
			return err
		}
	}
	opener := seal.NewOpener(keys, "", 0)
	old, err := object.Open(func(scope seal.Scope, namespace, name, text string) ([]byte, error) {
		return opener.Open(ctx, scope, namespace, name, text)
	}, namespace, r.key)
	if err != nil {
		return inFile(r.path, err)
	}
	if r.flags.open {
		return r.host.output(old)
	}
	value, err := r.value()
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(old, value) == 1 {
		r.note(r.path + ": " + r.key + " is unchanged")
		return nil
	}
	return r.seal(ctx, file, object, value)
}

// object reads the file and chooses its SealedSecret.
func (r *editRun) object() (*sealing.File, *sealing.Object, error) {
	data, err := readFile(r.path)
	if err != nil {
		return nil, nil, err
	}
	file, err := sealing.ReadFile(data)
	if err != nil {
		return nil, nil, inFile(r.path, err)
	}
	object, err := file.Choose(r.flags.name, r.at.overrides.Context.Namespace)
	if err != nil {
		return nil, nil, inFile(r.path, err)
	}
	return file, object, nil
}

func (r *editRun) replace(file *sealing.File) error {
	text, err := file.Text()
	if err != nil {
		return inFile(r.path, err)
	}
	return updateFile(r.path, file.Before(), text)
}

// value reads the value to seal. Somebody at a terminal types it unseen, and it ends with the line.
func (r *editRun) value() ([]byte, error) {
	value, err := r.readValue()
	if err == nil && len(value) == 0 && !r.flags.allowEmpty {
		return nil, &sealing.Error{Problem: "the value is empty", Hint: "give it on standard input or with --from-file; --allow-empty seals an empty one"}
	}
	return value, err
}

func (r *editRun) readValue() ([]byte, error) {
	switch {
	case r.flags.fromFile != "":
		file, err := openNamed("--from-file", r.flags.fromFile)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		return sealing.ReadValue(file)
	case r.host.terminal:
		file, ok := r.host.stdin.(*os.File)
		if !ok {
			return sealing.ReadValue(r.host.stdin)
		}
		_, _ = fmt.Fprintf(r.host.stderr, "value of %s (not shown): ", r.key)
		release := restoring(int(file.Fd()))
		value, err := term.ReadPassword(int(file.Fd()))
		more := pasted(int(file.Fd()))
		release()
		_, _ = fmt.Fprintln(r.host.stderr)
		switch {
		case err != nil:
			return nil, &sealing.Error{Problem: "read the value: " + err.Error(), Hint: "give it on standard input or with --from-file", Cause: err}
		case more:
			return nil, &sealing.Error{
				Problem: "a value of several lines was pasted, and the prompt takes one: nothing is sealed",
				Hint:    "give it on standard input or with --from-file",
			}
		}
		return sealing.ReadValue(bytes.NewReader(value))
	default:
		return sealing.ReadValue(r.host.stdin)
	}
}

// inFile puts a file's name before an error.
func inFile(path string, err error) error {
	if known, ok := asProblem(err); ok {
		return &sealing.Error{Problem: printable(path) + ": " + known.Problem, Hint: known.Hint, Cause: err}
	}
	return fmt.Errorf("%s: %w", printable(path), err)
}

// printable makes a path fit for a message: names of files in a repository can hold line breaks.
func printable(path string) string {
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c == 0x7f {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(path, "?"))
}
