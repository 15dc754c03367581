package fake

import (
	"context"
	"maps"
	"slices"

	"github.com/sealbridge/sealbridge/providers"
)

var _ providers.Finder = (*session)(nil)

// Find implements providers.Finder: of a document with several versions the one whose version sorts last. Documents have
// neither tags nor paths, so Query.Path has no meaning here, as in External Secrets Operator.
func (s *session) Find(_ context.Context, q providers.Query) ([]providers.Found, error) {
	if len(q.Tags) > 0 {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: fake documents have no tags; find them by name", s.store)
	}
	if q.Name == nil {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: find.name is required: fake documents have nothing else that they are found by", s.store)
	}
	newest := map[string]string{}
	for at := range s.documents {
		if q.Matches(at.key) {
			newest[at.key] = max(newest[at.key], at.version)
		}
	}
	out, size := make([]providers.Found, 0, len(newest)), 0
	for _, key := range slices.Sorted(maps.Keys(newest)) {
		value := providers.NewValue(s.documents[id{key, newest[key]}].value)
		out = append(out, providers.Found{Name: key, Value: value, Version: newest[key]})
		size += value.Len()
	}
	if size > providers.MaxFoundSize || len(out) > providers.MaxFound {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: more than %d documents, or %d MiB of them, match; narrow find", s.store, providers.MaxFound, providers.MaxFoundSize>>20)
	}
	return out, nil
}
