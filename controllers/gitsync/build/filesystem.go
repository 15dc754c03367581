package build

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// mount is where kustomize sees the tree. The folder above it does not exist, so that a path which leaves the repository
// finds nothing.
const mount = "/repository"

// treeFS shows the tree to kustomize (filesys.FileSystem): read-only, decrypted, and with every kustomization file
// checked before kustomize sees it. The first error is kept, because kustomize goes on after some of them and reports
// another; after it nothing more can be read.
type treeFS struct {
	reader *reader
	root   string // the folder that is being built
	err    error
	// opened are the files that were decrypted.
	opened map[string]*file
	// data are the files that become values as they are, whatever they hold.
	data map[string]bool
}

var _ filesys.FileSystem = (*treeFS)(nil)

var errReadOnly = errors.New("the repository is read-only")

func (t *treeFS) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return t.err
}

// name translates a path of kustomize's into one of the tree.
func (t *treeFS) name(p string) (string, error) {
	clean := path.Clean("/" + p)
	if clean == mount {
		return ".", nil
	}
	name, ok := strings.CutPrefix(clean, mount+"/")
	if !ok || !fs.ValidPath(name) {
		return "", t.fail(invalid("the kustomization in %s uses a path that leads out of the repository", show(t.root)))
	}
	return name, nil
}

// ReadFile implements filesys.FileSystem.
func (t *treeFS) ReadFile(p string) ([]byte, error) {
	if t.err != nil {
		return nil, t.err
	}
	name, err := t.name(p)
	if err != nil {
		return nil, err
	}
	if ok, err := t.reader.exists(name); err != nil {
		return nil, t.fail(err)
	} else if !ok {
		return nil, fs.ErrNotExist
	}
	if t.reader.isFolder(name) {
		return nil, errors.New("is a folder") // kustomize tries every resource as a file first
	}
	f, err := t.reader.read(name)
	if err != nil {
		return nil, t.fail(err)
	}
	if f.sealed != nil {
		t.opened[name] = f
	}
	if isKustomization(name) {
		data, err := t.checked(f)
		if err != nil {
			return nil, t.fail(err)
		}
		return data, nil
	}
	if isManifest(name) && !t.data[name] {
		if err := checkYAML(f.name, f.data); err != nil {
			return nil, t.fail(err)
		}
	}
	return append([]byte(nil), f.data...), nil
}

func isKustomization(name string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name))
}

// CleanedAbs implements filesys.FileSystem.
func (t *treeFS) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	name, err := t.name(p)
	if err != nil {
		return "", "", err
	}
	if ok, err := t.reader.exists(name); err != nil {
		return "", "", t.fail(err)
	} else if !ok {
		return "", "", fs.ErrNotExist
	}
	real, err := t.reader.tree.RealPath(name)
	if err != nil {
		return "", "", t.fail(fileError(name, err))
	}
	if t.reader.isFolder(name) {
		return filesys.ConfirmedDir(path.Join(mount, real)), "", nil
	}
	return filesys.ConfirmedDir(path.Join(mount, path.Dir(real))), path.Base(real), nil
}

// IsDir implements filesys.FileSystem.
func (t *treeFS) IsDir(p string) bool {
	name, err := t.name(p)
	return err == nil && t.reader.isFolder(name)
}

// Exists implements filesys.FileSystem.
func (t *treeFS) Exists(p string) bool {
	name, err := t.name(p)
	if err != nil {
		return false
	}
	t.reader.note(fact{name: name})
	ok, err := t.reader.exists(name)
	return ok && err == nil
}

// What a build never does. Each is refused, so that a kustomize which begins to use it fails instead of reading past the
// checks above.

// Create implements filesys.FileSystem: it refuses.
func (*treeFS) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir implements filesys.FileSystem: it refuses.
func (*treeFS) Mkdir(string) error { return errReadOnly }

// MkdirAll implements filesys.FileSystem: it refuses.
func (*treeFS) MkdirAll(string) error { return errReadOnly }

// RemoveAll implements filesys.FileSystem: it refuses.
func (*treeFS) RemoveAll(string) error { return errReadOnly }

// WriteFile implements filesys.FileSystem: it refuses.
func (*treeFS) WriteFile(string, []byte) error { return errReadOnly }

// Open implements filesys.FileSystem: it refuses, ReadFile is the one way to content.
func (*treeFS) Open(string) (filesys.File, error) { return nil, errReadOnly }

// ReadDir implements filesys.FileSystem: it refuses.
func (*treeFS) ReadDir(string) ([]string, error) { return nil, errReadOnly }

// Glob implements filesys.FileSystem: it refuses.
func (*treeFS) Glob(string) ([]string, error) { return nil, errReadOnly }

// Walk implements filesys.FileSystem: it refuses.
func (*treeFS) Walk(string, filepath.WalkFunc) error { return errReadOnly }
