package build

import (
	"bytes"
	"errors"

	"github.com/sealbridge/sealbridge/internal/manifest"
)

// plain adds the objects of a file that is no part of a kustomization.
func (b *builder) plain(f *file) error {
	documents, err := manifest.Read(bytes.NewReader(f.data), manifest.Limits{Documents: b.reader.limits.Objects})
	if err != nil {
		return manifestError(f.name, err)
	}
	for _, document := range documents {
		items, err := manifest.Items(document)
		if err != nil {
			return manifestError(f.name, err)
		}
		for _, item := range items {
			if err := b.add(item.Object, f.name, f.sealed != nil, f.sealed); err != nil {
				return err
			}
		}
	}
	return nil
}

// manifestError names the file of an error of package manifest, whose texts are safe to show.
func manifestError(name string, err error) error {
	var of *manifest.Error
	if errors.As(err, &of) || errors.Is(err, manifest.ErrTooLarge) || errors.Is(err, manifest.ErrTooMany) {
		return invalid("%s: %w", show(name), err)
	}
	return invalid("%s cannot be read as YAML or JSON", show(name))
}
