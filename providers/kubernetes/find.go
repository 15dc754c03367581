package kubernetes

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
)

var _ providers.Finder = (*session)(nil)

const (
	// page is how many Secrets are asked for at once; fewer where they are large.
	page = 64
	// maxListed bounds how many Secrets are asked for in all: an API server may say for ever that there are more.
	maxListed = 100_000
)

// secretList is what is used of a v1 SecretList. Its items do not repeat their kind.
type secretList struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Continue string `json:"continue"`
	} `json:"metadata"`
	Items []secret `json:"items"`
}

// Find implements providers.Finder: tags are labels. Namespaces have no paths, so Query.Path has no meaning here, as in
// External Secrets Operator, and alone is not taken for all Secrets.
func (s *session) Find(ctx context.Context, q providers.Query) ([]providers.Found, error) {
	if q.Path != nil && q.Name == nil && len(q.Tags) == 0 {
		return nil, s.errorf(providers.ErrInvalid, "find.path alone finds nothing: namespaces have no paths; find by name or tags")
	}
	selector, err := labels.ValidatedSelectorFromSet(q.Tags)
	if err != nil {
		return nil, s.errorf(providers.ErrInvalid, "find.tags are not labels of Kubernetes")
	}
	out, size := []providers.Found{}, 0
	query := url.Values{"limit": {strconv.Itoa(page)}}
	if !selector.Empty() {
		query.Set("labelSelector", selector.String())
	}
	for limit, asked := page, 0; ; asked += limit {
		if asked > maxListed {
			return nil, s.errorf(providers.ErrInvalid, "namespace %s has more than %d Secrets, which is more than a search looks at; narrow find by tags", s.namespace, maxListed)
		}
		query.Set("limit", strconv.Itoa(limit))
		list, err := s.list(ctx, query)
		if errors.Is(err, jsonhttp.ErrTooLarge) && limit > 1 {
			limit /= 8
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, sec := range list.Items {
			if !q.Matches(sec.Metadata.Name) {
				continue
			}
			value, err := s.document(&sec, false).Value("")
			if err != nil {
				return nil, err
			}
			out = append(out, providers.Found{Name: sec.Metadata.Name, Value: value, Version: sec.Metadata.ResourceVersion})
			if size += value.Len(); size > providers.MaxFoundSize || len(out) > providers.MaxFound {
				return nil, s.errorf(providers.ErrInvalid, "more than %d Secrets, or %d MiB of them, match in namespace %s; narrow find",
					providers.MaxFound, providers.MaxFoundSize>>20, s.namespace)
			}
		}
		if list.Metadata.Continue == "" {
			return sorted(out), nil
		}
		query.Set("continue", list.Metadata.Continue)
	}
}

// sorted returns what was found in the order of the names, each once: what comes and goes while it is listed can be on two pages.
func sorted(found []providers.Found) []providers.Found {
	slices.SortStableFunc(found, func(a, b providers.Found) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(found, func(a, b providers.Found) bool { return a.Name == b.Name })
}

// misnamed reports whether a Secret has a name that none has.
func misnamed(s secret) bool { return len(validation.IsDNS1123Subdomain(s.Metadata.Name)) > 0 }

// list reads one page of the namespace's Secrets.
func (s *session) list(ctx context.Context, query url.Values) (*secretList, error) {
	answer, err := s.do(ctx, jsonhttp.Request{Method: http.MethodGet, Path: "api/v1/namespaces/" + s.namespace + "/secrets", Query: query})
	switch {
	case err != nil:
		return nil, err
	case answer.Status == http.StatusForbidden:
		return nil, s.errorf(providers.ErrDenied, "%s may not list Secrets in namespace %s: grant it the verb \"list\" on secrets there", s.who, s.namespace)
	case answer.Status == http.StatusGone && query.Has("continue"):
		return nil, s.errorf(providers.ErrUnavailable, "the API server forgot the list of Secrets in namespace %s before all of it was read; it is asked again by itself", s.namespace)
	}
	var list secretList
	if answer.Status != http.StatusOK || !decode(answer.Body, &list) || list.Kind != "SecretList" || list.Items == nil || slices.ContainsFunc(list.Items, misnamed) || slices.ContainsFunc(list.Items, s.elsewhere) {
		return nil, s.strange(answer)
	}
	return &list, nil
}
