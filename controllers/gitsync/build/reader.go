package build

import (
	"context"
	"errors"
	"io/fs"
	"path"

	"sigs.k8s.io/kustomize/api/konfig"

	"github.com/sealbridge/sealbridge/plugins/decrypt"
)

// reader reads files of the tree: decrypted, counted against the limits, and written down in the read set.
type reader struct {
	ctx        context.Context //nolint:containedctx // kustomize's file system, which reads through it, has no context
	tree       Tree
	decryptors []decrypt.Decryptor
	limits     Limits
	reads      ReadSet

	bytes int64
	count int
	files map[string]*file
}

// file is one file as a build sees it.
type file struct {
	name string
	data []byte
	// sealed says which values were encrypted in it; nil when the file was not encrypted.
	sealed func([]byte) bool
}

func newReader(ctx context.Context, tree Tree, opts Options) *reader {
	return &reader{
		ctx: ctx, tree: tree, decryptors: opts.Decryptors, limits: opts.Limits,
		reads: ReadSet{facts: map[fact]string{}}, files: map[string]*file{},
	}
}

func (r *reader) note(f fact) {
	if _, ok := r.reads.facts[f]; !ok {
		r.reads.facts[f] = look(r.tree, f)
	}
}

// read returns a file, decrypted when it was encrypted. Its data must not be changed.
func (r *reader) read(name string) (*file, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	f, err := r.once(name)
	if err != nil {
		return nil, err
	}
	r.count++
	r.bytes += int64(len(f.data))
	if r.count > r.limits.Reads || r.bytes > r.limits.Bytes {
		return nil, invalid("the build reads more than %d files or %d MiB; split it over several GitSyncs", r.limits.Reads, r.limits.Bytes>>20)
	}
	return f, nil
}

// once reads and decrypts a file the first time that it is asked for.
func (r *reader) once(name string) (*file, error) {
	if f, ok := r.files[name]; ok {
		return f, nil
	}
	r.note(fact{name: name})
	data, err := r.tree.ReadFile(name)
	if err != nil {
		return nil, fileError(name, err)
	}
	f := &file{name: name, data: data}
	document, err := decrypt.First(r.ctx, r.decryptors, name, data)
	switch {
	case err != nil && r.ctx.Err() != nil:
		return nil, r.ctx.Err()
	case err != nil:
		return nil, decryptionError("%w", err)
	case document != nil:
		f.data, f.sealed = document.Plain, document.Sealed
	}
	r.files[name] = f
	return f, nil
}

// list returns the entries of a folder. What is below it becomes part of the read set as a whole.
func (r *reader) list(dir string) ([]fs.DirEntry, error) {
	r.note(fact{name: dir})
	entries, err := r.tree.ReadDir(dir)
	if err != nil {
		return nil, fileError(dir, err)
	}
	return entries, nil
}

// isFolder says whether name is a folder, and notes that it was asked.
func (r *reader) isFolder(name string) bool {
	r.note(fact{name: name, folder: true})
	info, err := r.tree.Stat(name)
	return err == nil && info.IsDir()
}

// exists says whether there is anything under the name, without noting it: the caller reads it next.
func (r *reader) exists(name string) (bool, error) {
	_, err := r.tree.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		r.note(fact{name: name})
		return false, nil
	}
	if err != nil {
		return false, fileError(name, err)
	}
	return true, nil
}

// kustomization says whether a folder has a kustomization file.
func (r *reader) kustomization(dir string) (bool, error) {
	found := false
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		ok, err := r.exists(path.Join(dir, name))
		if err != nil {
			return false, err
		}
		found = found || ok
	}
	return found, nil
}
