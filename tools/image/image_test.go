package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// programs returns a folder with a program for each platform, of the mode.
func programs(t *testing.T, mode os.FileMode, platforms ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, platform := range platforms {
		if err := os.MkdirAll(filepath.Join(dir, platform), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, platform, program), []byte("for "+platform), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// made runs the command, and returns what it says and the archive.
func made(t *testing.T, programs string, args ...string) (said, archive string) {
	t.Helper()
	archive = filepath.Join(t.TempDir(), "image.tar")
	var out bytes.Buffer
	args = append([]string{"-programs", programs, "-o", archive, "-version", "v1", "-created", "1700000000"}, args...)
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	return out.String(), archive
}

// holds checks that an image has the program of a platform.
func holds(t *testing.T, image v1.Image, platform string) {
	t.Helper()
	if err := validate.Image(image); err != nil {
		t.Error(err)
	}
	files := tar.NewReader(mutate.Extract(image))
	for {
		header, err := files.Next()
		if err != nil {
			t.Fatalf("no program: %v", err)
		}
		if header.Name != program {
			continue
		}
		if content, err := io.ReadAll(files); err != nil || string(content) != "for "+platform {
			t.Errorf("the program of %s is %q: %v", platform, content, err)
		}
		return
	}
}

func TestTheSameProgramsMakeTheSameImage(t *testing.T) {
	t.Parallel()
	platforms := []string{"linux/amd64", "linux/arm64"}
	args := append([]string{"-name", "registry.example/controller:v1"}, platforms...)
	first, archive := made(t, programs(t, 0o600, platforms...), args...)
	second, again := made(t, programs(t, 0o755, platforms...), args...)
	if strings.TrimPrefix(first, archive) != strings.TrimPrefix(second, again) {
		t.Errorf("%s is not %s", second, first)
	}
	a, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(again); err != nil || !bytes.Equal(a, b) {
		t.Errorf("the archives differ: %v", err)
	}
}

func TestAnArchiveIsReadAsDockersAndAsALayoutOfOCI(t *testing.T) {
	t.Parallel()
	said, archive := made(t, programs(t, 0o755, "linux/arm64", "linux/riscv64"), "-name", "controller:v1", "linux/arm64", "linux/riscv64")
	tag, err := name.NewTag("controller:v1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(archive, &tag)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, image, "linux/arm64")

	dir := t.TempDir()
	packed, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	for files := tar.NewReader(packed); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+header.Name))
		if header.FileInfo().IsDir() {
			err = os.Mkdir(path, 0o700)
		} else if content, readErr := io.ReadAll(files); readErr == nil {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(outer); err != nil {
		t.Error(err)
	}
	manifest, err := outer.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%+v, %v", manifest, err)
	}
	is := manifest.Manifests[0]
	if is.Annotations["io.containerd.image.name"] != "docker.io/library/controller:v1" || !strings.HasSuffix(said, "@"+is.Digest.String()+"\n") {
		t.Errorf("the archive has %+v, and the command says %s", is, said)
	}
}

func TestARegistryHasTheImageOfEachPlatform(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New())
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "http://") + "/team/controller:v1"
	said, _ := made(t, programs(t, 0o755, "linux/amd64", "linux/arm64"), "-push", "-name", ref, "linux/amd64", "linux/arm64")
	if !strings.Contains(said, "pushed "+ref+"\n") {
		t.Error(said)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		image, err := remote.Image(tag, remote.WithContext(t.Context()), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
		if err != nil {
			t.Fatal(err)
		}
		holds(t, image, "linux/"+arch)
	}
}

func TestWhatCannotBeMeantSaysWhatCan(t *testing.T) {
	t.Parallel()
	dir := programs(t, 0o755, "linux/amd64")
	for want, args := range map[string][]string{
		`"A:b" is no name of an image`:                  {"-name", "A:b", "linux/amd64"},
		"names no registry to push to":                  {"-name", "controller:v1", "-push", "linux/amd64"},
		`"amd64" is no platform: use linux/amd64`:       {"-name", "controller:v1", "amd64"},
		"no platform is named":                          {"-name", "controller:v1"},
		"read the program for linux/arm64: open " + dir: {"-name", "controller:v1", "linux/arm64"},
		"flag provided but not defined: -platform":      {"-platform", "linux/amd64"},
	} {
		args = append([]string{"-programs", dir, "-o", filepath.Join(t.TempDir(), "image.tar")}, args...)
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
