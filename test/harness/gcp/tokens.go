package gcp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// identities are who is known. It is guarded by Cloud.mu.
type identities struct {
	tokens   map[string]issued
	keys     map[string]*rsa.PublicKey // by email/key id
	pools    map[string]Issuer         // by audience
	aws      map[string]AWSIdentity    // by audience
	lifetime time.Duration
	// node is the principal of the metadata server's tokens.
	node string
	// cluster is what the metadata server tells, by path.
	cluster map[string]string
}

type issued struct {
	principal string
	expires   time.Time
}

// Issuer is who issues tokens that a pool trusts.
type Issuer struct {
	// URL is the issuer, Keys are those it signs with, and Audience is what its tokens must be for.
	URL      string
	Keys     jose.JSONWebKeySet
	Audience string
}

func newIdentities() identities {
	return identities{
		tokens: map[string]issued{}, keys: map[string]*rsa.PublicKey{}, pools: map[string]Issuer{}, aws: map[string]AWSIdentity{}, lifetime: time.Hour,
		cluster: map[string]string{},
	}
}

// Key makes a service account of the email and a key for it, as JSON.
func (c *Cloud) Key(email string) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make key of %s: %w", email, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key of %s: %w", email, err)
	}
	cert, err := certificateOf(key)
	if err != nil {
		return nil, err
	}
	id := rand.Text()
	c.mu.Lock()
	c.keys[email+"/"+id] = &key.PublicKey
	c.account(email).certs[id] = cert
	c.mu.Unlock()
	return json.Marshal(map[string]string{ //nolint:gosec // G101: a key of the harness's own making
		"type": "service_account", "client_email": email, "private_key_id": id, "token_uri": "https://oauth2.googleapis.com/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
}

// DeleteKeys makes all keys of a service account be refused.
func (c *Cloud) DeleteKeys(email string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.keys {
		if key, of := strings.CutPrefix(id, email+"/"); of {
			delete(c.keys, id)
			delete(c.account(email).certs, key)
		}
	}
}

// Trust has a pool trust an issuer. The audience is "identitynamespace:<pool>:<cluster>" for GKE, else the resource name of the
// pool's provider.
func (c *Cloud) Trust(audience string, issuer Issuer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pools[audience] = issuer
}

// Lifetime sets how long tokens are valid that are issued from now on.
func (c *Cloud) Lifetime(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lifetime = d
}

// RevokeTokens makes all tokens be refused that were issued.
func (c *Cloud) RevokeTokens() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tokens)
}

// Cluster sets what the metadata server tells: the project, the location and the name of the cluster, and the principal of the
// node's own tokens; empty for nothing.
func (c *Cloud) Cluster(project, location, name, node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.node = node
	if email, ok := strings.CutPrefix(node, "serviceAccount:"); ok {
		c.account(email)
	}
	c.cluster = map[string]string{"project/project-id": project, "instance/attributes/cluster-location": location, "instance/attributes/cluster-name": name}
}

// issue makes a token. The caller holds the lock.
func (c *Cloud) issue(principal string) (string, time.Duration) {
	token := "ya29." + rand.Text()
	c.tokens[token] = issued{principal, time.Now().Add(c.lifetime)}
	return token, c.lifetime
}

// principal returns whose a token is. The caller holds the lock.
func (c *Cloud) principal(token string) (string, bool) {
	t, ok := c.tokens[token]
	return t.principal, ok && time.Now().Before(t.expires)
}

// serveTokens answers what is no gRPC.
func (c *Cloud) serveTokens(w http.ResponseWriter, r *http.Request, host string) {
	kinds := map[string]string{
		"oauth2.googleapis.com/token": "token", "sts.googleapis.com/v1/token": "exchange", "securetoken.googleapis.com/v1/identitybindingtoken": "identitybindingtoken",
	}
	kind := kinds[host+r.URL.Path]
	email, generates := strings.CutPrefix(r.URL.Path, "/v1/projects/-/serviceAccounts/")
	email, method := strings.CutSuffix(email, ":generateAccessToken")
	signer, signs := strings.CutSuffix(email, ":signJwt")
	switch {
	case host != "iamcredentials.googleapis.com" || !generates:
	case method:
		kind = "generateAccessToken"
	case signs:
		kind = "signJwt"
	}
	if kind == "" || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	if c.count(r.Context(), kind) != nil {
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	switch kind {
	case "signJwt":
		c.serveSign(w, r, signer, body)
		return
	case "generateAccessToken":
		c.serveGenerate(w, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), email)
		return
	case "identitybindingtoken":
		var fields map[string]string
		if json.Unmarshal(body, &fields) != nil {
			fields = nil
		}
		c.serveExchange(w, func(name string) string { return fields[name] })
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		refuse(w, "invalid_request")
		return
	}
	if kind == "token" {
		c.serveAssertion(w, form)
		return
	}
	c.serveExchange(w, form.Get)
}

const scope = "https://www.googleapis.com/auth/cloud-platform"

// serveAssertion is RFC 7523: an assertion that the key of a service account has signed.
func (c *Cloud) serveAssertion(w http.ResponseWriter, form url.Values) {
	token, err := jwt.ParseSigned(form.Get("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(token.Headers) != 1 {
		refuse(w, "invalid_request")
		return
	}
	var claims struct {
		jwt.Claims
		Scope string `json:"scope"`
	}
	if token.UnsafeClaimsWithoutVerification(&claims) != nil {
		refuse(w, "invalid_grant")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := c.keys[claims.Issuer+"/"+token.Headers[0].KeyID]
	if key == nil || token.Claims(key, &claims) != nil || claims.Scope != scope ||
		claims.Validate(jwt.Expected{AnyAudience: jwt.Audience{"https://oauth2.googleapis.com/token"}, Time: time.Now()}) != nil {
		refuse(w, "invalid_grant")
		return
	}
	c.give(w, "serviceAccount:"+claims.Issuer)
}

// serveExchange is RFC 8693: the token of somebody whom a pool trusts.
func (c *Cloud) serveExchange(w http.ResponseWriter, field func(string) string) {
	if field("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange" || field("scope") != scope ||
		field("requested_token_type") != "urn:ietf:params:oauth:token-type:access_token" {
		refuse(w, "invalid_request")
		return
	}
	audience, subject := field("audience"), field("subject_token")
	c.mu.Lock()
	defer c.mu.Unlock()
	if identity, ok := c.aws[audience]; ok && field("subject_token_type") == "urn:ietf:params:aws:token-type:aws4_request" {
		if !identity.signed(subject, audience) {
			refuse(w, "invalid_grant")
			return
		}
		c.give(w, "principal:"+audience+"/subject/"+identity.AccessKeyID)
		return
	}
	issuer, ok := c.pools[audience]
	if !ok || field("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" {
		refuse(w, "invalid_target")
		return
	}
	name, ok := issuer.verify(subject)
	if !ok {
		refuse(w, "invalid_grant")
		return
	}
	c.give(w, Principal(audience, name))
}

// Principal returns how grants call a subject of a pool.
func Principal(audience, subject string) string {
	if namespace, ok := strings.CutPrefix(audience, "identitynamespace:"); ok {
		pool, _, _ := strings.Cut(namespace, ":")
		return "serviceAccount:" + pool + "[" + strings.Replace(strings.TrimPrefix(subject, "system:serviceaccount:"), ":", "/", 1) + "]"
	}
	return "principal:" + audience + "/subject/" + subject
}

// verify returns the subject of a token of the issuer.
func (i Issuer) verify(raw string) (string, bool) {
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		return "", false
	}
	var claims jwt.Claims
	err = token.Claims(i.Keys, &claims)
	if err != nil || claims.Validate(jwt.Expected{Issuer: i.URL, AnyAudience: jwt.Audience{i.Audience}, Time: time.Now()}) != nil {
		return "", false
	}
	return claims.Subject, true
}

// mayActAs is the permission to get tokens of a service account.
const mayActAs = "iam.serviceAccounts.getAccessToken"

func (c *Cloud) serveGenerate(w http.ResponseWriter, token, email string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	principal, ok := c.principal(token)
	if !ok {
		deny(w, http.StatusUnauthorized, "UNAUTHENTICATED")
		return
	}
	if !c.may(principal, "projects/-/serviceAccounts/"+email, mayActAs) {
		deny(w, http.StatusForbidden, "PERMISSION_DENIED")
		return
	}
	made, lifetime := c.issue("serviceAccount:" + email)
	answer(w, http.StatusOK, map[string]any{"accessToken": made, "expireTime": time.Now().Add(lifetime).UTC().Format(time.RFC3339)})
}

// LetActAs lets a principal get tokens of a service account.
func (c *Cloud) LetActAs(principal, email string) {
	c.Grant(principal, "projects/-/serviceAccounts/"+email, mayActAs)
}

// iamCredentials is google.iam.credentials.v1.IAMCredentials, for those who ask by gRPC.
type iamCredentials struct {
	credentialspb.UnimplementedIAMCredentialsServer
	*Cloud
}

// GenerateAccessToken implements the service.
func (i *iamCredentials) GenerateAccessToken(ctx context.Context, r *credentialspb.GenerateAccessTokenRequest) (*credentialspb.GenerateAccessTokenResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.allow(ctx, r.GetName(), mayActAs); err != nil {
		return nil, err
	}
	email, ok := strings.CutPrefix(r.GetName(), "projects/-/serviceAccounts/")
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "Invalid resource name.")
	}
	token, lifetime := i.issue("serviceAccount:" + email)
	return &credentialspb.GenerateAccessTokenResponse{AccessToken: token, ExpireTime: timestamppb.New(time.Now().Add(lifetime))}, nil
}

// SignJwt implements the service.
func (i *iamCredentials) SignJwt(ctx context.Context, r *credentialspb.SignJwtRequest) (*credentialspb.SignJwtResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	email, ok := strings.CutPrefix(r.GetName(), "projects/-/serviceAccounts/")
	if !ok || email == "" {
		return nil, status.Error(codes.InvalidArgument, "Invalid resource name.")
	}
	if err := i.allow(ctx, r.GetName(), maySign); err != nil {
		return nil, err
	}
	id, token, err := i.signAs(email, r.GetPayload())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "Invalid payload.")
	}
	return &credentialspb.SignJwtResponse{KeyId: id, SignedJwt: token}, nil
}

// serveMetadata is the metadata server of a node.
func (c *Cloud) serveMetadata(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Metadata-Flavor") != "Google" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests["metadata"]++
	w.Header().Set("Metadata-Flavor", "Google")
	switch text := c.cluster[path]; {
	case text != "":
		_, _ = io.WriteString(w, text)
	case path == "instance/service-accounts/default/token" && c.node != "":
		token, lifetime := c.issue(c.node)
		answer(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": int(lifetime.Seconds()), "token_type": "Bearer"})
	case path == "instance/service-accounts/default/identity" && c.node != "" && r.URL.Query().Get("audience") != "":
		token, err := c.identityToken(r.URL.Query().Get("audience"))
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, token)
	default:
		http.NotFound(w, r)
	}
}

// give answers with a new token. The caller holds the lock.
func (c *Cloud) give(w http.ResponseWriter, principal string) {
	token, lifetime := c.issue(principal)
	answer(w, http.StatusOK, map[string]any{ //nolint:gosec // G101: a token of the harness's own making
		"access_token": token, "expires_in": int(lifetime.Seconds()), "token_type": "Bearer", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
	})
}

func refuse(w http.ResponseWriter, code string) {
	answer(w, http.StatusBadRequest, map[string]any{"error": code, "error_description": "refused"})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // nobody is left to tell
}
