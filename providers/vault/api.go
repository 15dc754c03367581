package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
)

// api asks Vault as one identity in one namespace.
type api struct {
	store string
	// server is the address of Vault as the store has it.
	server    string
	http      *jsonhttp.Client
	namespace string
	// header holds the token and what goes with it; it is never changed once set.
	header http.Header
}

// reply is an answer of Vault.
type reply struct {
	status int
	envelope
	// genuine is false when the answer is not Vault's envelope at all.
	genuine bool
}

// envelope is the form of Vault's answers (HTTP API, "API operations"). What is in Errors and Warnings is matched against
// known phrases and never shown: it can quote what was sent.
type envelope struct {
	Data     json.RawMessage `json:"data"`
	Auth     *authReply      `json:"auth"`
	Errors   []string        `json:"errors"`
	Warnings []string        `json:"warnings"`
	// Sealed is in the answer of sys/seal-status only.
	Sealed *bool `json:"sealed"`
	// index is the replication state of the answer (Enterprise).
	index []string
}

// authReply is the answer to a login.
type authReply struct {
	ClientToken string `json:"client_token"`
	// LeaseDuration is in seconds; 0 for a token that never expires.
	LeaseDuration int64  `json:"lease_duration"`
	TokenType     string `json:"token_type"`
}

// says reports whether an error or warning holds the phrase.
func (r *reply) says(phrase string) bool {
	return slices.ContainsFunc(slices.Concat(r.Errors, r.Warnings), func(s string) bool { return strings.Contains(s, phrase) })
}

// nothing reports that the answer is Vault's way to say that there is nothing: a list of errors, and the list is empty.
func (r *reply) nothing() bool { return r.Errors != nil && len(r.Errors) == 0 }

// do makes one request below /v1/. Its error says that Vault cannot or will not answer anybody now; an answer that refuses
// this request is a reply.
func (a api) do(ctx context.Context, method, path string, query url.Values, body any) (*reply, error) {
	return a.ask(ctx, jsonhttp.Request{Method: method, Path: path, Query: query, Body: body})
}

// ask is do for a request that says more; its path is below /v1/, too.
func (a api) ask(ctx context.Context, request jsonhttp.Request) (*reply, error) {
	path := request.Path
	request.Path, request.Header = "v1/"+path, http.Header{}
	maps.Copy(request.Header, a.header)
	if a.namespace != "" {
		request.Header.Set(headerNamespace, a.namespace)
	}
	answer, err := a.http.Do(ctx, request)
	switch {
	case errors.Is(err, jsonhttp.ErrTooLarge):
		return nil, a.errorf(providers.ErrInvalid, "vault %s: %w", path, err)
	case err != nil:
		return nil, a.errorf(providers.ErrUnavailable, "vault: %w", err)
	}
	r := &reply{status: answer.Status}
	// The decoder would put other characters in the place of what is not UTF-8.
	if !utf8.Valid(answer.Body) || json.Unmarshal(answer.Body, &r.envelope) != nil {
		r.envelope = envelope{}
	}
	r.index = answer.Header.Values(headerIndex)
	r.genuine = r.status == http.StatusNoContent || r.Data != nil || r.Auth != nil || r.Errors != nil
	return r, a.refusal(r, answer)
}

// refusal returns the error of an answer that is about Vault and not about what was asked.
func (a api) refusal(r *reply, answer *jsonhttp.Answer) error {
	switch {
	case r.status == http.StatusTooManyRequests:
		return fmt.Errorf("%s: vault: %w", a.store, &providers.ThrottledError{After: answer.RetryAfter()})
	case r.status == http.StatusServiceUnavailable && r.says("sealed"):
		return a.sealed()
	case r.status == http.StatusPreconditionFailed:
		return a.errorf(providers.ErrUnavailable, "the vault standby that answered has not caught up; it is asked again, or set forwardInconsistent")
	case r.status > http.StatusInternalServerError:
		return a.unexpected(r)
	default:
		return nil
	}
}

func (a api) sealed() error { return a.errorf(providers.ErrUnavailable, "vault is sealed; unseal it") }

// unexpected is the error for an answer that says nothing about what was asked. It does not name that either: whoever uses
// the store is told.
func (a api) unexpected(r *reply) error {
	if r.status >= http.StatusInternalServerError {
		return a.errorf(providers.ErrUnavailable, "vault answered %d %s", r.status, http.StatusText(r.status))
	}
	return a.errorf(providers.ErrUnavailable, "the answer (status %d) is not one of vault's; check server and what is between", r.status)
}

// errorf makes an error of a class that begins with the store.
func (a api) errorf(class error, format string, args ...any) error {
	return providers.Errorf(class, "%s: "+format, append([]any{a.store}, args...)...)
}
