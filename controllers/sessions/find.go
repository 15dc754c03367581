package sessions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sealbridge/sealbridge/providers"
)

// Finding asks a store for the documents that match a query.
type Finding struct {
	Store Store
	// Namespace is that of the object that asks.
	Namespace string
	Query     providers.Query
	// MaxAge, Interval, Since and Forced are as in Request.
	MaxAge, Interval time.Duration
	Since            time.Time
	Forced           bool
}

// Find returns one document, a Found, whose fields are the documents that match: by their names, their whole content. What is found
// is shared and kept as what is fetched is. It fails with an error of a class of package providers, ErrInvalid for a store
// whose provider finds nothing.
func (p *Pool) Find(ctx context.Context, f Finding) (providers.Document, error) {
	results, err := p.Fetch(ctx, Request{
		Store: f.Store, Namespace: f.Namespace, MaxAge: f.MaxAge, Interval: f.Interval, Since: f.Since, Forced: f.Forced, query: &f.Query,
	})
	if err != nil {
		return nil, err
	}
	return results[0].Document, results[0].Err
}

// Canonical returns one text for all equal queries.
func Canonical(q providers.Query) string {
	var name any // any name is not the same as one in which nothing is looked for: some backends ask for one of the two
	if q.Name != nil {
		name = q.Name.String()
	}
	out, _ := json.Marshal([]any{q.Path, name, q.Tags}) // maps have their keys sorted, and text is always encoded
	return string(out)
}

// find asks the entry's session once and checks its promises. The error says that the backend cannot be used; one about
// the query is in the result.
func find(ctx context.Context, e *entry, q providers.Query) (providers.Result, error) {
	store := e.store.Config.Store
	finder, ok := providers.As[providers.Finder](e.session)
	if !ok {
		return providers.Result{Err: providers.Errorf(providers.ErrInvalid,
			"%s: its provider %q cannot find documents; name them with data or dataFrom.extract", store, e.store.Provider.Name())}, nil
	}
	list, err := guard(ctx, e.store, func() ([]providers.Found, error) { return finder.Find(ctx, q) })
	var throttled *providers.ThrottledError
	switch {
	case err != nil && (unavailable(err) || errors.As(err, &throttled)):
		return providers.Result{}, err
	case err != nil:
		return providers.Result{Err: err}, nil //nolint:nilerr // it is about the query, and travels in the result
	case len(list) > providers.MaxFound:
		return providers.Result{Err: providers.Errorf(providers.ErrInvalid, "%s: more than %d documents match", store, providers.MaxFound)}, nil
	}
	doc := Found{store: store, values: make(map[string]providers.Value, len(list))}
	for _, f := range slices.SortedFunc(slices.Values(list), func(a, b providers.Found) int { return cmp.Compare(a.Name, b.Name) }) {
		if _, twice := doc.values[f.Name]; twice {
			return providers.Result{}, providers.Errorf(providers.ErrUnavailable, "%s found one document twice", store)
		}
		doc.values[f.Name] = f.Value
		doc.matches = append(doc.matches, Match{Key: f.Name, Version: f.Version})
	}
	return providers.Result{Document: doc}, nil
}

// Found is what was found, as one document.
type Found struct {
	store   string
	values  map[string]providers.Value
	matches []Match
}

// Match is one document that was found, and the version in which it was read, as in providers.Result.
type Match struct{ Key, Version string }

// Matches names the documents, in the order of their keys. The caller must not change it.
func (f Found) Matches() []Match { return f.matches }

// Size implements providers.Document.
func (f Found) Size() int {
	size := 0
	for name, v := range f.values {
		size += 2*len(name) + v.Len() + perDocument
	}
	return size
}

// Value implements providers.Document.
func (f Found) Value(string) (providers.Value, error) {
	return providers.Value{}, providers.Errorf(providers.ErrInvalid, "%s: what was found is not one value", f.store)
}

// Fields implements providers.Document.
func (f Found) Fields(property string) (map[string]providers.Value, error) {
	if property != "" {
		return nil, providers.Errorf(providers.ErrPropertyNotFound, "%s: what was found has no property %q", f.store, property)
	}
	return maps.Clone(f.values), nil
}
