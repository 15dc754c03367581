package webhook

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/providers"
)

// The bounds of the templates of one request together.
const (
	maxTemplate = 256 << 10
	maxRequest  = 1 << 20
	maxRender   = 2 * time.Second
)

// noValue is what a template prints for a key that does not exist.
const noValue = "<no value>"

// request renders the request for a ref.
func (s *session) request(ctx context.Context, ref providers.Ref) (jsonhttp.Request, error) {
	r := renderer(s.templates)
	data := s.dataFor(ref, func(text string) string { return text })
	target, err := s.render(ctx, r, fieldURL, s.spec.URL, s.dataFor(ref, url.QueryEscape))
	if err != nil {
		return jsonhttp.Request{}, err
	}
	u, err := url.Parse(strings.TrimSpace(target))
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return jsonhttp.Request{}, s.errorf(providers.ErrInvalid, ref, "url makes no address such as https://host/path")
	}
	if s.climbs(ctx, r, ref, u) {
		return jsonhttp.Request{}, s.errorf(providers.ErrInvalid, ref, "url makes a path with .. as a part of it, which leads to another folder; correct the key, the version or the property")
	}
	body, err := s.render(ctx, r, fieldBody, s.spec.Body, data)
	if err != nil {
		return jsonhttp.Request{}, err
	}
	header := http.Header{"Accept": {"*/*"}}
	for _, name := range slices.Sorted(maps.Keys(s.spec.Headers)) { // in order: of several that are wrong the same one is named each time
		value, err := s.render(ctx, r, fieldHeaders+name, s.spec.Headers[name], data)
		if err != nil {
			return jsonhttp.Request{}, err
		}
		if value = strings.TrimSpace(value); strings.ContainsFunc(value, func(c rune) bool { return c < 0x20 && c != '\t' || c == 0x7f }) {
			return jsonhttp.Request{}, s.errorf(providers.ErrInvalid, ref, "headers.%s has characters that a header cannot have", name)
		}
		header.Set(name, value)
	}
	if s.login != "" {
		header.Set("Authorization", s.login)
	}
	method := s.spec.Method
	if method == "" {
		method = http.MethodGet
	}
	return jsonhttp.Request{Method: method, URL: u, Peer: s.peer, Header: header, Raw: []byte(body)}, nil
}

// climbs reports whether a ref makes a part of the path that leads out of its folder, also by a separator that was escaped: servers and
// proxies that resolve it then would let whoever uses the store read what the store keeps for others. What the url itself says is its
// owner's.
func (s *session) climbs(ctx context.Context, r *template.Renderer, ref providers.Ref, made *url.URL) bool {
	n := ups(made.Path)
	if n == 0 {
		return false
	}
	target, err := s.render(ctx, r, fieldURL, s.spec.URL, s.dataFor(ref, func(text string) string { return strings.Repeat("x", min(len(text), 1)) }))
	if err != nil {
		return true
	}
	own, err := url.Parse(strings.TrimSpace(target))
	return err != nil || n > ups(own.Path)
}

// ups counts the parts of a path that lead out of a folder.
func ups(path string) int {
	n := 0
	for part := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '/' || c == '\\' }) {
		if part == ".." {
			n++
		}
	}
	return n
}

// dataFor returns what templates read: remoteRef, each of whose parts passes through escape, and the Secrets.
func (s *session) dataFor(ref providers.Ref, escape func(string) string) map[string]map[string]string {
	data := maps.Clone(s.secrets)
	data[remoteRef] = map[string]string{
		"key": escape(ref.Key), "version": escape(ref.Version), "property": escape(ref.Property), "namespace": s.namespace,
	}
	return data
}

// render renders a template. The error names the field and the place in it, never a value.
func (s *session) render(ctx context.Context, r *template.Renderer, field, text string, data map[string]map[string]string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	out, err := r.RenderGroups(ctx, field, text, data)
	var fault *template.Error
	switch {
	case errors.As(err, &fault):
		return "", providers.Errorf(providers.ErrInvalid, "%s: %w", s.store, fault)
	case err != nil:
		return "", providers.Errorf(providers.ErrUnavailable, "%s: %w", s.store, err)
	case strings.Contains(string(out), noValue):
		return "", providers.Errorf(providers.ErrInvalid, "%s: %s prints a key that does not exist; correct the name, or ask for it with if", s.store, field)
	default:
		return string(out), nil
	}
}
