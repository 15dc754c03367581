package vault

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

var _ providers.Finder = (*session)(nil)

// The bounds of a search, beside those of the contract: folders below one another, names that are looked at, and bytes of a name
// with its folders, which messages quote.
const (
	maxFolders = 32
	maxNames   = 10_000
	maxName    = 4096
)

// Find implements providers.Finder: folders are listed all the way down, then each secret whose name matches is read, and
// before it its metadata when tags are asked for. Names begin with the path as it was asked for, so with a slash when that
// is empty.
func (s *session) Find(ctx context.Context, q providers.Query) ([]providers.Found, error) {
	switch {
	case len(q.Tags) > 0 && s.engine.v1:
		return nil, s.api.errorf(providers.ErrInvalid, "find.tags: KV version v1 has no metadata; find by name")
	case q.Path != nil && !safePath(*q.Path):
		return nil, s.api.errorf(providers.ErrInvalid, "find.path must not hold . or .. as a part of the path, or control characters")
	case (q.Path == nil || clean(*q.Path) == "") && clean(s.engine.mount) == "":
		return nil, s.api.errorf(providers.ErrInvalid, "find.path is required, because the store names no path; begin it with the mount")
	}
	prefix := ""
	if q.Path != nil {
		prefix = *q.Path + "/"
	}
	search := &search{session: s, query: q}
	if err := search.list(ctx, prefix, 0); err != nil {
		return nil, err
	}
	slices.Sort(search.names)
	search.names = slices.Compact(search.names)
	return search.read(ctx)
}

// search is one Find under way.
type search struct {
	*session
	query providers.Query
	seen  int
	names []string
}

// list collects the names below a folder.
func (s *search) list(ctx context.Context, folder string, depth int) error {
	path := s.engine.listPath(folder)
	if depth > maxFolders {
		return s.api.errorf(providers.ErrInvalid, "%s lies more than %d folders below find.path; narrow it", path, maxFolders)
	}
	r, err := s.api.do(ctx, http.MethodGet, path, url.Values{"list": {"true"}}, nil)
	if err != nil {
		return err
	}
	switch {
	case r.status == http.StatusOK && r.Data != nil:
	case r.genuine && r.status == http.StatusForbidden:
		return s.api.errorf(providers.ErrDenied, "vault refuses to list %s: the policies %s must grant \"list\" on that path", path, s.role)
	case r.genuine && r.status == http.StatusNotFound && r.nothing() && depth > 0:
		return nil // emptied meanwhile
	default:
		return s.refused(r, path, "")
	}
	var data struct {
		Keys []string `json:"keys"`
	}
	if err := json.Unmarshal(r.Data, &data); err != nil || data.Keys == nil {
		return s.api.unexpected(r)
	}
	for _, key := range data.Keys {
		if s.seen++; s.seen > maxNames {
			return s.api.errorf(providers.ErrInvalid, "more than %d names lie below find.path; narrow it", maxNames)
		}
		name := folder + key
		switch {
		case len(name) > maxName:
			return s.api.errorf(providers.ErrInvalid, "a name in %s has more than %d bytes with its folders; narrow find.path", path, maxName)
		case key == "" || key == "/" || !safePath(key):
			return s.api.unexpected(r)
		case strings.HasSuffix(key, "/"):
			if err := s.list(ctx, name, depth+1); err != nil {
				return err
			}
		case s.query.Matches(name):
			s.names = append(s.names, name)
		}
	}
	return nil
}

// read reads what was listed, a few at a time so that what does not fit is noticed in time.
func (s *search) read(ctx context.Context) ([]providers.Found, error) {
	out, size := []providers.Found{}, 0
	for names := range slices.Chunk(s.names, parallel) {
		matches, errs := make([]*providers.Found, len(names)), make([]error, len(names))
		reading.AtOnce(len(names), parallel, func(i int) { matches[i], errs[i] = s.match(ctx, names[i]) })
		for i := range names {
			if errors.Is(errs[i], providers.ErrNotFound) || errs[i] == nil && matches[i] == nil {
				continue
			}
			if errs[i] != nil {
				return nil, errs[i]
			}
			out = append(out, *matches[i])
			if size += matches[i].Value.Len(); size > providers.MaxFoundSize || len(out) > providers.MaxFound {
				return nil, s.api.errorf(providers.ErrInvalid, "more than %d secrets, or %d MiB of them, match; narrow find", providers.MaxFound, providers.MaxFoundSize>>20)
			}
		}
	}
	return out, nil
}

// match returns a secret that has the tags, else nil.
func (s *search) match(ctx context.Context, name string) (*providers.Found, error) {
	if len(s.query.Tags) > 0 {
		has, err := s.tagged(ctx, s.engine.below(partMetadata, name))
		if err != nil || !has {
			return nil, err
		}
	}
	result, err := s.readData(ctx, s.engine.below(partData, name), "")
	if err != nil {
		return nil, err
	}
	value, err := result.Document.Value("")
	return &providers.Found{Name: name, Value: value, Version: result.Version}, err
}

// tagged reports whether the metadata of a secret, as a document of metadata holds them, have all tags.
func (s *search) tagged(ctx context.Context, path string) (bool, error) {
	data, err := s.metadata(ctx, path)
	if err != nil {
		return false, err
	}
	for name, want := range s.query.Tags {
		if got, ok := data[name]; !ok || got != want {
			return false, nil
		}
	}
	return true, nil
}
