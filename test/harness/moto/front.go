package moto

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Request is a request that the server has seen, without its content.
type Request struct {
	// Service is the name that requests are signed for: "secretsmanager", "ssm", "sts".
	Service string
	// Action is AWS's word, as in "GetSecretValue".
	Action string
	// Role is the ARN of the role whose credentials signed, and of the one that AssumeRoleWithWebIdentity asks for; empty
	// for credentials that no role gave.
	Role string
	// Region is the one that the request is signed for.
	Region string
}

// Role says who may assume a role, and what it may not do.
type Role struct {
	// Verify judges the token of a web identity and returns its subject, as AWS does by the issuer's public keys and the
	// audience. Nil: no web identity may assume the role.
	Verify func(ctx context.Context, token string) (subject string, err error)
	// Subject is the only one that the role trusts; empty: each that Verify accepts.
	Subject string
	// ExternalID is demanded of AssumeRole; empty: none is.
	ExternalID string
	// Deny are actions that the role may not do, as in "secretsmanager:BatchGetSecretValue".
	Deny []string
}

// bodyLimit is above what any request of a test holds.
const bodyLimit = 4 << 20

// front is what stands before moto.
type front struct {
	proxy *httputil.ReverseProxy

	mu       sync.Mutex
	requests []Request
	roles    map[string]Role   // by ARN
	keys     map[string]string // role ARN by access key id
	private  []string
}

func newFront(address string) (*front, error) {
	target, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("parse address of moto: %w", err)
	}
	f := &front{roles: map[string]Role{}, keys: map[string]string{}}
	f.proxy = &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: f.learn,
	}
	return f, nil
}

func (f *front) list() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

func (f *front) privates() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.private)
}

// keep notes what nobody may see but who has asked.
func (f *front) keep(texts ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range texts {
		if text != "" && !slices.Contains(f.private, text) {
			f.private = append(f.private, text)
		}
	}
}

func (f *front) declare(arn string, role Role) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roles[arn] = role
}

// refusal is an answer of AWS that is not moto's.
type refusal struct {
	status        int
	code, message string
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	seen, form := f.recognize(r, body)
	f.keep(form.Get("WebIdentityToken"))
	if seen.Service == "sts" {
		if no := f.judge(r.Context(), seen, form); no != nil {
			refuseQuery(w, no)
			return
		}
		if strings.HasPrefix(seen.Action, "AssumeRole") {
			r.Header.Set(assumed, form.Get("RoleArn"))
		}
	} else if f.denied(seen) {
		refuseJSON(w, &refusal{http.StatusBadRequest, "AccessDeniedException", "User: " + seen.Role + "/session is not authorized to perform: " + seen.Service + ":" + seen.Action + " because no identity-based policy allows the action"})
		return
	}
	f.proxy.ServeHTTP(w, r)
}

// assumed is a header by which the proxy finds the role again that an answer is about.
const assumed = "X-Test-Assumed-Role"

// recognize tells what a request is and notes it. Services of JSON name the action in a header, the others in a form.
func (f *front) recognize(r *http.Request, body []byte) (Request, url.Values) {
	seen := Request{Service: "sts"} // AssumeRoleWithWebIdentity is not signed
	key := ""
	if _, credential, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		credential, _, _ = strings.Cut(credential, ",")
		if scope := strings.Split(credential, "/"); len(scope) == 5 {
			key, seen.Region, seen.Service = scope[0], scope[2], scope[3]
		}
	}
	var form url.Values
	if _, action, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		seen.Action = action
	} else if form, _ = url.ParseQuery(string(body)); form != nil {
		seen.Action = form.Get("Action")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	seen.Role = f.keys[key]
	if seen.Action == webIdentity {
		seen.Role = form.Get("RoleArn")
	}
	f.requests = append(f.requests, seen)
	return seen, form
}

const webIdentity = "AssumeRoleWithWebIdentity"

func (f *front) denied(seen Request) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.roles[seen.Role].Deny, seen.Service+":"+seen.Action)
}

// judge says why a role may not be assumed.
func (f *front) judge(ctx context.Context, seen Request, form url.Values) *refusal {
	no := &refusal{http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:" + seen.Action}
	arn := form.Get("RoleArn")
	f.mu.Lock()
	role, declared := f.roles[arn]
	f.mu.Unlock()
	switch seen.Action {
	case "AssumeRole":
		if !declared || subtle.ConstantTimeCompare([]byte(role.ExternalID), []byte(form.Get("ExternalId"))) != 1 && role.ExternalID != "" {
			no.message = "User: " + seen.Role + "/session is not authorized to perform: sts:AssumeRole on resource: " + arn
			return no
		}
	case webIdentity:
		if !declared || role.Verify == nil {
			return no
		}
		subject, err := role.Verify(ctx, form.Get("WebIdentityToken"))
		if err != nil {
			return &refusal{http.StatusBadRequest, "InvalidIdentityToken", "The web identity token is not valid"}
		}
		if role.Subject != "" && role.Subject != subject {
			return no
		}
	}
	return nil
}

// motosWords is what moto says of a secret that is scheduled for deletion, and awssWords what AWS says.
var motosWords = regexp.MustCompile(`(An error occurred \([A-Za-z]+\) when calling the [A-Za-z]+ operation: )?You tried to\s+perform the operation on a secret that's currently marked deleted\.`)

const awssWords = "You can't perform this operation on the secret because it was marked for deletion."

// correct makes AWS's words of moto's.
func correct(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	if err != nil {
		return err
	}
	body = motosWords.ReplaceAllLiteral(body, []byte(awssWords))
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// learn notes which access keys a role has given.
func (f *front) learn(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return correct(resp)
	}
	arn := resp.Request.Header.Get(assumed)
	if arn == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	if err != nil {
		return err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	credentials, err := parseCredentials(body)
	if err != nil {
		return err
	}
	f.keep(credentials.SecretAccessKey, credentials.SessionToken)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys[credentials.AccessKeyID] = arn
	return nil
}

// Credentials are what STS gives.
type Credentials struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string `xml:"SecretAccessKey"`
	SessionToken    string `xml:"SessionToken"`
}

// parseCredentials finds the credentials in an answer of STS, whichever action it answers.
func parseCredentials(body []byte) (Credentials, error) {
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.Token()
		if err != nil {
			return Credentials{}, fmt.Errorf("find credentials in the answer of STS: %w", err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "Credentials" {
			var credentials Credentials
			if err := decoder.DecodeElement(&credentials, &start); err != nil {
				return Credentials{}, fmt.Errorf("read credentials in the answer of STS: %w", err)
			}
			return credentials, nil
		}
	}
}

func refuseQuery(w http.ResponseWriter, no *refusal) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(no.status)
	_, _ = io.WriteString(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>`)
	_ = xml.EscapeText(w, []byte(no.code))
	_, _ = io.WriteString(w, `</Code><Message>`)
	_ = xml.EscapeText(w, []byte(no.message))
	_, _ = io.WriteString(w, `</Message></Error><RequestId>00000000-0000-4000-8000-000000000000</RequestId></ErrorResponse>`)
}

func refuseJSON(w http.ResponseWriter, no *refusal) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(no.status)
	_, _ = fmt.Fprintf(w, `{"__type":%q,"Message":%q}`, no.code, no.message)
}
