package gitsync

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sealbridge/sealbridge/api/sealbridge/v1alpha1"
)

// Repository is where a GitSync's files come from.
type Repository struct {
	URL string
	// Ref is nil for the default branch.
	Ref *v1alpha1.GitRef
	// Credentials are the data of spec.secretRef's Secret; nil when there is none.
	Credentials map[string][]byte
}

// Git reads repositories. Errors are of a class of package providers, or *Problem, and safe to show.
type Git interface {
	// Resolve asks the remote which revision the repository's reference points to, such as "main@sha1:<hex>".
	Resolve(ctx context.Context, repo Repository) (revision string, err error)
	// Checkout reads the revision.
	Checkout(ctx context.Context, repo Repository, revision string) (Checkout, error)
}

// Checkout is one revision in memory; its encrypted files are still encrypted.
type Checkout interface {
	// Build returns the objects of the path. keys are the data of the decryption Secret; nil when there is none.
	Build(ctx context.Context, path string, keys map[string][]byte) (*Built, error)
	// Trim frees what the builds so far did not read; later builds must be of the same path with the same keys.
	Trim()
}

// Built is what a path of a revision holds.
type Built struct {
	// Objects are owned by the caller and may hold decrypted values.
	Objects []Desired
	// Plaintext names the Secrets whose values lie in Git unencrypted, by file and key; nil when there are none.
	Plaintext error
	// Digest identifies the files that were read, as they are in Git.
	Digest string
	// Same reports whether another checkout would give the same objects under the same keys.
	Same func(other Checkout) bool
}

// Desired is one object as Git has it.
type Desired struct {
	Object *unstructured.Unstructured
	// Sensitive marks objects of decrypted files.
	Sensitive bool
}

// Problem is an error with the reason of the API that describes it.
type Problem struct {
	Reason string
	// Terminal means that only another revision, spec or key cures it.
	Terminal bool
	Err      error
}

func (p *Problem) Error() string { return p.Err.Error() }
func (p *Problem) Unwrap() error { return p.Err }
