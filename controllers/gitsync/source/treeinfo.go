package source

import (
	"cmp"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// info describes an entry as fs.FileInfo and fs.DirEntry.
type info struct {
	name string
	mode fs.FileMode
	size int64
	when time.Time
}

var (
	_ fs.FileInfo = info{}
	_ fs.DirEntry = info{}
)

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.size }
func (i info) Mode() fs.FileMode          { return i.mode }
func (i info) Type() fs.FileMode          { return i.mode.Type() }
func (i info) ModTime() time.Time         { return i.when }
func (i info) IsDir() bool                { return i.mode.IsDir() }
func (i info) Sys() any                   { return nil }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
func (i info) String() string             { return fs.FormatFileInfo(i) }

func (t *Tree) info(p place) info {
	i := info{name: path.Base(p.path), when: t.when, mode: modeOf(p.entry.Mode)}
	if i.mode.IsRegular() || i.mode.Type() == fs.ModeSymlink {
		if size, err := t.storage.EncodedObjectSize(p.entry.Hash); err == nil {
			i.size = size
		}
	}
	return i
}

// modeOf translates Git's modes; a submodule is something that is neither a file nor a folder here.
func modeOf(mode filemode.FileMode) fs.FileMode {
	switch mode {
	case filemode.Dir:
		return fs.ModeDir | 0o555
	case filemode.Symlink:
		return fs.ModeSymlink | 0o777
	case filemode.Submodule:
		return fs.ModeIrregular
	case filemode.Executable:
		return 0o555
	default:
		return 0o444
	}
}

func (t *Tree) list(op, name string, dir place) ([]fs.DirEntry, error) {
	entries, err := t.entries(dir.entry.Hash)
	if err != nil {
		return nil, pathError(op, name, err)
	}
	list := make([]fs.DirEntry, 0, len(entries))
	for _, entry := range entries {
		list = append(list, t.info(place{path: path.Join(dir.path, entry.Name), entry: entry}))
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return list, nil
}

type openFile struct {
	info
	*strings.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Size() int64                { return f.info.Size() }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	info
	entries []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *openDir) Close() error               { return nil }

// Read implements fs.File: it fails.
func (d *openDir) Read([]byte) (int, error) { return 0, pathError("read", d.name, fs.ErrInvalid) }

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		all := d.entries
		d.entries = nil
		return all, nil
	}
	if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	some := d.entries[:n]
	d.entries = d.entries[n:]
	return some, nil
}
