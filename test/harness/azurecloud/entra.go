package azurecloud

import (
	"context"
	"crypto/sha1" //nolint:gosec // the thumbprints of certificates are SHA-1
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Tenant is the one tenant of the cloud.
const Tenant = "5f2c4d1a-0000-4000-8000-0000000000aa"

// tokenLife is how long tokens are accepted.
const tokenLife = time.Hour

// App is an application of the tenant.
type App struct {
	// Client is its client id.
	Client string
	// Secrets are its client secrets.
	Secrets []string
	// Certificates are those that it may sign assertions with.
	Certificates []*x509.Certificate
	// Federated are the ServiceAccounts that may stand for it.
	Federated []Federated
}

// Federated is a federated credential of an application.
type Federated struct {
	Issuer, Subject, Audience string
	// Keys returns the keys of the issuer.
	Keys func(context.Context) (*jose.JSONWebKeySet, error)
}

// grant is what a token stands for.
type grant struct {
	client, authority, resource string
	expires                     time.Time
}

// AddApp registers an application, or changes it.
func (c *Cloud) AddApp(a App) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apps[a.Client] = a
}

// Manage gives the machine a managed identity; the empty client id is that of the machine itself.
func (c *Cloud) Manage(client string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.managed[client] = true
}

// Lead has the endpoint for managed identities redirect whoever asks for one to another.
func (c *Cloud) Lead(client, other string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.led[client] = other
}

// RevokeAll makes all tokens invalid that were issued.
func (c *Cloud) RevokeAll(client string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for token, g := range c.tokens {
		if g.client == client {
			delete(c.tokens, token)
		}
	}
}

func (c *Cloud) issue(g grant) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issued++
	g.expires = time.Now().Add(tokenLife)
	token := fmt.Sprintf("token-canary-7f3e91c4-%d", c.issued)
	c.tokens[token] = g
	return token
}

// oauthError is how Entra ID refuses.
type oauthError struct {
	status int
	code   string
	number int
}

func (e *oauthError) write(w http.ResponseWriter) {
	writeJSON(w, e.status, map[string]any{
		"error": e.code, "error_description": fmt.Sprintf("AADSTS%d: no. Trace ID: %d canary-7f3e91c4", e.number, time.Now().UnixNano()),
		"error_codes": []int{e.number}, "trace_id": "7b0c", "correlation_id": "9d1e",
	})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// entra answers what is asked of an authority.
func (c *Cloud) entra(w http.ResponseWriter, r *http.Request, host string) {
	tenant, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	base := "https://" + host + "/" + tenant
	switch {
	case path == "discovery/instance":
		writeJSON(w, http.StatusOK, map[string]any{
			"tenant_discovery_endpoint": "https://" + host + "/" + Tenant + "/v2.0/.well-known/openid-configuration", "metadata": []any{},
		})
	case tenant != Tenant:
		(&oauthError{http.StatusBadRequest, "invalid_tenant", 90002}).write(w)
	case path == "v2.0/.well-known/openid-configuration":
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
		})
	case (path == "oauth2/v2.0/token" || path == "oauth2/token") && r.Method == http.MethodPost:
		c.token(w, r, host)
	default:
		http.NotFound(w, r)
	}
}

// token is the token endpoint for client credentials (RFC 6749 section 4.4, RFC 7523 section 2.2), in both of its versions: the first
// asks for a resource, the second for a scope.
func (c *Cloud) token(w http.ResponseWriter, r *http.Request, host string) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
		(&oauthError{http.StatusBadRequest, "unsupported_grant_type", 70003}).write(w)
		return
	}
	resource, ok := strings.CutSuffix(firstScope(r.PostForm), "/.default")
	if first := r.PostForm.Get("resource"); first != "" {
		resource, ok = first, true
	}
	if domain := strings.TrimPrefix(resource, "https://"); !ok || !slices.Contains([]string{vaultDomain, governmentDomain, customDomain}, domain) || authorityOf(domain) != host {
		(&oauthError{http.StatusBadRequest, "invalid_resource", 500011}).write(w)
		return
	}
	c.mu.Lock()
	app, known := c.apps[r.PostForm.Get("client_id")]
	c.mu.Unlock()
	if !known {
		(&oauthError{http.StatusBadRequest, "unauthorized_client", 700016}).write(w)
		return
	}
	if refused := app.verify(r.Context(), r.PostForm, "https://"+r.Host+r.URL.Path); refused != nil {
		refused.write(w)
		return
	}
	life := time.Now().Add(tokenLife)
	writeJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": int(tokenLife.Seconds()), "ext_expires_in": int(tokenLife.Seconds()),
		"expires_on": fmt.Sprint(life.Unix()), "not_before": fmt.Sprint(time.Now().Unix()), "resource": resource,
		"access_token": c.issue(grant{client: app.Client, authority: host, resource: resource}),
	})
}

// firstScope is the scope of the resource: clients add those of OpenID Connect.
func firstScope(form url.Values) string {
	for scope := range strings.FieldsSeq(form.Get("scope")) {
		if strings.HasPrefix(scope, "https://") {
			return scope
		}
	}
	return ""
}

// verify looks at what an application proves itself with.
func (a App) verify(ctx context.Context, form url.Values, endpoint string) *oauthError {
	if secret := form.Get("client_secret"); secret != "" {
		for _, known := range a.Secrets {
			if subtle.ConstantTimeCompare([]byte(known), []byte(secret)) == 1 {
				return nil
			}
		}
		return &oauthError{http.StatusUnauthorized, "invalid_client", 7000215}
	}
	if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return &oauthError{http.StatusUnauthorized, "invalid_client", 7000218}
	}
	assertion, err := jwt.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256})
	if err != nil || len(assertion.Headers) != 1 {
		return &oauthError{http.StatusUnauthorized, "invalid_client", 50027}
	}
	if cert := a.signer(assertion.Headers[0]); cert != nil {
		var claims jwt.Claims
		if assertion.Claims(cert.PublicKey, &claims) != nil {
			return &oauthError{http.StatusUnauthorized, "invalid_client", 700027}
		}
		if claims.Validate(jwt.Expected{Issuer: a.Client, Subject: a.Client, AnyAudience: jwt.Audience{endpoint}, Time: time.Now()}) != nil || claims.Expiry == nil {
			return &oauthError{http.StatusUnauthorized, "invalid_client", 700024}
		}
		return nil
	}
	if assertion.Headers[0].ExtraHeaders["x5t"] != nil || assertion.Headers[0].ExtraHeaders["x5t#S256"] != nil {
		return &oauthError{http.StatusUnauthorized, "invalid_client", 700027}
	}
	return a.federated(ctx, assertion)
}

// signer returns the registered certificate that the header of an assertion names.
func (a App) signer(h jose.Header) *x509.Certificate {
	for _, cert := range a.Certificates {
		one, two := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw) //nolint:gosec // a thumbprint
		if h.ExtraHeaders["x5t"] == base64.RawURLEncoding.EncodeToString(one[:]) || h.ExtraHeaders["x5t"] == base64.StdEncoding.EncodeToString(one[:]) ||
			h.ExtraHeaders["x5t#S256"] == base64.RawURLEncoding.EncodeToString(two[:]) || h.ExtraHeaders["x5t#S256"] == base64.StdEncoding.EncodeToString(two[:]) {
			return cert
		}
	}
	return nil
}

// federated checks a token of another issuer.
func (a App) federated(ctx context.Context, token *jwt.JSONWebToken) *oauthError {
	var said jwt.Claims
	if token.UnsafeClaimsWithoutVerification(&said) != nil {
		return &oauthError{http.StatusUnauthorized, "invalid_client", 50027}
	}
	for _, f := range a.Federated {
		if f.Issuer != said.Issuer || f.Subject != said.Subject {
			continue
		}
		if !said.Audience.Contains(f.Audience) {
			return &oauthError{http.StatusUnauthorized, "invalid_client", 700212}
		}
		keys, err := f.Keys(ctx)
		if err != nil {
			return &oauthError{http.StatusServiceUnavailable, "temporarily_unavailable", 90033}
		}
		var claims jwt.Claims
		if token.Claims(keys, &claims) != nil || claims.Validate(jwt.Expected{Time: time.Now()}) != nil || claims.Expiry == nil {
			return &oauthError{http.StatusUnauthorized, "invalid_client", 700024}
		}
		return nil
	}
	return &oauthError{http.StatusUnauthorized, "invalid_client", 700213}
}

// Where App Service and what is built on it has the endpoint for managed identities, and what proves that a request comes from
// inside. That of virtual machines is at an address that no test may ask.
const (
	identityPath   = "/msi/token"
	identityHeader = "inside"
)

// identity is the endpoint for managed identities ("How to use managed identities for App Service", REST endpoint reference).
func (c *Cloud) identity(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c.mu.Lock()
	known, other := c.managed[q.Get("client_id")], c.led[q.Get("client_id")]
	c.mu.Unlock()
	switch {
	case other != "":
		q.Set("client_id", other)
		http.Redirect(w, r, "?"+q.Encode(), http.StatusFound) //nolint:gosec // G710: within the endpoint, as the test asks
	case r.URL.Path != identityPath || r.Header.Get("X-IDENTITY-HEADER") != identityHeader || q.Get("api-version") != "2019-08-01":
		writeJSON(w, http.StatusUnauthorized, map[string]any{"statusCode": 401, "message": "no"})
	case !known:
		writeJSON(w, http.StatusBadRequest, map[string]any{"statusCode": 400, "message": "No managed identity found canary-7f3e91c4"})
	default:
		writeJSON(w, http.StatusOK, map[string]any{
			"token_type": "Bearer", "resource": q.Get("resource"), "expires_on": fmt.Sprint(time.Now().Add(tokenLife).Unix()),
			"access_token": c.issue(grant{client: q.Get("client_id"), authority: Authority, resource: q.Get("resource")}),
		})
	}
}
