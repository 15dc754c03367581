package gitsync

import (
	"context"
	"errors"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
	"github.com/sealbridge/sealbridge/controllers/gitsync/build"
	"github.com/sealbridge/sealbridge/controllers/gitsync/source"
	"github.com/sealbridge/sealbridge/plugins/decrypt"
	"github.com/sealbridge/sealbridge/providers"
)

// repositories is the Git of packages source and build.
type repositories struct{ client *source.Client }

// NewGit returns the Git that reads real repositories through client.
func NewGit(client *source.Client) Git { return &repositories{client: client} }

// Resolve implements Git.
func (g *repositories) Resolve(ctx context.Context, repo Repository) (string, error) {
	spec, auth, err := locate(repo)
	if err != nil {
		return "", err
	}
	revision, err := g.client.Resolve(ctx, spec, auth)
	if err != nil {
		return "", sourceProblem(err)
	}
	return revision.String(), nil
}

// Checkout implements Git.
func (g *repositories) Checkout(ctx context.Context, repo Repository, revision string) (Checkout, error) {
	spec, auth, err := locate(repo)
	if err != nil {
		return nil, err
	}
	at, err := source.ParseRevision(revision)
	if err != nil {
		return nil, err
	}
	tree, err := g.client.Fetch(ctx, spec, auth, at)
	if err != nil {
		return nil, sourceProblem(err)
	}
	return &checkout{tree: newMemo(tree)}, nil
}

func locate(repo Repository) (source.Spec, source.Auth, error) {
	spec := source.Spec{URL: repo.URL}
	if repo.Ref != nil {
		spec.Ref = source.Ref{
			Branch: repo.Ref.Branch, Tag: repo.Ref.Tag, SemVer: repo.Ref.SemVer, Name: repo.Ref.Name, Commit: repo.Ref.Commit,
		}
	}
	auth, err := source.ParseAuth(repo.URL, repo.Credentials)
	if err != nil {
		return spec, auth, &Problem{Reason: v1alpha1.ReasonAuthenticationFailed, Err: err}
	}
	return spec, auth, nil
}

// sourceProblem gives an error of package source its reason.
func sourceProblem(err error) error {
	switch {
	case errors.Is(err, source.ErrTooLarge):
		return &Problem{Reason: v1alpha1.ReasonRepositoryTooLarge, Terminal: true, Err: err}
	case errors.Is(err, providers.ErrInvalid):
		return &Problem{Reason: v1alpha1.ReasonInvalid, Terminal: true, Err: err}
	case errors.Is(err, providers.ErrNotFound):
		return &Problem{Reason: v1alpha1.ReasonReferenceNotFound, Err: err}
	case errors.Is(err, providers.ErrDenied):
		return &Problem{Reason: v1alpha1.ReasonAuthenticationFailed, Err: err}
	default:
		return err
	}
}

// checkout is one revision of a real repository.
type checkout struct{ tree *memo }

// Build implements Checkout.
func (c *checkout) Build(ctx context.Context, path string, keys map[string][]byte) (*Built, error) {
	sops, err := decrypt.SOPS(keys)
	if err != nil {
		return nil, &Problem{Reason: v1alpha1.ReasonDecryptionFailed, Err: err}
	}
	result, err := build.Build(ctx, c.tree, build.Options{Path: path, Decryptors: []decrypt.Decryptor{sops}})
	if err != nil {
		return nil, buildProblem(err)
	}
	out := &Built{Plaintext: build.DenyPlaintext(result.Plaintext), Digest: result.Reads.Digest()}
	reads := result.Reads // not result, whose objects may hold decrypted values
	out.Same = func(other Checkout) bool {
		o, ok := other.(*checkout)
		return ok && reads.Unchanged(o.tree)
	}
	for _, o := range result.Objects {
		out.Objects = append(out.Objects, Desired{Object: o.Unstructured, Sensitive: o.Sensitive})
	}
	return out, nil
}

// Trim implements Checkout.
func (c *checkout) Trim() { c.tree.forget() }

// buildProblem gives an error of package build its reason.
func buildProblem(err error) error {
	switch {
	case errors.Is(err, build.ErrPathNotFound):
		return &Problem{Reason: v1alpha1.ReasonPathNotFound, Terminal: true, Err: err}
	case errors.Is(err, build.ErrDecryption):
		return &Problem{Reason: v1alpha1.ReasonDecryptionFailed, Err: err}
	case errors.Is(err, providers.ErrInvalid):
		return &Problem{Reason: v1alpha1.ReasonBuildFailed, Terminal: true, Err: err}
	default:
		return err
	}
}
