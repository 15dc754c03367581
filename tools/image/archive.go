package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// write writes the images as `docker save` does: a layout of the OCI specification, with all platforms, and beside its index the
// manifest.json of those that know no such layout, with one.
func write(archive string, tag name.Tag, made *images) (err error) {
	dir, err := os.MkdirTemp("", "sealbridge-image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	// containerd takes an image's name from here.
	known := strings.Replace(tag.Name(), name.DefaultRegistry, "docker.io", 1)
	named := layout.WithAnnotations(map[string]string{"io.containerd.image.name": known, "org.opencontainers.image.ref.name": tag.TagStr()})
	if err := path.AppendIndex(made.index, named); err != nil {
		return err
	}
	manifest, err := made.manifest(known)
	if err != nil {
		return err
	}
	if err := path.WriteFile("manifest.json", manifest, 0o600); err != nil {
		return err
	}
	files, err := read(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o750); err != nil {
		return err
	}
	out, err := os.Create(archive)
	if err != nil {
		return err
	}
	if err := pack(out, files); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// manifest lists the image of this machine's architecture, else the first.
func (i *images) manifest(known string) ([]byte, error) {
	at := max(0, slices.IndexFunc(i.platforms, func(p v1.Platform) bool { return p.Architecture == runtime.GOARCH }))
	m, err := i.images[at].Manifest()
	if err != nil {
		return nil, err
	}
	blob := func(d v1.Descriptor) string { return "blobs/" + d.Digest.Algorithm + "/" + d.Digest.Hex }
	one := tarball.Descriptor{Config: blob(m.Config), RepoTags: []string{known}}
	for _, layer := range m.Layers {
		one.Layers = append(one.Layers, blob(layer))
	}
	return json.Marshal(tarball.Manifest{one})
}

// read returns all that is below a folder, in the order of the names.
func read(dir string) ([]file, error) {
	var files []file
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		if entry.IsDir() {
			files = append(files, file{name: path + "/", mode: 0o755})
			return nil
		}
		content, err := fs.ReadFile(root, path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		files = append(files, file{name: path, mode: 0o644, content: content})
		return nil
	})
	return files, err
}
