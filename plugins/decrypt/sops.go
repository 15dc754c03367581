package decrypt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/sealbridge/sealbridge/crypto/sopsdoc"
	"github.com/sealbridge/sealbridge/crypto/sopsfile"
)

// agekeySuffix ends the keys of a decryption Secret that hold age identities, as in Flux (kustomize-controller v1.9).
const agekeySuffix = ".agekey"

type sopsDecryptor struct{ identities []age.Identity }

// SOPS returns the decryptor of SOPS files. secret is the data of a decryption Secret: each entry whose name ends in
// ".agekey" holds age identities, one per line; other entries (Flux's keys for PGP and cloud services) are not used.
// With a nil secret the decryptor still detects SOPS files, and says whose key would open them. It fails with ErrRefused
// when the Secret has no age identity or one that cannot be used; the error names the entry, never its content.
func SOPS(secret map[string][]byte) (Decryptor, error) {
	if secret == nil {
		return sopsDecryptor{}, nil
	}
	var identities []age.Identity
	for _, name := range slices.Sorted(maps.Keys(secret)) {
		if !strings.HasSuffix(name, agekeySuffix) {
			continue
		}
		ids, err := sopsfile.ParseIdentities(secret[name])
		if err != nil {
			return nil, fmt.Errorf("%w: entry %q of the decryption Secret: %w", ErrRefused, name, err)
		}
		identities = append(identities, ids...)
	}
	if len(identities) == 0 {
		return nil, fmt.Errorf("%w: the decryption Secret has no age key; add an entry whose name ends in %s", ErrRefused, agekeySuffix)
	}
	return sopsDecryptor{identities: identities}, nil
}

func (sopsDecryptor) Name() string { return "SOPS" }

func (sopsDecryptor) Detect(name string, doc []byte) bool {
	return sopsdoc.Detect(sopsdoc.FormatOf(name), doc)
}

func (d sopsDecryptor) Decrypt(ctx context.Context, name string, doc []byte) (*Document, error) {
	plain, err := sopsfile.Decrypt(ctx, sopsdoc.FormatOf(name), doc, d.identities)
	switch {
	case err == nil:
		return &Document{Plain: plain.Document, Sealed: plain.Sealed}, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, sopsfile.ErrNoKey):
		return nil, classed{ErrNoKey, err}
	default:
		return nil, classed{ErrRefused, err}
	}
}

// classed gives an error a class without changing its text.
type classed struct{ class, err error }

func (e classed) Error() string   { return e.err.Error() }
func (e classed) Unwrap() []error { return []error{e.class, e.err} }
