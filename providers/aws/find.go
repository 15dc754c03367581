package aws

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// checkQuery refuses a search for nothing in particular below a path, which External Secrets Operator does not know either.
func (s *session) checkQuery(q providers.Query) error {
	if q.Path != nil && q.Name == nil && len(q.Tags) == 0 {
		return s.api.Errorf(providers.ErrInvalid, "find.path alone finds nothing: find by name (find.name.regexp: .* for all) or tags")
	}
	return nil
}

// unlisted explains why AWS lists nothing. What it has not got then is no document, and deletion policies act on those that it
// has not got.
func (s *session) unlisted(err error, o awsidentity.Operation) error {
	err = s.api.Explain(err, o)
	if errors.Is(err, providers.ErrNotFound) {
		return s.api.Errorf(providers.ErrInvalid, "AWS has nothing to list for %s; correct %s or the store's region", o.On, o.Cure)
	}
	return err
}

// The bounds of a list: what imitates AWS may answer for ever that there are more pages, and with names of any length.
const (
	maxPages = 2_500
	maxName  = 2_048
)

// pages are the pages of one list that were answered so far, by hashes of their tokens, which may be as large as an answer.
type pages map[[sha256.Size]byte]bool

// isName reports whether AWS may call something so.
func isName(name *string) bool {
	return name != nil && len(*name) <= maxName && strings.TrimSpace(*name) != ""
}

// following returns the token of the page that follows; nil after the last. One that comes again would be followed for ever.
func (s *session) following(seen pages, answered *string) (*string, error) {
	token := aws.ToString(answered)
	page := sha256.Sum256([]byte(token))
	switch {
	case token == "":
		return nil, nil //nolint:nilnil // there is no other page
	case seen[page]:
		return nil, s.api.Strange()
	case len(seen) == maxPages:
		return nil, s.api.Errorf(providers.ErrInvalid, "AWS lists more than %d pages, which is more than a search looks at; narrow find by path or tags", maxPages)
	}
	seen[page] = true
	return answered, nil
}

// collection is what a search has found so far.
type collection struct {
	*session
	// noun is what the service calls its documents.
	noun  string
	found []providers.Found
	size  int
}

// add adds a document that was found under a name.
func (c *collection) add(name string, r providers.Result) error {
	value, err := r.Document.Value("")
	if err != nil {
		return err
	}
	c.found = append(c.found, providers.Found{Name: name, Value: value, Version: r.Version})
	c.size += value.Len()
	return c.fits(len(c.found))
}

// fits refuses more than a search may find.
func (c *collection) fits(matches int) error {
	if matches > providers.MaxFound || c.size > providers.MaxFoundSize {
		return c.api.Errorf(providers.ErrInvalid, "more than %d %s, or %d MiB of them, match; narrow find", providers.MaxFound, c.noun, providers.MaxFoundSize>>20)
	}
	return nil
}

// read reads the documents with these names, all or none of them. One that was deleted since it was listed is left out.
func (c *collection) read(ctx context.Context, names []string, from reader) error {
	for chunk := range slices.Chunk(names, 5*max(from.Batch(), parallel)) {
		refs := make([]providers.Ref, len(chunk))
		for i, name := range chunk {
			refs[i].Key = name
		}
		results, err := c.fetch(ctx, refs, from)
		if err != nil {
			return err
		}
		for i, r := range results {
			switch {
			case errors.Is(r.Err, providers.ErrNotFound):
				continue
			case r.Err != nil:
				return reading.OfAll(r.Err)
			}
			if err := c.add(chunk[i], r); err != nil {
				return err
			}
		}
	}
	return nil
}

// sorted returns what was found in the order of the names, each once: what changes while it is listed can be on two pages.
func (c *collection) sorted() []providers.Found {
	slices.SortStableFunc(c.found, func(a, b providers.Found) int { return cmp.Compare(a.Name, b.Name) })
	if c.found == nil {
		return []providers.Found{}
	}
	return slices.CompactFunc(c.found, func(a, b providers.Found) bool { return a.Name == b.Name })
}

// sortedKeys returns the names of tags in a steady order.
func sortedKeys(tags map[string]string) []string { return slices.Sorted(maps.Keys(tags)) }
