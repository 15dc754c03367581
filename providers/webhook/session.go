package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// parallel is how many requests of one Fetch run at once.
const parallel = 8

// session asks one API with one set of Secrets. It never changes.
type session struct {
	store string
	spec  *stores.Webhook
	http  *jsonhttp.Client
	// templates are those of spec, which are parsed once.
	templates *template.Cache
	// secrets are what templates may use, by name and key.
	secrets map[string]map[string]string
	// namespace is that of the object that uses the store; empty when no template reads it.
	namespace string
	// login is the Authorization header from which NTLM takes user and password; empty without NTLM.
	login string
	// host is where url leads when that is plain text, else nil; peer is what messages call it.
	host *url.URL
	peer string
	// selective is set when a template of the request reads the property.
	selective bool
}

var (
	_ providers.Checker   = (*session)(nil)
	_ providers.Selective = (*session)(nil)
	_ providers.Patient   = (*session)(nil)
)

// Close ends the connections.
func (s *session) Close() error {
	s.http.Close()
	return nil
}

// Selective implements providers.Selective: requests depend on the property when a template of the request reads it. One
// of the path to the result does not count: that is followed afterwards.
func (s *session) Selective() bool { return s.selective }

// Patience implements providers.Patient: the store's timeout.
func (s *session) Patience() time.Duration {
	if s.spec.Timeout == nil {
		return 0
	}
	return s.spec.Timeout.Duration
}

// Check implements providers.Checker: somebody accepts connections where url leads, as far as that is known before it is
// rendered. A request of its own could not be told from one that means something.
func (s *session) Check(ctx context.Context) error {
	if s.host == nil {
		return nil
	}
	ctx, cancel := s.bound(ctx)
	defer cancel()
	if err := s.http.Dial(ctx, s.host); err != nil {
		return providers.Errorf(providers.ErrUnavailable, "%s: %w", s.store, err)
	}
	return nil
}

// Fetch implements providers.Session: one request for each distinct ref.
func (s *session) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	distinct, at := reading.Distinct(refs, func(ref providers.Ref) providers.Ref { return ref })
	read, outages := make([]providers.Result, len(distinct)), make([]outage, len(distinct))
	reading.AtOnce(len(distinct), parallel, func(i int) {
		read[i].Document, outages[i], read[i].Err = s.read(ctx, distinct[i])
	})
	if err := down(outages); err != nil {
		return nil, err
	}
	out := make([]providers.Result, len(refs))
	for i := range refs {
		out[i] = read[at[i]]
	}
	return out, nil
}

// outage is what a failed read says about the API; the zero value says nothing, because what failed is about the key alone.
type outage struct {
	// err is what everybody is told who uses the store, so that it names no key.
	err error
	// perhaps is set for an internal error, which may be about the key or about everybody.
	perhaps bool
}

// down returns an error when the API answers nobody: all that was asked failed, and not for what was asked. One internal
// error alone is that of its key: others are not kept from asking for theirs.
func down(outages []outage) error {
	for _, o := range outages {
		if o.err == nil || o.perhaps && len(outages) == 1 {
			return nil
		}
	}
	if len(outages) == 0 {
		return nil
	}
	return outages[0].err
}

// read asks for a document. A webhook has no metadata: who asks for them gets the document, as with External Secrets Operator.
func (s *session) read(ctx context.Context, ref providers.Ref) (providers.Document, outage, error) {
	none := outage{}
	request, err := s.request(ctx, ref)
	if err != nil {
		return nil, none, err
	}
	bounded, cancel := s.bound(ctx)
	defer cancel()
	answer, err := s.http.Do(bounded, request)
	switch {
	case errors.Is(err, jsonhttp.ErrTooLarge):
		return nil, none, s.errorf(providers.ErrInvalid, ref, "%w", err)
	case err != nil:
		err = providers.Errorf(providers.ErrUnavailable, "%s: %w", s.store, err)
		return nil, outage{err: err}, err
	}
	if down, err := s.refusal(ref, answer); err != nil {
		return nil, down, err
	}
	switch {
	case len(answer.Body) == 0:
		return nil, none, s.errorf(providers.ErrUnavailable, ref, "%s answered %s without a content", s.peer, status(answer))
	case s.spec.Result.JSONPath != "" && !utf8.Valid(answer.Body):
		return nil, none, s.errorf(providers.ErrUnavailable, ref, "the answer of %s is not UTF-8, so result.jsonPath finds nothing in it", s.peer)
	case s.spec.Result.JSONPath != "" && !json.Valid(answer.Body):
		return nil, none, s.errorf(providers.ErrUnavailable, ref, "the answer of %s is not JSON (as a whole), so result.jsonPath finds nothing in it", s.peer)
	case s.spec.Result.JSONPath != "" && property.TooMany(answer.Body):
		return nil, none, s.errorf(providers.ErrInvalid, ref, "the answer of %s has more than %d values; split it, or have it answer less", s.peer, property.MaxParts)
	}
	return s.document(context.WithoutCancel(ctx), ref, answer.Body), none, nil
}

// document returns the answer for a ref. What it needs to find the result is taken along, so that it asks nobody; the
// context carries values and never ends.
func (s *session) document(ctx context.Context, ref providers.Ref, body []byte) document {
	return document{name: fmt.Sprintf("%s: key %q", s.store, ref.Key), body: body, path: func(property string) (string, error) {
		at, path := ref, s.spec.Result.JSONPath
		if at.Property = property; !strings.Contains(path, "{{") {
			return path, nil
		}
		return s.render(ctx, renderer(s.templates), fieldPath, path, s.dataFor(at, func(text string) string { return text }))
	}}
}

// refusal returns the error of an answer that has no content, and what it says about the API. The answer's own words are
// left out: they can quote the request.
func (s *session) refusal(ref providers.Ref, answer *jsonhttp.Answer) (outage, error) {
	code, what := answer.Status, status(answer)
	down := providers.Errorf(providers.ErrUnavailable, "%s: %s answered %s", s.store, s.peer, what)
	switch {
	case code >= 200 && code < 300:
		return outage{}, nil
	case code == http.StatusNotFound:
		return outage{}, s.errorf(providers.ErrNotFound, ref, "%s answered %s", s.peer, what)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return outage{}, s.errorf(providers.ErrDenied, ref, "%s answered %s; check what the store sends as credentials, and what they are good for", s.peer, what)
	case code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable && answer.RetryAfter() > 0:
		err := fmt.Errorf("%s: %w", s.store, &providers.ThrottledError{After: answer.RetryAfter()})
		return outage{err: err}, err
	case code == http.StatusNotModified:
		return outage{}, s.errorf(providers.ErrInvalid, ref, "%s answered %s, which has no content; remove conditions such as If-None-Match from headers", s.peer, what)
	case code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout:
		return outage{err: down}, down
	case code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooEarly || code < 400:
		return outage{err: down, perhaps: true}, s.errorf(providers.ErrUnavailable, ref, "%s answered %s", s.peer, what)
	default:
		return outage{}, s.errorf(providers.ErrInvalid, ref, "%s answered %s; correct the key, or the request in the store", s.peer, what)
	}
}

// status returns the status as the standard calls it.
func status(answer *jsonhttp.Answer) string {
	if text := http.StatusText(answer.Status); text != "" {
		return fmt.Sprintf("%d %s", answer.Status, text)
	}
	return fmt.Sprint(answer.Status)
}

// bound limits one request to the store's timeout.
func (s *session) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.spec.Timeout == nil || s.spec.Timeout.Duration <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, min(s.spec.Timeout.Duration, time.Hour))
}

// errorf makes an error of a class that begins with the store and the key.
func (s *session) errorf(class error, ref providers.Ref, format string, args ...any) error {
	return providers.Errorf(class, "%s: key %q: "+format, append([]any{s.store, ref.Key}, args...)...)
}
