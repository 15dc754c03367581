package gitsync

import (
	"io/fs"
	"sync"

	"github.com/sealbridge/sealbridge/controllers/gitsync/build"
)

// memo is a tree that remembers every answer it gave. After forget it answers from memory alone: what one build read is
// enough to repeat that build, and far less than the repository. Encrypted files stay encrypted in it.
type memo struct {
	mu    sync.Mutex
	tree  build.Tree
	files map[string]answer[[]byte]
	dirs  map[string]answer[[]fs.DirEntry]
	infos map[string]answer[fs.FileInfo]
	// digests and paths answer Digest and RealPath.
	digests, paths map[string]answer[string]
}

// answer is what a tree said about a name.
type answer[T any] struct {
	value T
	err   error
}

var _ build.Tree = (*memo)(nil)

func newMemo(tree build.Tree) *memo {
	return &memo{
		tree: tree, files: map[string]answer[[]byte]{}, dirs: map[string]answer[[]fs.DirEntry]{}, infos: map[string]answer[fs.FileInfo]{},
		digests: map[string]answer[string]{}, paths: map[string]answer[string]{},
	}
}

// forget lets the tree go.
func (m *memo) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tree = nil
}

// ask returns the remembered answer, or asks the tree.
func ask[T any](m *memo, known map[string]answer[T], name string, of func(build.Tree, string) (T, error)) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := known[name]
	switch {
	case ok:
	case m.tree == nil:
		a.err = &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	default:
		a.value, a.err = of(m.tree, name)
		known[name] = a
	}
	return a.value, a.err
}

// Open implements fs.FS; builds read by the other methods.
func (m *memo) Open(name string) (fs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tree == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return m.tree.Open(name)
}

// ReadFile implements fs.ReadFileFS.
func (m *memo) ReadFile(name string) ([]byte, error) {
	return ask(m, m.files, name, build.Tree.ReadFile)
}

// ReadDir implements fs.ReadDirFS.
func (m *memo) ReadDir(name string) ([]fs.DirEntry, error) {
	return ask(m, m.dirs, name, build.Tree.ReadDir)
}

// Stat implements fs.StatFS.
func (m *memo) Stat(name string) (fs.FileInfo, error) { return ask(m, m.infos, name, build.Tree.Stat) }

// Digest implements build.Tree.
func (m *memo) Digest(name string) (string, error) {
	return ask(m, m.digests, name, build.Tree.Digest)
}

// RealPath implements build.Tree.
func (m *memo) RealPath(name string) (string, error) {
	return ask(m, m.paths, name, build.Tree.RealPath)
}
