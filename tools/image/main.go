// Command image makes an OCI image of the controller without a container daemon: the program of each platform, the roots of
// public certificate authorities, and nothing else.
//
// It takes a folder with the programs, as linux/amd64/sealbridge-controller, and the platforms that the image is for, and writes
// an archive that docker, containerd (so kind) and crane read. Programs that are the same make an image that is the same,
// whenever and wherever it is made:
//
//	image -name registry.example/sealbridge-controller:v1 -programs bin/image -o bin/image.tar linux/amd64 linux/arm64
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var r release
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	ref := flags.String("name", "", "name of the image, as registry.example/sealbridge-controller:v1")
	programs := flags.String("programs", "", "folder with the programs, by platform")
	archive := flags.String("o", "", "where the archive is written")
	push := flags.Bool("push", false, "push the image to its registry, too, with the login of docker or podman")
	created := flags.Int64("created", 0, "when the source was committed, in seconds since 1970")
	flags.StringVar(&r.version, "version", "", "version of the program")
	flags.StringVar(&r.revision, "revision", "", "commit of the program")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if r.name, err = name.NewTag(*ref); err != nil {
		return fmt.Errorf("%q is no name of an image: use registry.example/sealbridge-controller:v1, for one: %w", *ref, err)
	}
	if *push && !strings.ContainsAny(*ref, "/") {
		return fmt.Errorf("%s names no registry to push to: use registry.example/%s, for one (make push IMAGE=...)", *ref, *ref)
	}
	r.created = time.Unix(*created, 0).UTC()
	var platforms []v1.Platform
	for _, arg := range flags.Args() {
		platform, err := v1.ParsePlatform(arg)
		if err != nil || platform.OS == "" || platform.Architecture == "" {
			return fmt.Errorf("%q is no platform: use linux/amd64 or linux/arm64, for example", arg)
		}
		platforms = append(platforms, *platform)
	}
	if len(platforms) == 0 {
		return errors.New("no platform is named: use linux/amd64, for one")
	}
	made, err := build(r, *programs, platforms)
	if err != nil {
		return err
	}
	if err := write(*archive, r.name, made); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	digest, err := made.index.Digest()
	if err != nil {
		return fmt.Errorf("describe the image: %w", err)
	}
	fmt.Fprintf(out, "%s: %s@%s\n", *archive, *ref, digest)
	if !*push {
		return nil
	}
	if err := remote.WriteIndex(r.name, made.index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push %s: %w", *ref, err)
	}
	fmt.Fprintf(out, "pushed %s\n", *ref)
	return nil
}
