package fake

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// Provider serves the documents of *stores.Fake.
type Provider struct{}

// Name implements providers.Provider.
func (Provider) Name() string { return "fake" }

// The values of validationResult (External Secrets Operator: ready, unknown, error).
const (
	resultReady   = 0
	resultUnknown = 1
	resultError   = 2
)

// Validate implements providers.Provider: each document needs a key and a value.
func (Provider) Validate(cfg providers.Config) []providers.Problem {
	spec, ok := cfg.Spec.(*stores.Fake)
	if !ok || spec == nil {
		return []providers.Problem{{Field: "fake", Message: "is required"}}
	}
	var problems []providers.Problem
	for i, d := range spec.Data {
		if d.Key == "" {
			problems = append(problems, providers.Problem{Field: fmt.Sprintf("data[%d].key", i), Message: "is required"})
		}
		if d.Value == "" {
			problems = append(problems, providers.Problem{Field: fmt.Sprintf("data[%d].value", i), Message: "is required"})
		}
	}
	if r := spec.ValidationResult; r != nil && (*r < resultReady || *r > resultError) {
		problems = append(problems, providers.Problem{Field: "validationResult", Message: "must be 0 (ready), 1 (unknown) or 2 (error)"})
	}
	return problems
}

// Ambient implements providers.Provider: nobody is asked.
func (Provider) Ambient(providers.Config) *providers.Ambient { return nil }

// Open implements providers.Provider. Of two documents with the same key and version, the later one counts.
func (p Provider) Open(_ context.Context, cfg providers.Config, _ providers.Env) (providers.Session, error) {
	spec, ok := cfg.Spec.(*stores.Fake)
	if !ok || spec == nil {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: fake is required", cfg.Store)
	}
	s := &session{store: cfg.Store, documents: make(map[id]document, len(spec.Data))}
	if r := spec.ValidationResult; r != nil {
		s.result = *r
	}
	for _, d := range spec.Data {
		s.documents[id{d.Key, d.Version}] = document{name: fmt.Sprintf("%s: key %q", cfg.Store, d.Key), value: []byte(d.Value)}
	}
	return s, nil
}

type id struct{ key, version string }

type session struct {
	store     string
	documents map[id]document
	result    int32
}

var _ providers.Checker = (*session)(nil)

// Fetch implements providers.Session. A document is found only under exactly the version that it has. There are no metadata: who asks for them
// gets the document, as with External Secrets Operator.
func (s *session) Fetch(_ context.Context, refs []providers.Ref) ([]providers.Result, error) {
	out := make([]providers.Result, len(refs))
	for i, ref := range refs {
		doc, ok := s.documents[id{ref.Key, ref.Version}]
		switch {
		case !ok && ref.Version != "":
			out[i].Err = providers.Errorf(providers.ErrNotFound, "%s: no key %q with version %q", s.store, ref.Key, ref.Version)
		case !ok:
			out[i].Err = providers.Errorf(providers.ErrNotFound, "%s: no key %q", s.store, ref.Key)
		default:
			out[i] = providers.Result{Document: doc, Version: ref.Version}
		}
	}
	return out, nil
}

// Check implements providers.Checker: it says what the store's validationResult says.
func (s *session) Check(context.Context) error {
	switch s.result {
	case resultUnknown:
		return providers.Errorf(providers.ErrUnverified, "%s: validationResult says that the store's state is unknown", s.store)
	case resultError:
		return providers.Errorf(providers.ErrInvalid, "%s: validationResult says that the store is broken", s.store)
	default:
		return nil
	}
}

// document is a value of any shape; a property is a gjson path in it.
type document struct {
	name  string
	value []byte
}

// Value implements providers.Document.
func (d document) Value(path string) (providers.Value, error) {
	if path == "" {
		return providers.NewValue(d.value), nil
	}
	part, ok := property.Get(d.value, path)
	switch {
	case ok:
		return providers.NewValue(part), nil
	case !json.Valid(d.value):
		return providers.Value{}, providers.Errorf(providers.ErrInvalid, "%s has no property %q: it is not JSON", d.name, path)
	default:
		return providers.Value{}, providers.Errorf(providers.ErrPropertyNotFound, "%s has no property %q", d.name, path)
	}
}

// Fields implements providers.Document.
func (d document) Fields(path string) (map[string]providers.Value, error) {
	return reading.Fields(d, d.name, path)
}

// Size implements providers.Document.
func (d document) Size() int { return len(d.value) }
