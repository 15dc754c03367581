package transit

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
)

// session is one login.
type session struct {
	token string
	// until is when it is made anew, well before Vault ends it.
	until time.Time
}

// loggedIn returns the login, and whether it was made just now.
func (c *Client) loggedIn(ctx context.Context) (s *session, fresh bool, err error) {
	if s := c.session.Load(); s != nil && c.o.Now().Before(s.until) {
		return s, false, nil
	}
	select {
	case c.login <- struct{}{}:
		defer func() { <-c.login }()
	case <-ctx.Done():
		return nil, false, c.errorf("vault did not answer in time")
	}
	if s := c.session.Load(); s != nil && c.o.Now().Before(s.until) {
		return s, false, nil // somebody else has just made it
	}
	if s, err = c.logIn(ctx); err != nil {
		return nil, false, err
	}
	if before := c.session.Swap(s); before != nil {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), overtime)
		defer cancel()
		_ = c.revoke(grace, before) // whoever still uses it is refused, and asks again with this one
	}
	return s, true, nil
}

// maxLease bounds what is believed of a login's life.
const maxLease = 24 * time.Hour

// overtime is how long a login may still take that is under way when nobody waits for it any more, because without its answer nobody
// could end it, and how long to end the one before.
const overtime = 2 * time.Second

func (c *Client) logIn(ctx context.Context) (*session, error) {
	jwt, err := c.o.Token()
	if err != nil {
		return nil, c.errorf("the controller has no ServiceAccount token to log in to vault with (--transit-token-file); mount one, as config/transit does")
	}
	began, path := c.o.Now(), "auth/"+c.o.AuthMount
	r, err := c.send(ctx, "", jsonhttp.Request{
		Method: http.MethodPost, Path: path + "/login", Overtime: overtime,
		Body: map[string]string{"role": c.o.Role, "jwt": strings.TrimSpace(string(jwt))},
	})
	switch {
	case err != nil:
		return nil, err
	case r.genuine && (r.status == http.StatusNotFound || r.says("no handler for route") || r.says("unsupported path")):
		return nil, c.errorf("vault has no auth method at %s; enable it, or correct --transit-auth-mount", path)
	case r.says("invalid role name"):
		return nil, c.errorf("vault has no role %q at %s; create it, or correct --transit-role", c.o.Role, path)
	case r.genuine && (r.status == http.StatusBadRequest || r.status == http.StatusForbidden):
		return nil, c.errorf("vault role %q at %s refuses the controller's ServiceAccount token; check the role's bound_service_account_names, "+
			"bound_service_account_namespaces and audience, that the auth method is enabled there, and that vault's reviewer may create tokenreviews", c.o.Role, path)
	case r.status != http.StatusOK || r.Auth == nil || r.Auth.ClientToken == "":
		return nil, c.unexpected(path+"/login", r)
	}
	// A token that never ends says 0.
	lease := maxLease
	if seconds := r.Auth.LeaseDuration; seconds > 0 && seconds < int64(maxLease/time.Second) {
		lease = time.Duration(seconds) * time.Second
	}
	return &session{token: r.Auth.ClientToken, until: began.Add(lease * 2 / 3)}, nil
}

// LogOut ends the login, so that its token is of no use to anybody once the controller is gone. One that cannot be ended, because
// Vault is down or the role's tokens lack the policy "default", ends with its lease. It is for when the client's users have ended:
// one that comes later logs in again.
func (c *Client) LogOut(ctx context.Context) error {
	s := c.session.Swap(nil)
	if s == nil {
		return nil
	}
	return c.revoke(ctx, s)
}

func (c *Client) revoke(ctx context.Context, s *session) error {
	r, err := c.do(ctx, http.MethodPost, "auth/token/revoke-self", s.token, nil)
	if err == nil && r.status != http.StatusNoContent {
		err = c.errorf("vault does not end the login (status %d); it ends by itself", r.status)
	}
	return err
}

// reply is an answer of Vault. What is in its errors is matched against known phrases and never shown.
type reply struct {
	status int
	// genuine is false when the answer is not Vault's envelope at all.
	genuine bool
	Data    json.RawMessage `json:"data"`
	Errors  []string        `json:"errors"`
	Auth    *struct {
		ClientToken   string `json:"client_token"`
		LeaseDuration int64  `json:"lease_duration"`
	} `json:"auth"`
}

// says reports whether an error holds the phrase.
func (r *reply) says(phrase string) bool {
	return slices.ContainsFunc(r.Errors, func(s string) bool { return strings.Contains(s, phrase) })
}

// do makes one request. Its error says that Vault answers nobody now; an answer that refuses this request is a reply.
func (c *Client) do(ctx context.Context, method, path, token string, body any) (*reply, error) {
	return c.send(ctx, token, jsonhttp.Request{Method: method, Path: path, Body: body})
}

// send is do for a request that says more; its path is below /v1/, too.
func (c *Client) send(ctx context.Context, token string, request jsonhttp.Request) (*reply, error) {
	path := request.Path
	request.Path, request.Header = "v1/"+path, http.Header{}
	if token != "" {
		request.Header.Set("X-Vault-Token", token)
	}
	answer, err := c.http.Do(ctx, request)
	if err != nil {
		return nil, c.errorf("vault: %w", err)
	}
	defer clear(answer.Body)
	r := &reply{}
	r.genuine = json.Unmarshal(answer.Body, r) == nil && (r.Data != nil || r.Auth != nil || r.Errors != nil)
	r.status = answer.Status
	switch {
	case r.status == http.StatusServiceUnavailable && r.says("sealed"):
		return nil, c.errorf("vault is sealed; unseal it")
	case r.status == http.StatusTooManyRequests:
		return nil, c.errorf("vault asks to be asked less often")
	case r.status > http.StatusInternalServerError:
		return nil, c.unexpected(path, r)
	default:
		return r, nil
	}
}

// unexpected is the error for an answer that says nothing about what was asked.
func (c *Client) unexpected(path string, r *reply) error {
	if r.status >= http.StatusInternalServerError {
		return c.errorf("vault answered %d %s", r.status, http.StatusText(r.status))
	}
	return c.errorf("the answer for %s (status %d) is not one of vault's; check the address and what is between", path, r.status)
}
