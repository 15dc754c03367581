package build

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sealbridge/sealbridge/plugins/decrypt"
	"github.com/sealbridge/sealbridge/providers"
)

// Tree is a repository at one commit, as package source has it.
type Tree interface {
	fs.ReadFileFS
	fs.ReadDirFS
	fs.StatFS
	// Digest identifies what a name leads to; equal digests mean equal content.
	Digest(name string) (string, error)
	// RealPath returns name with symbolic links resolved.
	RealPath(name string) (string, error)
}

// Options say what to build.
type Options struct {
	// Path is the folder, relative to the root of the tree; empty for the root itself.
	Path string
	// Decryptors open encrypted files. Without any, a file that is still encrypted is an error all the same.
	Decryptors []decrypt.Decryptor
	Limits     Limits
}

// Limits bound one build. A zero field stands for its default.
type Limits struct {
	// Objects is how many objects may come out (10,000).
	Objects int
	// Bytes is how much may be read, counted for each time (64 MiB).
	Bytes int64
	// Reads is how many files may be read, counted for each time (20,000).
	Reads int
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Objects: cmp.Or(l.Objects, 10_000),
		Bytes:   cmp.Or(l.Bytes, 64<<20),
		Reads:   cmp.Or(l.Reads, 20_000),
	}
}

// Result is what a folder holds.
type Result struct {
	// Objects are owned by the caller, in the order of their files; kustomize's order within a kustomization.
	Objects []Object
	// Plaintext names the Secrets whose values were not encrypted in Git.
	Plaintext []Finding
	// Reads is what the result depends on, besides the options.
	Reads ReadSet
}

// Object is one object.
type Object struct {
	*unstructured.Unstructured
	// Source is the file that it comes from; for what a kustomization generates, the kustomization.
	Source string
	// Sensitive says that decrypted values went into it, or may have.
	Sensitive bool
}

// The two causes that have a name of their own; errors.Is finds them beside the class of package providers.
var (
	// ErrPathNotFound: the tree has no such folder.
	ErrPathNotFound = errors.New("path not found")
	// ErrDecryption: a file cannot be decrypted, or is still encrypted after all decryptors were asked.
	ErrDecryption = errors.New("decryption failed")
)

// kinded adds a cause to an error without changing its text.
type kinded struct{ kind, err error }

func (e *kinded) Error() string   { return e.err.Error() }
func (e *kinded) Unwrap() []error { return []error{e.kind, e.err} }

func invalid(format string, args ...any) error {
	return providers.Errorf(providers.ErrInvalid, format, args...)
}

func decryptionError(format string, args ...any) error {
	return &kinded{kind: ErrDecryption, err: invalid(format, args...)}
}

// Build reads the folder opts.Path: as a kustomization when it has one, else every .yaml, .yml and .json file in it and
// below, where a folder with a kustomization of its own counts as that (as Flux generates its kustomization). Names that
// begin with a dot are skipped. It fails with ErrInvalid for everything that another commit or other options must cure,
// and with the context's cause.
func Build(ctx context.Context, tree Tree, opts Options) (*Result, error) {
	opts.Limits = opts.Limits.withDefaults()
	root, err := cleanPath(opts.Path)
	if err != nil {
		return nil, err
	}
	b := &builder{reader: newReader(ctx, tree, opts)}
	if err := b.folder(root, true); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	if err := b.checkTwice(); err != nil {
		return nil, err
	}
	return &Result{Objects: b.objects, Plaintext: b.plaintext, Reads: b.reader.reads}, nil
}

func cleanPath(p string) (string, error) {
	clean := path.Clean("./" + strings.TrimPrefix(p, "/"))
	if !fs.ValidPath(clean) {
		return "", invalid("spec.path leads out of the repository")
	}
	return clean, nil
}

type builder struct {
	reader    *reader
	objects   []Object
	plaintext []Finding
}

const maxDepth = 64

// folder adds what a folder holds.
func (b *builder) folder(dir string, root bool) error {
	if err := b.isFolder(dir, root); err != nil {
		return err
	}
	kustomization, err := b.reader.kustomization(dir)
	if err != nil {
		return err
	}
	if kustomization {
		return b.kustomize(dir)
	}
	if strings.Count(dir, "/") > maxDepth {
		return invalid("%s is nested deeper than %d folders", show(dir), maxDepth)
	}
	entries, err := b.reader.list(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := b.entry(path.Join(dir, entry.Name()), entry); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) isFolder(dir string, root bool) error {
	info, err := b.reader.tree.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && root:
		return &kinded{kind: ErrPathNotFound, err: invalid("spec.path %s does not exist in the repository at this commit", show(dir))}
	case err != nil:
		return fileError(dir, err)
	case !info.IsDir():
		return invalid("spec.path %s is not a folder", show(dir))
	}
	return nil
}

// entry adds one entry of a plain folder. A symbolic link to a file counts as the file; one to a folder is not followed.
func (b *builder) entry(name string, entry fs.DirEntry) error {
	switch {
	case strings.HasPrefix(entry.Name(), "."):
		return nil
	case entry.IsDir():
		return b.folder(name, false)
	case entry.Type() == fs.ModeIrregular:
		_, err := b.reader.tree.ReadFile(name)
		return fileError(name, err)
	case !isManifest(name):
		return nil
	}
	if info, err := b.reader.tree.Stat(name); err == nil && info.IsDir() {
		return nil
	}
	file, err := b.reader.read(name)
	if err != nil {
		return err
	}
	return b.plain(file)
}

func isManifest(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// add takes an object into the result after the checks that hold for every object.
func (b *builder) add(object map[string]any, source string, sensitive bool, sealed func([]byte) bool) error {
	u := &unstructured.Unstructured{Object: object}
	if u.GetAPIVersion() == "" || u.GetKind() == "" {
		return invalid("%s holds something that is not a Kubernetes object: it has no apiVersion or no kind; move it out of spec.path, or name what is to be applied in a kustomization.yaml", show(source))
	}
	if u.GetName() == "" {
		return invalid("%s holds a %s without metadata.name", show(source), show(u.GetKind()))
	}
	if len(b.objects) >= b.reader.limits.Objects {
		return invalid("there are more than %d objects; split them over several GitSyncs", b.reader.limits.Objects)
	}
	if field, found := leftover(object); found {
		return decryptionError("%s is still encrypted with SOPS (%s of %s); set spec.decryption, and name the file after its format (.yaml, .json, .env, .ini)",
			show(source), field, describe(u))
	}
	if fields := notText(object); sensitive && len(fields) > 0 {
		return invalid("%s: %s of %s is no text, as every value of a Secret has to be; write it in quotes before the file is encrypted", show(source), strings.Join(few(fields), ", "), describe(u))
	}
	o := Object{Unstructured: u, Source: source, Sensitive: sensitive}
	if keys := plainKeys(object, sealed); len(keys) > 0 {
		b.plaintext = append(b.plaintext, Finding{File: source, Object: describe(u), Keys: keys})
	}
	b.objects = append(b.objects, o)
	return nil
}

// checkTwice refuses a result that has the same object twice: which of them is meant, nobody can tell.
func (b *builder) checkTwice() error {
	type id struct {
		kind            schema.GroupKind
		namespace, name string
	}
	seen := make(map[id]string, len(b.objects))
	for _, o := range b.objects {
		key := id{o.GroupVersionKind().GroupKind(), o.GetNamespace(), o.GetName()}
		if first, ok := seen[key]; ok {
			return invalid("%s stands twice, in %s and in %s; remove one", describe(o.Unstructured), show(first), show(o.Source))
		}
		seen[key] = o.Source
	}
	return nil
}

// describe names an object in messages: "Secret shop/db".
func describe(u *unstructured.Unstructured) string {
	name := u.GetName()
	if u.GetNamespace() != "" {
		name = u.GetNamespace() + "/" + name
	}
	return show(u.GetKind()) + " " + show(name)
}

// show makes a name from the repository fit for a message: nothing that is not seen or turns what is around it, not endless.
func show(name string) string {
	const most = 200
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(name, "?"))
	if len(clean) > most {
		clean = strings.ToValidUTF8(clean[:most], "") + "..."
	}
	return clean
}

// fileError names the file of a tree's error and keeps its cause; the tree's own texts are safe to show.
func fileError(name string, err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		err = of.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return invalid("%s does not exist in the repository", show(name))
	case errors.Is(err, fs.ErrInvalid):
		return invalid("%s is not a path in the repository", show(name))
	default:
		return invalid("%s: %w", show(name), err)
	}
}
