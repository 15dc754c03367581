package googleidentity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/internal/proxy"
)

// wire is the transport of the libraries that get tokens, whose errors are texts: it keeps what the last request brought, so
// that errors of ours can be of a class and hold nothing of the answer. It is used by one goroutine.
type wire struct {
	guarded *jsonhttp.Client
	plain   *http.Transport
	// trusted is set when whoever runs the controller named where requests go, and aws when the store uses the identity that AWS
	// gives to the node, which has to be asked for where stores may not look otherwise.
	trusted, aws bool
	last         answered
}

// answered is what a request brought: either err, or a status.
type answered struct {
	err    error
	host   string
	status int
	after  time.Duration
	// code is the error code of OAuth as messages show it: in parentheses, or empty.
	code string
}

// connectTimeout is how long somebody may take to answer a connection.
const connectTimeout = 10 * time.Second

func newWire() *wire {
	w := &wire{
		guarded: jsonhttp.New(jsonhttp.Options{RootsHint: "the controller must trust what is between (SSL_CERT_FILE)"}),
		plain: &http.Transport{
			DisableKeepAlives: true, TLSHandshakeTimeout: connectTimeout, DialContext: (&net.Dialer{Timeout: connectTimeout}).DialContext,
		},
	}
	proxy.Use(w.plain)
	return w
}

func (w *wire) close() {
	w.guarded.Close()
	w.plain.CloseIdleConnections()
}

func (w *wire) client() *http.Client {
	return &http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (w *wire) asked() bool { return w.last.err != nil || w.last.status != 0 }

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	send := w.guard
	if w.trusted || w.aws && ofNode(r.URL) {
		send = w.pass
	}
	answer, err := send(r)
	if err != nil {
		w.last = answered{err: err, host: r.URL.Hostname()}
		return nil, err
	}
	w.last = answered{host: r.URL.Hostname(), status: answer.Status, after: answer.RetryAfter(), code: oauthCode(answer.Body)}
	return &http.Response{
		Status: http.StatusText(answer.Status), StatusCode: answer.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: answer.Header, Body: io.NopCloser(bytes.NewReader(answer.Body)), ContentLength: int64(len(answer.Body)), Request: r,
	}, nil
}

// guard sends where addresses at which nodes get their credentials are refused.
func (w *wire) guard(r *http.Request) (*jsonhttp.Answer, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		_ = r.Body.Close()
	}
	return w.guarded.Do(r.Context(), jsonhttp.Request{Method: r.Method, URL: r.URL, Peer: r.URL.Hostname(), Header: r.Header, Raw: body})
}

// errNode is what an operator is told of a server that the controller's own environment names.
var errNode = errors.New("the server that gives the controller its own identity does not answer")

// pass sends to wherever the request goes.
func (w *wire) pass(r *http.Request) (*jsonhttp.Answer, error) {
	resp, err := w.plain.RoundTrip(r)
	if err != nil {
		return nil, between(r.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, jsonhttp.MaxAnswer))
	if err != nil {
		return nil, errNode
	}
	return &jsonhttp.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// between is the error for no answer of a server that the controller's own environment names.
func between(u *url.URL, err error) error {
	if fault := proxy.To(u).Fault(err); fault != "" {
		return errors.New(fault)
	}
	return errNode
}

// oauthCode returns the error code of RFC 6749 section 5.2 and RFC 8693 section 2.2.2, as messages show it: one that is known,
// because anything else might quote what was sent.
func oauthCode(body []byte) string {
	var answer struct {
		Error json.RawMessage `json:"error"`
	}
	var code string
	if json.Unmarshal(body, &answer) != nil || json.Unmarshal(answer.Error, &code) != nil {
		return ""
	}
	if !slices.Contains([]string{
		"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "invalid_target",
	}, code) {
		return ""
	}
	return " (" + code + ")"
}

// nodeHosts are where AWS gives a node its credentials.
func nodeHosts() []string { return []string{"169.254.169.254", "fd00:ec2::254"} }

// ofNode reports whether an address is one of those at which AWS gives a node its credentials.
func ofNode(u *url.URL) bool {
	return u.Scheme == "http" && u.Port() == "" && u.User == nil && slices.Contains(nodeHosts(), u.Hostname()) && strings.HasPrefix(u.Path, "/latest/")
}

// metadataServer answers what a cluster of GKE knows of itself. It is asked over a client of its own, whose connections end with each
// answer, and never through a proxy.
type metadataServer struct{ client *metadata.Client }

// metadataTimeout is how long it is waited for; outside of Google Cloud nobody answers.
const metadataTimeout = 5 * time.Second

func newMetadataServer() metadataServer {
	return metadataServer{metadata.NewWithOptions(&metadata.Options{Logger: silence(), Client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: metadataTimeout}).DialContext,
	}}})}
}

// project asks each time: the library would remember an answer for all of the process.
func (m metadataServer) project(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	return m.client.GetWithContext(ctx, "project/project-id")
}

// identity asks for a token (JWT) for an audience by which the metadata server vouches for the machine and its service account.
func (m metadataServer) identity(ctx context.Context, audience string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	query := url.Values{"audience": {audience}, "format": {"full"}}
	return m.client.GetWithContext(ctx, "instance/service-accounts/default/identity?"+query.Encode())
}

func (m metadataServer) attribute(name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
		defer cancel()
		return m.client.InstanceAttributeValueWithContext(ctx, name)
	}
}
