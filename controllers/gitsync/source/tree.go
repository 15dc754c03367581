package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/sealbridge/sealbridge/providers"
)

// Tree is the content of one commit: a read-only file system (fs.FS, ReadFileFS, ReadDirFS, StatFS, ReadLinkFS) that is
// safe for concurrent use. Names are slash-separated and relative to the repository's root, which is ".". Symbolic links
// are followed inside the tree; one that leads out of it is an error that names it. Submodules, Git LFS pointers and
// files over the limit exist and cannot be read. Errors of reading are *fs.PathError around one of a class of providers.
type Tree struct {
	storage *memory.Storage
	commit  plumbing.Hash
	root    plumbing.Hash
	when    time.Time
	limits  Limits

	mu      sync.RWMutex
	decoded map[plumbing.Hash]map[string]object.TreeEntry
}

var (
	_ fs.ReadFileFS = (*Tree)(nil)
	_ fs.ReadDirFS  = (*Tree)(nil)
	_ fs.StatFS     = (*Tree)(nil)
	_ fs.ReadLinkFS = (*Tree)(nil)
)

func newTree(storage *memory.Storage, commit plumbing.Hash, limits Limits) (*Tree, error) {
	c, err := object.GetCommit(storage, commit)
	if err != nil {
		return nil, err
	}
	if _, err := storage.EncodedObject(plumbing.TreeObject, c.TreeHash); err != nil {
		return nil, errMalformedPack
	}
	return &Tree{
		storage: storage, commit: commit, root: c.TreeHash, when: c.Committer.When, limits: limits,
		decoded: map[plumbing.Hash]map[string]object.TreeEntry{},
	}, nil
}

// Commit returns the full SHA-1 of the commit in hex.
func (t *Tree) Commit() string { return t.commit.String() }

// Digest identifies what a name leads to: where it really is after symbolic links, and Git's own hash of the file or
// folder there. Equal digests mean equal content. It fails as Stat does.
func (t *Tree) Digest(name string) (string, error) {
	found, err := t.find("digest", name, true)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %o %s", found.path, uint32(found.entry.Mode), found.entry.Hash), nil
}

// RealPath returns name with symbolic links resolved.
func (t *Tree) RealPath(name string) (string, error) {
	found, err := t.find("realpath", name, true)
	return found.path, err
}

// Open implements fs.FS.
func (t *Tree) Open(name string) (fs.File, error) {
	found, err := t.find("open", name, true)
	if err != nil {
		return nil, err
	}
	if found.entry.Mode == filemode.Dir {
		entries, err := t.ReadDir(name)
		if err != nil {
			return nil, err
		}
		return &openDir{info: t.info(found), entries: entries}, nil
	}
	data, err := t.read("open", name, found)
	if err != nil {
		return nil, err
	}
	return &openFile{info: t.info(found), Reader: strings.NewReader(string(data))}, nil
}

// ReadFile implements fs.ReadFileFS.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	found, err := t.find("read", name, true)
	if err != nil {
		return nil, err
	}
	return t.read("read", name, found)
}

// ReadDir implements fs.ReadDirFS: the entries of a folder by name, symbolic links as such.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	found, err := t.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if found.entry.Mode != filemode.Dir {
		return nil, pathError("readdir", name, errors.New("is not a folder"))
	}
	return t.list("readdir", name, found)
}

// Stat implements fs.StatFS.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	found, err := t.find("stat", name, true)
	if err != nil {
		return nil, err
	}
	return t.info(found), nil
}

// Lstat implements fs.ReadLinkFS.
func (t *Tree) Lstat(name string) (fs.FileInfo, error) {
	found, err := t.find("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return t.info(found), nil
}

// ReadLink implements fs.ReadLinkFS.
func (t *Tree) ReadLink(name string) (string, error) {
	found, err := t.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if found.entry.Mode != filemode.Symlink {
		return "", pathError("readlink", name, fs.ErrInvalid)
	}
	return t.target(found.entry.Hash)
}

func pathError(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

func invalid(format string, args ...any) error {
	return providers.Errorf(providers.ErrInvalid, format, args...)
}

const (
	maxLinks      = 40
	maxLinkTarget = 4096
)

// place is an entry and where it really is.
type place struct {
	path  string
	entry object.TreeEntry
}

// find walks from the root to name and follows symbolic links on the way, the last one only when follow is set.
func (t *Tree) find(op, name string, follow bool) (place, error) {
	if !fs.ValidPath(name) {
		return place{}, pathError(op, name, fs.ErrInvalid)
	}
	root := place{path: ".", entry: object.TreeEntry{Mode: filemode.Dir, Hash: t.root}}
	here, links := root, 0
	rest := strings.Split(name, "/")
	if name == "." {
		rest = nil
	}
	for len(rest) > 0 {
		entry, err := t.child(here, rest[0])
		if err != nil {
			return place{}, pathError(op, name, err)
		}
		at := path.Join(here.path, rest[0])
		rest = rest[1:]
		if entry.Mode != filemode.Symlink || (len(rest) == 0 && !follow) {
			here = place{path: at, entry: entry}
			continue
		}
		if links++; links > maxLinks {
			return place{}, pathError(op, name, invalid("symbolic link %s is part of a cycle", at))
		}
		target, err := t.target(entry.Hash)
		if err != nil {
			return place{}, pathError(op, name, err)
		}
		resolved := path.Join(here.path, target)
		if path.IsAbs(target) || !fs.ValidPath(resolved) {
			return place{}, pathError(op, name, invalid("symbolic link %s leads out of the repository", at))
		}
		if resolved != "." {
			rest = append(strings.Split(resolved, "/"), rest...)
		}
		here = root
	}
	return here, nil
}

func (t *Tree) child(dir place, name string) (object.TreeEntry, error) {
	switch dir.entry.Mode {
	case filemode.Dir:
	case filemode.Submodule:
		return object.TreeEntry{}, errSubmodule
	default:
		return object.TreeEntry{}, fs.ErrNotExist
	}
	entries, err := t.entries(dir.entry.Hash)
	if err != nil {
		return object.TreeEntry{}, err
	}
	entry, ok := entries[name]
	if !ok {
		return object.TreeEntry{}, fs.ErrNotExist
	}
	return entry, nil
}

var errSubmodule = invalid("is a submodule, which is not fetched; copy its files or give it a GitSync of its own")

// entries decodes a folder once.
func (t *Tree) entries(hash plumbing.Hash) (map[string]object.TreeEntry, error) {
	t.mu.RLock()
	entries, ok := t.decoded[hash]
	t.mu.RUnlock()
	if ok {
		return entries, nil
	}
	tree, err := object.GetTree(t.storage, hash)
	if err != nil {
		return nil, invalid("the folder's content cannot be read from the repository")
	}
	entries = make(map[string]object.TreeEntry, len(tree.Entries))
	for _, entry := range tree.Entries {
		if _, double := entries[entry.Name]; double || !fs.ValidPath(entry.Name) || entry.Name == "." || strings.Contains(entry.Name, "/") {
			return nil, invalid("a folder has an entry with a name that Git itself would refuse")
		}
		entries[entry.Name] = entry
	}
	t.mu.Lock()
	t.decoded[hash] = entries
	t.mu.Unlock()
	return entries, nil
}

func (t *Tree) target(hash plumbing.Hash) (string, error) {
	data, err := t.blob(hash, maxLinkTarget)
	if err != nil {
		return "", err
	}
	return string(data), nil
}

// lfsPointer begins a file that stands for a larger one (Git LFS specification, version 1).
const lfsPointer = "version https://git-lfs.github.com/spec/"

func (t *Tree) read(op, name string, found place) ([]byte, error) {
	switch found.entry.Mode {
	case filemode.Dir:
		return nil, pathError(op, name, errors.New("is a folder"))
	case filemode.Submodule:
		return nil, pathError(op, name, errSubmodule)
	default:
	}
	data, err := t.blob(found.entry.Hash, t.limits.FileBytes)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	if strings.HasPrefix(string(data[:min(len(data), len(lfsPointer))]), lfsPointer) {
		return nil, pathError(op, name, invalid("is a Git LFS pointer, and LFS is not supported; commit the file itself"))
	}
	return data, nil
}

func (t *Tree) blob(hash plumbing.Hash, limit int64) ([]byte, error) {
	obj, err := t.storage.EncodedObject(plumbing.BlobObject, hash)
	if err != nil {
		return nil, invalid("the file's content is not in the repository")
	}
	if obj.Size() > limit {
		return nil, invalid("is larger than %s", size(limit))
	}
	r, err := obj.Reader()
	if err != nil {
		return nil, invalid("the file's content cannot be read from the repository")
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil || int64(len(data)) != obj.Size() {
		return nil, invalid("the file's content cannot be read from the repository")
	}
	return data, nil
}

func size(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}
