package webhook

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/Azure/go-ntlmssp"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/internal/template"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// Provider asks the HTTP API that a store describes.
type Provider struct{}

// Name implements providers.Provider.
func (Provider) Name() string { return "webhook" }

// The label that lets a Secret be used by this provider, because templates can send all of it anywhere (External Secrets
// Operator's own).
const (
	labelType  = "external-secrets.io/type"
	labelValue = "webhook"
)

// remoteRef is the group of template data that holds what is asked for.
const remoteRef = "remoteRef"

// Ambient implements providers.Provider: a store shows the API what it names and nothing else.
func (Provider) Ambient(providers.Config) *providers.Ambient { return nil }

// Validate implements providers.Provider.
func (Provider) Validate(cfg providers.Config) []providers.Problem {
	spec, ok := cfg.Spec.(*stores.Webhook)
	if !ok || spec == nil {
		return []providers.Problem{{Field: "webhook", Message: "is required"}}
	}
	var c credential.Checks
	if strings.ContainsFunc(spec.Method, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }) {
		c.Add("method", "must be an HTTP method such as GET or POST")
	}
	checkURL(&c, spec.URL)
	for _, name := range slices.Sorted(maps.Keys(spec.Headers)) {
		if !headerName(name) {
			c.Add("headers", fmt.Sprintf("%q cannot be the name of a header", name))
		}
	}
	all := renderer(nil)
	for _, t := range templatesOf(spec) {
		if _, err := all.References(t.field, t.text); err != nil {
			c.Add(t.field, err.Error())
		}
	}
	if problem := pathProblem(spec.Result.JSONPath); problem != "" {
		c.Add(fieldPath, problem)
	}
	if spec.Timeout != nil && spec.Timeout.Duration < 0 {
		c.Add("timeout", "must not be negative")
	}
	for i, s := range spec.Secrets {
		field := fmt.Sprintf("secrets[%d]", i)
		switch s.Name {
		case "":
			c.Add(field+".name", "is required; templates find the Secret under it")
		case remoteRef:
			c.Add(field+".name", "must not be remoteRef, under which templates find what is asked for")
		}
		c.Selector(field+".secretRef", &s.SecretRef, true)
	}
	if spec.Auth != nil && spec.Auth.NTLM == nil {
		c.Add("auth", "must hold ntlm")
	}
	if spec.Auth != nil && spec.Auth.NTLM != nil {
		c.Selector("auth.ntlm.usernameSecret", &spec.Auth.NTLM.UsernameSecret, false)
		c.Selector("auth.ntlm.passwordSecret", &spec.Auth.NTLM.PasswordSecret, false)
	}
	c.Bundle("", spec.CABundle, spec.CAProvider)
	return c.Problems
}

// checkURL checks of the address what can be known before it is rendered.
func checkURL(c *credential.Checks, text string) {
	before, _, templated := strings.Cut(text, "{{")
	switch {
	case text == "":
		c.Add("url", "is required")
	case templated && !strings.Contains(before, "://"):
		// The scheme may come from the template.
	case !strings.HasPrefix(before, "https://") && !strings.HasPrefix(before, "http://"):
		c.Add("url", "must begin with https:// or http://")
	case !templated:
		if u, err := url.Parse(text); err != nil || u.Hostname() == "" {
			c.Add("url", "must be an address such as https://host/path")
		}
	}
}

// headerName reports whether name is a token of HTTP (RFC 9110 section 5.6.2).
func headerName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// named is a template of the configuration.
type named struct{ field, text string }

// templatesOf returns the templates of a configuration: first those of the request, at last that of the result.
func templatesOf(spec *stores.Webhook) []named {
	all := []named{{fieldURL, spec.URL}, {fieldBody, spec.Body}}
	for _, name := range slices.Sorted(maps.Keys(spec.Headers)) {
		all = append(all, named{fieldHeaders + name, spec.Headers[name]})
	}
	return append(all, named{fieldPath, spec.Result.JSONPath})
}

// The fields that are templates, as messages call them.
const (
	fieldURL     = "url"
	fieldBody    = "body"
	fieldHeaders = "headers."
	fieldPath    = "result.jsonPath"
)

// Open implements providers.Provider. It asks nothing of the API: what is wrong with the credentials shows when they are
// used.
func (p Provider) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	if problems := p.Validate(cfg); len(problems) > 0 {
		return nil, providers.Errorf(providers.ErrInvalid, "%s: %s", cfg.Store, problems[0])
	}
	spec := cfg.Spec.(*stores.Webhook) // Validate has looked
	s := &session{store: cfg.Store, spec: spec, templates: template.NewCache(), secrets: map[string]map[string]string{}, peer: "the server of url"}
	if s.host = staticHost(spec.URL); s.host != nil {
		s.peer = s.host.Scheme + "://" + s.host.Host
	}
	creds := credential.Reader{Store: cfg.Store, Env: env}
	o := jsonhttp.Options{Opaque: true}
	if err := s.lend(ctx, creds, &o); err != nil {
		return nil, err
	}
	var err error
	if o.Roots, err = creds.Roots(ctx, "", spec.CABundle, spec.CAProvider); err != nil {
		return nil, err
	}
	all := templatesOf(spec)
	s.selective = s.reads(all[:len(all)-1], "property")
	if s.reads(all, "namespace") {
		if s.namespace, err = env.Namespace(); err != nil {
			return nil, fmt.Errorf("%s: %w", cfg.Store, err)
		}
	}
	s.http = jsonhttp.New(o)
	return s, nil
}

// lend reads the Secrets that the templates may use, and those of the login.
func (s *session) lend(ctx context.Context, creds credential.Reader, o *jsonhttp.Options) error {
	for i, secret := range s.spec.Secrets {
		data, err := creds.Labeled(ctx, fmt.Sprintf("secrets[%d].secretRef", i), secret.SecretRef, labelType, labelValue)
		if err != nil {
			return err
		}
		group := s.secrets[secret.Name]
		if group == nil {
			group = map[string]string{}
			s.secrets[secret.Name] = group
		}
		for key, value := range data {
			group[key] = string(value)
		}
	}
	if s.spec.Auth == nil {
		return nil
	}
	ntlm, login := s.spec.Auth.NTLM, [2]string{}
	for i, sel := range []stores.SecretKeySelector{ntlm.UsernameSecret, ntlm.PasswordSecret} {
		field := []string{"auth.ntlm.usernameSecret", "auth.ntlm.passwordSecret"}[i]
		data, err := creds.Labeled(ctx, field, sel, labelType, labelValue)
		if err != nil {
			return err
		}
		value, ok := data[sel.Key]
		if !ok {
			return providers.Errorf(providers.ErrUnavailable, "%s: %s: Secret %s has no key %q", s.store, field, sel.Name, sel.Key)
		}
		login[i] = string(value)
	}
	o.Handshake = func(next http.RoundTripper) http.RoundTripper { return ntlmssp.Negotiator{RoundTripper: next} }
	// The negotiator takes the login from here; it never sends it like this.
	s.login = "Basic " + base64.StdEncoding.EncodeToString([]byte(login[0]+":"+login[1]))
	return nil
}

// reads reports whether one of the templates, which are valid, reads a part of remoteRef.
func (s *session) reads(templates []named, part string) bool {
	r := renderer(s.templates)
	return slices.ContainsFunc(templates, func(t named) bool {
		refs, err := r.References(t.field, t.text)
		return err != nil || refs.Reads(remoteRef, part)
	})
}

// staticHost returns the scheme and host of a URL template where both are plain text, else nil. A template may take them
// from a Secret, and those are not for messages.
func staticHost(text string) *url.URL {
	before, _, templated := strings.Cut(text, "{{")
	scheme, rest, ok := strings.Cut(before, "://")
	end := strings.IndexAny(rest, "/?#")
	switch {
	case !ok || templated && end < 0:
		return nil
	case end >= 0:
		rest = rest[:end]
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}
}

// renderer returns a renderer for the templates of one request. A key that a Secret does not have is nothing, as in
// External Secrets Operator, so that a template may ask for it; whoever prints it is refused.
func renderer(parsed *template.Cache) *template.Renderer {
	return template.New(template.Options{MissingKey: template.MissingKeyNoValue, MaxSource: maxTemplate, MaxOutput: maxRequest, MaxTime: maxRender, Cache: parsed})
}
