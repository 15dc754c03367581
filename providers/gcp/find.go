package gcp

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"

	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// The bounds of a search, beside those of the contract: how many secrets are looked at, and how many come in one answer, which
// with as many labels and annotations as they can have fits in one message.
const (
	maxListed = 100_000
	pageSize  = 200
)

// maxPages bounds a list, whose pages may be empty and not the last.
const maxPages = 2_500

var (
	// errEndless says that a list has more pages than are looked at.
	errEndless = errors.New("more pages than are looked at")
	// errRepeats says that a page of a list is followed by itself.
	errRepeats = errors.New("a page that follows itself")
)

// entries are those of a list, and the error that ends it. The library's own iterator asks for ever for pages that are empty.
func entries[T any](fetch func(size int, token string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		token := ""
		for range maxPages {
			page, next, err := fetch(0, token)
			if err != nil {
				yield(none, err)
				return
			}
			for _, entry := range page {
				if !yield(entry, nil) {
					return
				}
			}
			switch next {
			case "":
				return
			case token:
				yield(none, errRepeats)
				return
			}
			token = next
		}
		yield(none, errEndless)
	}
}

// Find implements providers.Finder: the secrets of the project and location are listed, by labels and a part of the name where
// those are asked for, and the latest version of each that matches is read. A path is the beginning of a name.
func (s *session) Find(ctx context.Context, q providers.Query) ([]providers.Found, error) {
	filter, err := s.filter(q)
	if err != nil {
		return nil, err
	}
	names, err := s.list(ctx, q, filter)
	if err != nil {
		return nil, err
	}
	out, size := []providers.Found{}, 0
	for chunk := range slices.Chunk(names, parallel) {
		found, err := s.readAll(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			out = append(out, f)
			if size += f.Value.Len(); size > providers.MaxFoundSize || len(out) > providers.MaxFound {
				return nil, s.errorf(providers.ErrInvalid, "more than %d secrets, or %d MiB of them, match; narrow find", providers.MaxFound, providers.MaxFoundSize>>20)
			}
		}
	}
	return out, nil
}

// filter says what Secret Manager is to look for (Secret Manager, "Filter lists of secrets and versions"). What could be more
// than one term of it is refused.
func (s *session) filter(q providers.Query) (string, error) {
	var terms []string
	for _, name := range slices.Sorted(maps.Keys(q.Tags)) {
		value := q.Tags[name]
		switch {
		case !isLabelName(name) || !isLabelValue(value):
			return "", s.errorf(providers.ErrInvalid, "find.tags: %q: %q can be no label: lower-case letters, digits, - and _", name, value)
		case value == "":
			terms = append(terms, "labels."+name+":*")
		default:
			terms = append(terms, "labels."+name+"="+value)
		}
	}
	if q.Path != nil && *q.Path != "" {
		if !isSecretName(*q.Path) {
			return "", s.errorf(providers.ErrInvalid, "find.path %q can begin no name of a secret: letters, digits, - and _", *q.Path)
		}
		terms = append(terms, "name:"+*q.Path)
	}
	return strings.Join(terms, " "), nil
}

// list returns the names that match, in order. The filter finds a path anywhere in a name, and is not relied on for the rest.
func (s *session) list(ctx context.Context, q providers.Query, filter string) ([]string, error) {
	at := parent(s.project, s.location)
	var names []string
	seen := 0
	for secret, err := range entries(s.api.ListSecrets(ctx, &pb.ListSecretsRequest{Parent: at, Filter: filter, PageSize: pageSize}).InternalFetch) {
		if err != nil {
			return nil, s.unlisted(err, at)
		}
		if seen++; seen > maxListed {
			return nil, s.errorf(providers.ErrInvalid, "more than %d secrets are in %s; narrow find by path or tags", maxListed, at)
		}
		name := lastPart(secret.GetName())
		if !isSecretName(name) { // it may be as long as an answer
			return nil, s.foreign()
		}
		if matches(q, name, secret.GetLabels()) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil // what comes meanwhile moves others to a second page
}

// unlisted is the error of a list. What does not exist then is the project or the location, not a secret.
func (s *session) unlisted(err error, at string) error {
	err = s.refused(err, request{at, "list the secrets of", "secretmanager.secrets.list", "roles/secretmanager.viewer"})
	if errors.Is(err, providers.ErrNotFound) {
		return s.errorf(providers.ErrInvalid, "there is no %s; correct projectID or location", at)
	}
	return err
}

func matches(q providers.Query, name string, labels map[string]string) bool {
	for tag, want := range q.Tags {
		if got, ok := labels[tag]; !ok || got != want {
			return false
		}
	}
	return q.Matches(name) && (q.Path == nil || strings.HasPrefix(name, *q.Path))
}

// readAll reads the latest versions of a few secrets at once. One that is gone meanwhile, or has no version, is left out.
func (s *session) readAll(ctx context.Context, names []string) ([]providers.Found, error) {
	refs := make([]providers.Ref, len(names))
	for i, name := range names {
		refs[i].Key = name
	}
	results, err := s.Fetch(ctx, refs)
	if err != nil {
		return nil, err
	}
	var out []providers.Found
	for i, r := range results {
		if errors.Is(r.Err, providers.ErrNotFound) {
			continue
		}
		if r.Err != nil {
			return nil, reading.OfAll(r.Err)
		}
		value, err := r.Document.Value("")
		if err != nil {
			return nil, err
		}
		out = append(out, providers.Found{Name: names[i], Value: value, Version: r.Version})
	}
	return out, nil
}
