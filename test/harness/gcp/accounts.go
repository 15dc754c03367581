package gcp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// directory are the service accounts, what they and Google sign with, and the machines. It is guarded by Cloud.mu.
type directory struct {
	accounts map[string]*account // by email
	// google is what identity tokens are signed with.
	google   *signer
	machines map[string]*Machine // by project/zone/name
	// here is the machine whose metadata server this is, nil for a pod of GKE.
	here *Machine
}

// account is a service account.
type account struct {
	email string
	// certs are the certificates of the keys that it signs with, by their ids.
	certs map[string]string
	// managed is the key that Google keeps for it.
	managed *signer
	// instead answers in the place of signJwt.
	instead http.Handler
}

// signer is a key that signs tokens.
type signer struct {
	id, cert string
	key      *rsa.PrivateKey
}

// Machine is one of Compute Engine.
type Machine struct {
	Project, Zone, Name string
	Labels              map[string]string
}

func (m Machine) path() string {
	return "projects/" + m.Project + "/zones/" + m.Zone + "/instances/" + m.Name
}

func newDirectory() directory {
	return directory{accounts: map[string]*account{}, machines: map[string]*Machine{}}
}

// booted is when all machines were created.
const booted = "2026-01-01T00:00:00Z"

// Account makes a service account, if there is none of the email.
func (c *Cloud) Account(email string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.account(email)
}

// RemoveAccount removes a service account and its keys.
func (c *Cloud) RemoveAccount(email string) {
	c.DeleteKeys(email)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.accounts, email)
}

// Boot makes a machine, and has the metadata server be the one of that; nil for one of a cluster of GKE, which vouches for no machine.
func (c *Cloud) Boot(m *Machine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.here = m
	if m != nil {
		c.machines[m.path()] = m
	}
}

// account returns the service account of an email, which it makes when there is none. The caller holds the lock.
func (c *Cloud) account(email string) *account {
	a := c.accounts[email]
	if a == nil {
		a = &account{email: email, certs: map[string]string{}}
		c.accounts[email] = a
	}
	return a
}

// uniqueID is the number of a service account, which is another name of it.
func uniqueID(email string) string {
	digest := sha256.Sum256([]byte(email))
	return "1" + fmt.Sprintf("%020d", new(big.Int).SetBytes(digest[:8]))
}

func newSigner() (*signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	cert, err := certificateOf(key)
	return &signer{id: rand.Text(), cert: cert, key: key}, err
}

// certificateOf returns a certificate of a key in PEM, as Google publishes the keys of service accounts.
func certificateOf(key crypto.Signer) (string, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "key"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", fmt.Errorf("certify key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

func (s *signer) sign(claims any) (string, error) {
	with, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: s.key, KeyID: s.id}}, nil)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return jwt.Signed(with).Claims(claims).Serialize()
}

// maySign is the permission to have Google sign as a service account.
const maySign = "iam.serviceAccounts.signJwt"

// LetSign lets a principal have Google sign as a service account.
func (c *Cloud) LetSign(principal, email string) {
	c.Grant(principal, "projects/-/serviceAccounts/"+email, maySign)
}

// SignInstead has a handler answer who wants Google to sign as a service account.
func (c *Cloud) SignInstead(email string, handler http.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.account(email).instead = handler
}

// signAs signs claims with the key that Google keeps for a service account. The caller holds the lock.
func (c *Cloud) signAs(email, payload string) (keyID, token string, err error) {
	var claims map[string]any
	if err := json.Unmarshal([]byte(payload), &claims); err != nil {
		return "", "", fmt.Errorf("read payload: %w", err)
	}
	a := c.account(email)
	if a.managed == nil {
		if a.managed, err = newSigner(); err != nil {
			return "", "", err
		}
		a.certs[a.managed.id] = a.managed.cert
	}
	token, err = a.managed.sign(claims)
	return a.managed.id, token, err
}

// serveSign is the method signJwt of the IAM Service Account Credentials API.
func (c *Cloud) serveSign(w http.ResponseWriter, r *http.Request, email string, body []byte) {
	var request struct{ Payload string }
	c.mu.Lock()
	defer c.mu.Unlock()
	if instead := c.account(email).instead; instead != nil {
		instead.ServeHTTP(w, r)
		return
	}
	principal, ok := c.principal(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	switch {
	case !ok:
		deny(w, http.StatusUnauthorized, "UNAUTHENTICATED")
		return
	case !c.may(principal, "projects/-/serviceAccounts/"+email, maySign):
		deny(w, http.StatusForbidden, "PERMISSION_DENIED")
		return
	case json.Unmarshal(body, &request) != nil:
		deny(w, http.StatusBadRequest, "INVALID_ARGUMENT")
		return
	}
	id, signed, err := c.signAs(email, request.Payload)
	if err != nil {
		deny(w, http.StatusBadRequest, "INVALID_ARGUMENT")
		return
	}
	answer(w, http.StatusOK, map[string]string{"keyId": id, "signedJwt": signed})
}

// identityToken vouches for the node and, where it is one, for the machine. The caller holds the lock.
func (c *Cloud) identityToken(audience string) (string, error) {
	email := strings.TrimPrefix(c.node, "serviceAccount:")
	if c.google == nil {
		var err error
		if c.google, err = newSigner(); err != nil {
			return "", err
		}
	}
	claims := map[string]any{
		"iss": "https://accounts.google.com", "aud": audience, "sub": uniqueID(email), "azp": uniqueID(email), "email": email, "email_verified": true,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}
	if m := c.here; m != nil {
		created, err := time.Parse(time.RFC3339, booted)
		if err != nil {
			return "", fmt.Errorf("read time: %w", err)
		}
		claims["google"] = map[string]any{"compute_engine": map[string]any{
			"project_id": m.Project, "project_number": 1, "zone": m.Zone, "instance_id": "7", "instance_name": m.Name, "instance_creation_timestamp": created.Unix(),
		}}
	}
	return c.google.sign(claims)
}

// lookupHosts are where it is looked up who somebody is.
func lookupHosts() []string {
	return []string{"www.googleapis.com", "iam.googleapis.com", "compute.googleapis.com"}
}

// serveLookups answers who verifies tokens: the certificates of keys, for everybody, and service accounts and machines.
func (c *Cloud) serveLookups(w http.ResponseWriter, r *http.Request, host string) {
	if c.count(r.Context(), "lookup") != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch path := r.URL.Path; host {
	case "www.googleapis.com":
		email, ofAccount := strings.CutPrefix(path, "/service_accounts/v1/metadata/x509/")
		switch a := c.lookup(email); {
		case path == "/oauth2/v1/certs" && c.google == nil:
			answer(w, http.StatusOK, map[string]string{})
		case path == "/oauth2/v1/certs":
			answer(w, http.StatusOK, map[string]string{c.google.id: c.google.cert})
		case ofAccount && a != nil:
			answer(w, http.StatusOK, a.certs)
		default:
			deny(w, http.StatusNotFound, "NOT_FOUND")
		}
	case "iam.googleapis.com":
		c.serveAccount(w, r, strings.TrimPrefix(path, "/v1/"))
	default:
		c.serveMachine(w, r, strings.TrimPrefix(path, "/compute/v1/"))
	}
}

// lookup returns the service account of an email or a number, nil for none. The caller holds the lock.
func (c *Cloud) lookup(name string) *account {
	for email, a := range c.accounts {
		if name == email || name == uniqueID(email) {
			return a
		}
	}
	return nil
}

// allowed reports whether who asks may do something with a resource, and says so when not. The caller holds the lock.
func (c *Cloud) allowed(w http.ResponseWriter, r *http.Request, resource, permission string) bool {
	principal, known := c.principal(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	switch {
	case !known:
		deny(w, http.StatusUnauthorized, "UNAUTHENTICATED")
	case !c.may(principal, resource, permission):
		deny(w, http.StatusForbidden, "PERMISSION_DENIED")
	default:
		return true
	}
	return false
}

func (c *Cloud) serveAccount(w http.ResponseWriter, r *http.Request, resource string) {
	name := strings.TrimPrefix(resource, "projects/-/serviceAccounts/")
	a := c.lookup(name)
	if a == nil {
		deny(w, http.StatusNotFound, "NOT_FOUND")
		return
	}
	if c.allowed(w, r, "projects/-/serviceAccounts/"+a.email, "iam.serviceAccounts.get") {
		_, domain, _ := strings.Cut(a.email, "@")
		project, _, _ := strings.Cut(domain, ".")
		answer(w, http.StatusOK, map[string]string{"name": resource, "projectId": project, "uniqueId": uniqueID(a.email), "email": a.email})
	}
}

func (c *Cloud) serveMachine(w http.ResponseWriter, r *http.Request, resource string) {
	if !c.allowed(w, r, resource, "compute.instances.get") {
		return
	}
	m := c.machines[resource]
	if m == nil {
		deny(w, http.StatusNotFound, "NOT_FOUND")
		return
	}
	const at = "https://www.googleapis.com/compute/v1/"
	answer(w, http.StatusOK, map[string]any{
		"id": "7", "name": m.Name, "zone": at + "projects/" + m.Project + "/zones/" + m.Zone, "selfLink": at + resource,
		"status": "RUNNING", "creationTimestamp": booted, "labels": m.Labels,
	})
}

// deny answers as Google's APIs do.
func deny(w http.ResponseWriter, code int, status string) {
	answer(w, code, map[string]any{"error": map[string]any{"code": code, "status": status, "message": "refused"}})
}
