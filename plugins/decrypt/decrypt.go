// Package decrypt is the contract between a document that lies encrypted in a repository and whoever needs it plain, and
// the decryptors that are built in.
//
// It takes a file's name and bytes, finds the decryptor that the document itself asks for, and returns the plain document
// together with the knowledge of which values had been encrypted. GitSync and every tool that SealBridge plugs into use
// the same decryptors; nothing here does I/O.
package decrypt

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Decryptor opens one kind of encrypted document. It holds its keys, no other state, and is safe for concurrent use.
type Decryptor interface {
	// Name is how messages call the kind, for example "SOPS".
	Name() string
	// Detect says whether the document is of this kind, from what its format declares about itself (metadata, a version
	// line) and never from values that look encrypted. A damaged document of the kind is still of the kind.
	Detect(name string, doc []byte) bool
	// Decrypt returns the plain document after its integrity was verified, or nothing: it refuses what it does not fully
	// understand. Errors are one of this package's classes or the context's cause, and quote neither values nor keys.
	Decrypt(ctx context.Context, name string, doc []byte) (*Document, error)
}

// The classes of errors. None of them goes away until the document or the keys change.
var (
	// ErrNoKey: the keys at hand do not open the document.
	ErrNoKey = errors.New("no usable key")
	// ErrRefused: the document is damaged, was changed after it was encrypted, or asks for more than is allowed.
	ErrRefused = errors.New("refused")
)

// Document is a plain document.
type Document struct {
	// Plain is the document in the format that its name says, without the decryptor's metadata.
	Plain []byte
	// Sealed says whether a value was encrypted in the document.
	Sealed func(value []byte) bool
}

// First opens doc with the first of the decryptors that detects it. It returns nil and no error when none does: the
// document is not encrypted. Errors begin with the file's name.
func First(ctx context.Context, decryptors []Decryptor, name string, doc []byte) (*Document, error) {
	for _, d := range decryptors {
		if !d.Detect(name, doc) {
			continue
		}
		document, err := d.Decrypt(ctx, name, doc)
		if err != nil {
			return nil, fmt.Errorf("decrypt %s (%s): %w", printable(name), d.Name(), err)
		}
		return document, nil
	}
	return nil, nil
}

// printable makes a file name fit for a message: names come from repositories and can hold line breaks.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(name, "?"))
}
