package install_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// image is what `make image` has made, as docker reads it.
type image struct {
	Architecture string
	OS           string
	Config       struct {
		User, WorkingDir     string
		Env, Entrypoint, Cmd []string
		Labels               map[string]string
	}
	// Files are in the order of the layers, and Root is where they are unpacked.
	Files []*tar.Header `json:"-"`
	Root  string        `json:"-"`
}

// unpack unpacks bin/sealbridge-controller.tar as a container's file system.
func unpack(t *testing.T) *image {
	t.Helper()
	packed, err := os.Open(process.Require(t, "sealbridge-controller.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	blobs := map[string][]byte{}
	err = each(packed, func(h *tar.Header, content io.Reader) error {
		raw, err := io.ReadAll(content)
		blobs[h.Name] = raw
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(blobs["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("the archive has the images %+v: %v", manifest, err)
	}
	i := &image{Root: t.TempDir()}
	if err := json.Unmarshal(blobs[manifest[0].Config], i); err != nil {
		t.Fatal(err)
	}
	for _, layer := range manifest[0].Layers {
		raw, err := gzip.NewReader(bytes.NewReader(blobs[layer]))
		if err != nil {
			t.Fatal(err)
		}
		if err := each(raw, i.add); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// each reads a tar archive.
func each(r io.Reader, do func(*tar.Header, io.Reader) error) error {
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(header, archive); err != nil {
			return err
		}
	}
}

// add unpacks a file as it is.
func (i *image) add(h *tar.Header, content io.Reader) error {
	i.Files = append(i.Files, h)
	path, mode := filepath.Join(i.Root, filepath.Clean("/"+h.Name)), h.FileInfo().Mode()
	if mode.IsDir() {
		return os.Mkdir(path, mode)
	}
	raw, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, raw, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask of the test is
}

// modes are those of the files, by their names.
func (i *image) modes() map[string]string {
	modes := map[string]string{}
	for _, h := range i.Files {
		modes[h.Name] = h.FileInfo().Mode().String()
	}
	return modes
}

// trust has the program take authorities for public ones.
func (i *image) trust(t *testing.T, authorities ...[]byte) {
	t.Helper()
	path := filepath.Join(i.Root, "etc/ssl/certs/ca-certificates.crt")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(raw, bytes.Join(authorities, nil)...), 0o644); err != nil {
		t.Fatal(err)
	}
}
