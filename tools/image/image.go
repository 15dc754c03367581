package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	program = "sealbridge-controller"
	// user is nobody's in particular, so that a cluster which refuses root takes the image as it is.
	user = "65532:65532"
	// authorities is where Go's programs look for them first. Whoever has others mounts a file there, or names one in SSL_CERT_FILE.
	authorities = "etc/ssl/certs/ca-certificates.crt"
)

// release is what an image says of itself.
type release struct {
	name              name.Tag
	version, revision string
	created           time.Time
}

// labels are those of the OCI image specification.
func (r release) labels() map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title":       program,
		"org.opencontainers.image.description": "SealBridge's controller: materializes external and sealed secrets, and syncs Git repositories, without plaintext in Git",
		"org.opencontainers.image.source":      "https://github.com/sealbridge/sealbridge",
		"org.opencontainers.image.created":     r.created.Format(time.RFC3339),
		"org.opencontainers.image.version":     r.version,
		"org.opencontainers.image.revision":    r.revision,
	}
	for key, value := range labels {
		if value == "" {
			delete(labels, key)
		}
	}
	return labels
}

// images is what was made: an index, and the image of each platform.
type images struct {
	index     v1.ImageIndex
	platforms []v1.Platform
	images    []v1.Image
}

// build makes the image of each platform of the programs below a folder.
func build(r release, programs string, platforms []v1.Platform) (*images, error) {
	roots, err := rootsLayer()
	if err != nil {
		return nil, fmt.Errorf("make the layer of certificate authorities: %w", err)
	}
	made := &images{platforms: platforms, index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex)}
	for _, platform := range platforms {
		path := filepath.Join(programs, platform.OS, platform.Architecture, program)
		binary, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read the program for %s: %w", platform, err)
		}
		image, err := buildImage(r, platform, roots, binary)
		if err != nil {
			return nil, fmt.Errorf("make the image for %s: %w", platform, err)
		}
		made.images = append(made.images, image)
		made.index = mutate.AppendManifests(made.index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	index, ok := mutate.Annotations(made.index, r.labels()).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("annotate the index: it is a %T", made.index)
	}
	made.index = index
	return made, nil
}

// buildImage puts the program over the authorities, which change less often.
func buildImage(r release, platform v1.Platform, roots v1.Layer, binary []byte) (v1.Image, error) {
	top, err := layer([]file{{name: program, mode: 0o755, content: binary}})
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Created: v1.Time{Time: r.created}, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{User: user, Entrypoint: []string{"/" + program}, WorkingDir: "/", Labels: r.labels()},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(image,
		mutate.Addendum{Layer: roots, History: v1.History{CreatedBy: "the certificate authorities that Mozilla trusts", Created: v1.Time{Time: r.created}}},
		mutate.Addendum{Layer: top, History: v1.History{CreatedBy: "make image", Created: v1.Time{Time: r.created}}},
	)
}

// rootsLayer has the authorities that Mozilla trusts without a condition: a file cannot say that one is trusted for certificates of
// before a day only.
func rootsLayer() (v1.Layer, error) {
	var roots bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return layer([]file{
		{name: "etc/", mode: 0o755}, {name: "etc/ssl/", mode: 0o755}, {name: "etc/ssl/certs/", mode: 0o755},
		{name: authorities, mode: 0o644, content: roots.Bytes()},
	})
}

// file is a file of root's that others may read, or a folder when its name ends with a slash.
type file struct {
	name    string
	mode    int64
	content []byte
}

// layer returns files as a layer that depends on nothing else. What did not change since the last release is not pulled again.
func layer(files []file) (v1.Layer, error) {
	var packed bytes.Buffer
	if err := pack(&packed, files); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
}

// pack writes files of 1970 to a tar archive.
func pack(w io.Writer, files []file) error {
	archive := tar.NewWriter(w)
	for _, f := range files {
		kind := byte(tar.TypeReg)
		if f.content == nil {
			kind = tar.TypeDir
		}
		header := &tar.Header{Typeflag: kind, Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := archive.Write(f.content); err != nil {
			return fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	return archive.Close()
}
