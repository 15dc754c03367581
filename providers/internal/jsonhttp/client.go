package jsonhttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// MaxAnswer is the largest body that is read, in bytes: four times what a Kubernetes Secret can hold.
const MaxAnswer = 4 << 20

// Options say who the backend is. Only Base is required.
type Options struct {
	// Base is the backend's address: scheme http or https, host, and the path below which its API lies.
	Base *url.URL
	// Roots are what the backend's certificate is checked against; nil means the system's.
	Roots *x509.CertPool
	// Certificate is the client certificate; nil means none.
	Certificate *tls.Certificate
	// Header is sent with each request.
	Header http.Header
}

// Client talks to one backend. It is safe for concurrent use until it is closed.
type Client struct {
	// base has no trailing slash in its path.
	base   url.URL
	header http.Header
	http   http.Client
}

// New returns a client; nothing is connected yet.
func New(o Options) *Client {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots}
	if o.Certificate != nil {
		conf.Certificates = []tls.Certificate{*o.Certificate}
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, ControlContext: refuseMetadata}
	return &Client{base: *o.Base, header: o.Header.Clone(), http: http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, TLSClientConfig: conf, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 256 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// refuseMetadata looks at the address that a name led to, so that no second look-up can lead elsewhere.
func refuseMetadata(_ context.Context, _, address string, _ syscall.RawConn) error {
	if peer, err := netip.ParseAddrPort(address); err != nil || isMetadata(peer.Addr().Unmap().WithZone("")) {
		return errMetadata
	}
	return nil
}

// isMetadata says whether clouds give the credentials of a node to whoever asks at the address. Private and loopback
// addresses are a backend's like any other.
func isMetadata(address netip.Addr) bool {
	switch address.String() {
	case "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192": // AWS, Google, Alibaba, Azure, Oracle
		return true
	}
	return address.IsLinkLocalUnicast()
}

// Request is one request.
type Request struct {
	Method string
	// Path is relative to the base, not escaped, without a leading slash.
	Path  string
	Query url.Values
	// Header is sent in addition to the client's own, and wins.
	Header http.Header
	// Body is sent as JSON; nil means none.
	Body any
}

// Answer is what the backend said.
type Answer struct {
	Status int
	Header http.Header
	// Body is complete; it may be anything.
	Body []byte
}

// Do sends one request and reads the whole answer, whatever its status, redirects excepted. Its errors are of type
// *UnreachableError, or match ErrTooLarge.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	req, err := c.request(ctx, r)
	if err != nil {
		return nil, c.unreachable("the request could not be built", nil)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return nil, c.unreachable("it redirects elsewhere, which is not followed because credentials would go along; name the final address", nil)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	switch {
	case err != nil:
		return nil, c.explain(ctx, err)
	case len(body) > MaxAnswer:
		return nil, ErrTooLarge
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	target := c.base
	target.Path += "/" + r.Path
	target.RawQuery = r.Query.Encode()
	var body io.Reader
	if r.Body != nil {
		raw, err := json.Marshal(r.Body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "sealbridge")
	maps.Copy(req.Header, c.header)
	maps.Copy(req.Header, r.Header)
	return req, nil
}

// Close ends the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// RetryAfter returns how long the answer asks to wait (RFC 9110 section 10.2.3, in seconds); zero when it does not say,
// or says it as a date.
func (a *Answer) RetryAfter() time.Duration {
	seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 3600)) * time.Second
}
