package externalsecret

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"

	esv1 "github.com/sealbridge/sealbridge/api/externalsecrets/v1"
	"github.com/sealbridge/sealbridge/controllers/sessions"
	"github.com/sealbridge/sealbridge/internal/expression"
	"github.com/sealbridge/sealbridge/providers"
)

// newFind makes the entry of dataFrom.find: what is found gets its keys, and is decoded, as fields that are extracted.
func newFind(path string, store esv1.StoreRef, d esv1.DataFrom) entry {
	e := newEntry(path, "", store, esv1.RemoteRef{
		ConversionStrategy: d.Find.ConversionStrategy, DecodingStrategy: d.Find.DecodingStrategy, NullBytePolicy: d.Find.NullBytePolicy,
	})
	e.find, e.rewrite = d.Find, d.Rewrite
	query, _ := queryOf(d.Find) // one that cannot be read is refused before anybody is asked
	e.origin.find = sessions.Canonical(query)
	return e
}

const (
	// maxExpression bounds an expression, in bytes.
	maxExpression = 1024
	// maxInstructions bounds what it is compiled to, and so what a match costs for each byte of a name. A store may have
	// tens of thousands of names, and nobody stops a match that has begun: five milliseconds for a long name at most.
	maxInstructions = 2000
)

// queryOf reads what an entry looks for.
func queryOf(find *esv1.Find) (providers.Query, error) {
	q := providers.Query{Path: find.Path, Tags: maps.Clone(find.Tags)}
	if find.Name == nil {
		return q, nil
	}
	if len(find.Name.RegExp) > maxExpression {
		return q, errExpression
	}
	instructions, err := expression.Weigh(find.Name.RegExp)
	if err != nil {
		return q, errExpression // the parser's own text adds nothing that helps more than the expression itself
	}
	if instructions > maxInstructions {
		return q, fmt.Errorf("name.regexp is too complex: its repetitions make %d instructions, %d are allowed", instructions, maxInstructions)
	}
	if q.Name, err = regexp.Compile(find.Name.RegExp); err != nil {
		return q, errExpression
	}
	return q, nil
}

var errExpression = errors.New("name.regexp is not a regular expression (RE2) of 1024 bytes at most")

// refuseFind says why an entry cannot be looked for; nil when it can, or looks for nothing.
func refuseFind(e entry) error {
	if e.find == nil {
		return nil
	}
	if _, err := queryOf(e.find); err != nil {
		return providers.Errorf(providers.ErrInvalid, "%s: %w", e.path, err)
	}
	return nil
}

// search asks the stores for what entries look for. An error about the query is told apart by assemble.
func (r *Reconciler) search(ctx context.Context, s *scope) error {
	for _, e := range entriesOf(&s.es.Spec) {
		if _, twice := s.documents[e.origin]; e.find == nil || twice {
			continue
		}
		query, err := queryOf(e.find)
		if err != nil {
			return failed(err)
		}
		store, err := r.deps.Sessions.Translate(s.stores[e.origin.store])
		if err != nil {
			return failed(err)
		}
		s.visit.to(laneOf(s.stores[e.origin.store]))
		interval := intervalOf(&s.es.Spec)
		doc, err := r.deps.Sessions.Find(ctx, sessions.Finding{
			Store: store, Namespace: s.es.Namespace, Query: query,
			MaxAge: sessions.MaxAge(interval), Interval: interval, Since: s.since, Forced: s.plan.forced,
		})
		s.documents[e.origin] = providers.Result{Document: doc, Err: err}
		r.noteFound(s, e.origin.store, query, doc)
		if err := s.weigh(ctx); err != nil {
			return failed(err)
		}
	}
	return nil
}
