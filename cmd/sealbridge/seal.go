package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// sealRun is one run of the seal command.
type sealRun struct {
	connection

	flags       *sealFlags
	name        string
	formatAsked bool
}

// run finds out what to do, does it in memory and only then writes anything, so that a command that fails leaves every
// file as it was.
func (r *sealRun) run(ctx context.Context) error {
	if r.flags.version {
		r.note("SealBridge " + version) // scripts read the other
		return r.host.output(fmt.Appendf(nil, "%s version: %s\n", r.name, kubesealVersion))
	}
	mode, err := r.flags.mode()
	if err != nil {
		return err
	}
	format, err := r.flags.outputFormat()
	if err != nil {
		return err
	}
	switch mode {
	case modeUnseal:
		return r.unseal(ctx, format)
	case modeValidate:
		return r.validate(ctx)
	case modeReEncrypt:
		return r.reEncrypt(ctx, format)
	case modeMerge:
		return r.merge(ctx, format)
	case modeRaw:
		return r.raw(ctx)
	case modeFetchCert:
		text, err := r.fetched(ctx)
		if err != nil {
			return err
		}
		return r.write(text)
	default:
		if r.flags.update {
			return r.update(ctx, format)
		}
		return r.seal(ctx, format)
	}
}

func (r *sealRun) seal(ctx context.Context, format sealing.Format) error {
	options, err := r.options(ctx)
	if err != nil {
		return err
	}
	input, done, err := r.input()
	if err != nil {
		return err
	}
	defer done()
	// Nearly all the time goes into RSA, which each document does for itself while the next one is read. The first document
	// that fails is the one that is told of, as if they had been sealed one by one after all were read.
	type result struct {
		text []byte
		err  error
	}
	var results []*result
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for secret, readError := range sealing.Secrets(input) {
		if err = readError; err != nil {
			break
		}
		to := &result{}
		results = append(results, to)
		workers.Go(func() error {
			var sealed *sealing.SealedSecret
			if sealed, to.err = sealing.Seal(secret, options); to.err == nil {
				to.text, to.err = sealing.Encode(format, sealed)
			}
			return nil
		})
	}
	_ = workers.Wait() // they return nothing
	texts := make([][]byte, 0, len(results))
	for _, to := range results {
		if err == nil {
			err = to.err
		}
		texts = append(texts, to.text)
	}
	if err != nil {
		return err
	}
	return r.write(slices.Concat(texts...))
}

func (r *sealRun) merge(ctx context.Context, format sealing.Format) error {
	secrets, err := r.secrets()
	if err != nil {
		return err
	}
	if len(secrets) != 1 {
		return &sealing.Error{Problem: fmt.Sprintf("--merge-into takes one Secret, not %d", len(secrets)), Hint: "merge them one by one"}
	}
	existing, err := readFile(r.flags.mergeInto)
	if err != nil {
		return err
	}
	options, err := r.options(ctx)
	if err != nil {
		return err
	}
	if !r.formatAsked {
		format = "" // the file's own
	}
	target, err := sealing.ReadTarget(existing)
	if err != nil {
		return inFile(r.flags.mergeInto, err)
	}
	merged, err := target.Merge(secrets[0], options, format)
	if err != nil {
		return err
	}
	return updateFile(r.flags.mergeInto, existing, merged)
}

// raw seals one value. kubeseal's texts for what is missing.
func (r *sealRun) raw(ctx context.Context) error {
	scope := r.flags.scope.orStrict()
	namespace := ""
	if scope != seal.ClusterWide {
		var err error
		if namespace, _, err = r.namespace(true); err != nil {
			return err
		}
		if namespace == "" {
			return usage("", "must provide the --namespace flag with --raw and --scope %s", scope)
		}
		if scope == seal.Strict && r.flags.name == "" {
			return usage("", "must provide the --name flag with --raw and --scope %s", scope)
		}
	}
	recipients, err := r.recipients(ctx)
	if err != nil {
		return err
	}
	to, err := recipients(namespace)
	if err != nil {
		return err
	}
	value, err := r.rawValue()
	if err != nil {
		return err
	}
	text, err := seal.Seal(rand.Reader, to, scope, namespace, r.flags.name, value)
	if err != nil {
		return err
	}
	return r.write([]byte(text))
}

// rawValue reads the value of --raw whole, its last newline included.
func (r *sealRun) rawValue() ([]byte, error) {
	from := r.host.stdin
	switch {
	case len(r.flags.fromFile) > 1:
		return nil, usage("", "must provide only one --from-file when encrypting a single item with --raw")
	case len(r.flags.fromFile) == 1:
		path := r.flags.fromFile[0]
		if _, after, ok := strings.Cut(path, "="); ok { // the key has no meaning for a single value
			path = after
		}
		file, err := openNamed("--from-file", path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		from = file
	case r.host.terminal:
		r.note("(tty detected: expecting a secret to encrypt in stdin)")
	}
	return sealing.ReadValue(from)
}

func (r *sealRun) unseal(ctx context.Context, format sealing.Format) error {
	keys, err := readPrivateKeys(r.flags.privateKeys)
	if err != nil {
		return err
	}
	input, done, err := r.input()
	if err != nil {
		return err
	}
	defer done()
	secrets, err := sealing.Unseal(ctx, input, keys)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for _, secret := range secrets {
		text, err := sealing.Encode(format, secret)
		if err != nil {
			return err
		}
		out.Write(text)
	}
	if r.flags.output != "" {
		return createPrivateFile(r.flags.output, out.Bytes())
	}
	return r.write(out.Bytes())
}

// readPrivateKeys returns the keys of all files.
func readPrivateKeys(paths []string) (sealing.PrivateKeys, error) {
	var keys sealing.PrivateKeys
	for _, path := range paths {
		data, err := readFile(path)
		if err != nil {
			return nil, err
		}
		more, err := sealing.ReadPrivateKeys(withoutMarks(data))
		if err != nil {
			return nil, inFile(path, err)
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

// options is how Secrets are sealed in this run.
func (r *sealRun) options(ctx context.Context) (sealing.Options, error) {
	to, err := r.recipients(ctx)
	return sealing.Options{
		To: to, Random: rand.Reader, Scope: r.flags.scope.scope, Name: r.flags.name,
		AllowEmpty: r.flags.allowEmpty, Namespace: r.namespaceOnce(),
	}, err
}

// namespaceOnce is namespace for several goroutines, which reads the kubeconfig once at most.
func (r *sealRun) namespaceOnce() func(needed bool) (namespace string, explicit bool, err error) {
	type answer struct {
		namespace string
		explicit  bool
		err       error
	}
	ask := func(needed bool) func() answer {
		return sync.OnceValue(func() answer {
			namespace, explicit, err := r.namespace(needed)
			return answer{namespace, explicit, err}
		})
	}
	when := map[bool]func() answer{true: ask(true), false: ask(false)}
	return func(needed bool) (string, bool, error) {
		a := when[needed]()
		return a.namespace, a.explicit, a.err
	}
}

func (r *sealRun) secrets() ([]sealing.Secret, error) {
	input, done, err := r.input()
	if err != nil {
		return nil, err
	}
	defer done()
	return sealing.ReadSecrets(input)
}

// input opens what --secret-file names, or standard input; done closes it.
func (r *sealRun) input() (in io.Reader, done func(), err error) {
	if r.flags.input == "" {
		if r.host.terminal {
			r.note("(tty detected: expecting json/yaml k8s resource in stdin)")
		}
		return r.host.stdin, func() {}, nil
	}
	file, err := os.Open(r.flags.input)
	if err != nil {
		return nil, nil, &sealing.Error{Problem: fmt.Sprintf("Could not read file specified with --secret-file: %s", err), Hint: openHint(err), Cause: err}
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		_ = file.Close()
		return nil, nil, &sealing.Error{Problem: fmt.Sprintf("Could not read file specified with --secret-file: %s is a directory", r.flags.input), Hint: "name a file"}
	}
	return file, func() { _ = file.Close() }, nil
}

// write puts the result where the user wants it.
func (r *sealRun) write(text []byte) error {
	if r.flags.output != "" {
		return replaceFile(r.flags.output, text)
	}
	return r.host.output(text)
}
