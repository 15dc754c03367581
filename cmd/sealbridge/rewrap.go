package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/manifest"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

type rewrapFlags struct {
	clusterFlags

	privateKeys []string
	dryRun      bool
	force       bool
}

// rewrapRun seals the values of many files anew.
type rewrapRun struct {
	connection

	flags  *rewrapFlags
	again  resealer
	counts struct{ rewrapped, unchanged, failed, files, kept int }
	unsaid error // why a line of the report could not be written
}

// resealer seals the values of one object anew in its file, and says what it did. It returns an error that is no
// *objectError when nothing more can be done at all.
type resealer interface {
	reseal(ctx context.Context, o *sealing.Object) (outcome, error)
	// done is told that a file has been written.
	done() error
}

// outcome is what became of one object.
type outcome struct {
	changed int    // values
	kept    int    // values that are sealed to the right key already
	from    string // fingerprints of the keys that opened them, where that is known
	to      string
}

// objectError is about one object; the others can still be sealed anew.
type objectError struct{ err error }

func (e *objectError) Error() string { return e.err.Error() }
func (e *objectError) Unwrap() error { return e.err }

func newRewrap(ctx context.Context, h host) *cobra.Command {
	f := &rewrapFlags{}
	cmd := &cobra.Command{
		Use:   "rewrap PATH...",
		Short: "Seal the values of all SealedSecrets in files anew, to the newest key or to other recipients",
		Long: "Looks at YAML and JSON files, and at those below folders. Without keys the controller seals anew, at the pace that it takes;\n" +
			"with --recovery-private-key it is done here, to --cert, --recipients or the controller's certificate. Comments, order and formatting stay.\n" +
			"Each file is replaced at once, values that are sealed to the new key already stay as they are (--force seals them anew), and a run\n" +
			"that was ended goes on where it stopped.",
		Example: "  sealbridge rewrap --dry-run .\n  sealbridge rewrap --recovery-private-key old.pem --cert new-cluster.pem clusters/new\n" +
			"  sealbridge rewrap --recovery-private-key old.pem --native --recipients recovery.txt .",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("sealbridge rewrap . takes everything below here", "rewrap takes files and folders")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := setFromEnvironment(cmd.Flags(), h.env); err != nil {
				return err
			}
			return (&rewrapRun{connection: connection{at: &f.clusterFlags, host: h}, flags: f}).run(ctx, args)
		},
	}
	cmd.SetFlagErrorFunc(badFlag)
	f.bind(cmd.Flags())
	cmd.Flags().StringSliceVar(&f.privateKeys, "recovery-private-key", nil, "files with private keys that open the values: PEM, age identities, or sealing-key Secrets in YAML or JSON")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be done and write nothing")
	cmd.Flags().BoolVar(&f.force, "force", false, "seal values anew that are sealed to the new key already, too")
	return cmd
}

func (r *rewrapRun) run(ctx context.Context, paths []string) error {
	files, closed, err := walk(paths, ".yaml", ".yml", ".json")
	if err != nil {
		return err
	}
	if r.again, err = r.resealer(ctx); err != nil {
		return err
	}
	for _, folder := range closed {
		r.unread(folder.path, &sealing.Error{Problem: "the folder cannot be read: " + cause(folder.err).Error(), Hint: "check its permissions", Cause: folder.err})
	}
	for _, path := range files {
		if err := r.file(ctx, path); err != nil {
			if r.counts.files > 0 {
				r.summary()
			}
			return inFile(path, err)
		}
	}
	r.summary()
	if r.counts.failed > 0 {
		return &sealing.Error{Problem: fmt.Sprintf("%d SealedSecrets could not be sealed anew", r.counts.failed), Hint: "they are as they were; the lines above say why"}
	}
	if r.unsaid != nil {
		hint := "the files are sealed anew all the same; git diff shows them"
		if r.flags.dryRun {
			hint = "the files are as they were; run it again where its output has room"
		}
		return &sealing.Error{Problem: "write the output: " + cause(r.unsaid).Error(), Hint: hint, Cause: r.unsaid}
	}
	return nil
}

// printf writes to the report. A report that cannot be written ends nothing half way.
func (r *rewrapRun) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(r.host.stdout, format, args...); err != nil && r.unsaid == nil {
		r.unsaid = err
	}
}

// failed says why something stays as it was, and what to do.
func (r *rewrapRun) failed(where string, err error) {
	r.counts.failed++
	r.printf("%s: failed: %s\n", where, err)
	if known, ok := asProblem(err); ok && known.Hint != "" {
		r.printf("  hint: %s\n", known.Hint)
	}
}

func (r *rewrapRun) summary() {
	verb := "sealed anew"
	if r.flags.dryRun {
		verb = "would be sealed anew"
	}
	r.printf("%d SealedSecrets in %d files: %d %s, %d unchanged, %d failed\n",
		r.counts.rewrapped+r.counts.unchanged+r.counts.failed, r.counts.files, r.counts.rewrapped, verb, r.counts.unchanged, r.counts.failed)
	if r.counts.kept > 0 && !r.flags.force {
		r.printf("values that are sealed to the new key already and stay as they are, without --force: %d\n", r.counts.kept)
	}
}

// holdsSealed finds SealedSecrets in a file that cannot be read.
var holdsSealed = regexp.MustCompile(`\bkind["']?:[ \t]*["']?SealedSecret(List)?\b`)

// file seals the SealedSecrets of a file anew and says what became of them, once that is certain. What is wrong with one
// file stands in the way of no other.
func (r *rewrapRun) file(ctx context.Context, path string) error {
	data, err := readFile(path)
	if errors.Is(err, errTooLarge) && !isOfSealed(path) {
		r.note("skipped " + err.Error())
		return nil
	}
	if err != nil {
		r.unread(path, err)
		return nil
	}
	file, err := sealing.ReadFile(data)
	switch {
	case err != nil && holdsSealedText(data, errors.Is(err, manifest.ErrUnmerged)):
		r.unread(path, err)
		return nil
	case err != nil:
		// A repository has files of other kinds too, and templates of charts.
		r.note("skipped " + inFile(path, err).Error())
		return nil
	case len(file.Objects()) == 0:
		return nil
	}
	outcomes, failures := make([]outcome, len(file.Objects())), make([]error, len(file.Objects()))
	for i, o := range file.Objects() {
		var one *objectError
		if outcomes[i], err = r.again.reseal(ctx, o); errors.As(err, &one) {
			failures[i] = err
		} else if err != nil {
			return err
		}
	}
	if err := r.write(path, file); err != nil {
		for i := range outcomes {
			if failures[i] == nil && outcomes[i].changed > 0 {
				failures[i] = err
			}
		}
	}
	r.counts.files++
	for i, o := range file.Objects() {
		r.say(path, o, outcomes[i], failures[i])
	}
	if r.flags.dryRun {
		return nil
	}
	return r.again.done()
}

// holdsSealedText says whether a text that cannot be read holds SealedSecrets, and is no template. With a conflict it is for Git to finish
// first, whatever it is.
func holdsSealedText(data []byte, conflict bool) bool {
	text, _ := manifest.FromUTF16(data)
	return holdsSealed.Match(text) && (conflict || !bytes.Contains(text, []byte("{{")))
}

// isOfSealed says whether a file that is too large to be read holds SealedSecrets.
func isOfSealed(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return true
	}
	defer func() { _ = file.Close() }()
	return holdsSealed.MatchReader(bufio.NewReader(file))
}

// unread is said of a file that cannot be read, and counted like a SealedSecret that failed.
func (r *rewrapRun) unread(path string, err error) {
	r.counts.files++
	r.failed(printable(path), err)
}

// write makes the changes of a file, also for a dry run, which keeps them for itself.
func (r *rewrapRun) write(path string, file *sealing.File) error {
	if !file.Changed() {
		return nil
	}
	text, err := file.Text()
	if err != nil || r.flags.dryRun {
		return err
	}
	return updateFile(path, file.Before(), text)
}

// say tells and counts what became of an object.
func (r *rewrapRun) say(path string, o *sealing.Object, out outcome, failure error) {
	where := fmt.Sprintf("%s:%d: %s", printable(path), o.Line, printable(o.String()))
	switch {
	case failure != nil:
		r.failed(where, failure)
		return
	case out.changed == 0:
		r.counts.unchanged++
		r.printf("%s: unchanged (%s)\n", where, out.to)
	default:
		r.counts.rewrapped++
		r.printf("%s: %d of %d values (%s -> %s)\n", where, out.changed, len(sealedValues(o)), out.from, out.to)
	}
	r.counts.kept += out.kept
}

func (r *rewrapRun) resealer(ctx context.Context) (resealer, error) {
	keys, err := readPrivateKeys(r.flags.privateKeys)
	if err != nil {
		return nil, err
	}
	if len(keys) > 0 {
		to, err := r.recipients(ctx)
		if err != nil {
			return nil, err
		}
		return &offline{keys: keys, force: r.flags.force, options: sealing.Options{To: to, Random: rand.Reader, Namespace: r.namespace}}, nil
	}
	if r.flags.cert != "" || r.flags.sealsNative() {
		return nil, usage("give the keys that open the values, or leave --cert, --recipients and --native out and let the controller do it", "rewrap to a certificate or recipients requires --recovery-private-key")
	}
	c, err := r.cluster()
	if err != nil {
		return nil, err
	}
	proxy, err := c.proxy(ctx)
	if err != nil {
		return nil, err
	}
	memory, err := openMemory(r.host)
	if err != nil {
		// A pipeline may have no home. What is current our controller knows itself.
		r.note("without a memo, the controller of Sealed Secrets changes every value in each run: " + err.Error())
		if memory, err = forgetful(); err != nil {
			return nil, err
		}
	}
	to, err := r.recipients(ctx)
	if err != nil {
		return nil, err
	}
	native := map[string]*agebox.Recipient{}
	return &online{cluster: c, proxy: proxy, options: sealing.Options{Namespace: r.namespace}, to: to, native: native, memory: memory, force: r.flags.force}, nil
}

// offline opens with keys at hand.
type offline struct {
	keys    sealing.PrivateKeys
	force   bool
	options sealing.Options
}

func (f *offline) done() error { return nil }

func (f *offline) reseal(ctx context.Context, o *sealing.Object) (outcome, error) {
	var out outcome
	namespace, err := o.Place(f.options)
	if err != nil {
		return out, &objectError{err}
	}
	to, err := f.options.To(namespace)
	if err != nil {
		return out, err
	}
	out.to = to.Fingerprint()
	opener, from := seal.NewOpener(f.keys, "", 0), map[string]bool{}
	sealed := map[string]string{}
	keys := o.Keys()
	if o.Deprecated != "" {
		keys = append(keys, sealing.DeprecatedKey)
	}
	for _, key := range keys {
		text, was, err := f.one(ctx, opener, o, namespace, key, out.to)
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		if err != nil {
			return out, &objectError{err}
		}
		if text != "" {
			sealed[key] = text
			if !from[was] {
				from[was] = true
				out.from += ", " + was
			}
		}
	}
	for key, text := range sealed {
		o.Set(key, text)
	}
	out.changed, out.kept = len(sealed), len(keys)-len(sealed)
	if len(out.from) > 2 {
		out.from = out.from[2:]
	}
	return out, nil
}

// one seals one value anew and says to whom it was sealed; the text is "" for one that is sealed to the right ones and stays.
func (f *offline) one(ctx context.Context, opener *seal.Opener, o *sealing.Object, namespace, key, to string) (text, was string, err error) {
	value, err := o.Open(func(scope seal.Scope, namespace, name, text string) ([]byte, error) {
		return opener.Open(ctx, scope, namespace, name, text)
	}, namespace, key)
	if err != nil {
		return "", "", err
	}
	defer clear(value)
	if was = sealedTo(o.Sealed(key), opener.Opened()); was == to && !f.force {
		return "", was, nil
	}
	text, err = o.SealValue(f.options, key, value)
	return text, was, err
}
