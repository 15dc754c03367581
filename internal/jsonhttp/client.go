package jsonhttp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/sealbridge/sealbridge/internal/cloudmetadata"
	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/internal/proxy"
	"github.com/sealbridge/sealbridge/internal/retryafter"
)

// MaxAnswer is the largest body that is read, in bytes: four times what a Kubernetes Secret can hold.
const MaxAnswer = 4 << 20

// Options say who the backend is.
type Options struct {
	// Base is the backend's address: scheme http or https, host, and the path below which its API lies. It is required,
	// unless each request has a URL of its own.
	Base *url.URL
	// Roots are what the backend's certificate is checked against; nil means the system's.
	Roots *x509.CertPool
	// ServerName is what the backend's certificate must be for; the host of the address when empty.
	ServerName string
	// RootsHint says what to do about a certificate of an unknown authority; empty means what a store has for it.
	RootsHint string
	// Certificate is the client certificate; nil means none.
	Certificate *tls.Certificate
	// Header is sent with each request.
	Header http.Header
	// Opaque is set for a backend whose answers may be anything. All others answer JSON of at most property.MaxParts values.
	Opaque bool
	// Handshake wraps the transport of a protocol that authenticates connections instead of requests; nil means none. The
	// requests go one after the other then, over one HTTP/1.1 connection.
	Handshake func(http.RoundTripper) http.RoundTripper
}

// Client talks to one backend. It is safe for concurrent use until it is closed.
type Client struct {
	// base has no trailing slash in its path.
	base   url.URL
	hint   string
	header http.Header
	http   http.Client
	open   *connections
	opaque bool
	// turn holds one token, for clients whose requests go one after the other; else nil.
	turn chan struct{}
}

// New returns a client; nothing is connected yet.
func New(o Options) *Client {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots, ServerName: o.ServerName}
	if o.Certificate != nil {
		conf.Certificates = []tls.Certificate{*o.Certificate}
	}
	open := &connections{dialer: newDialer()}
	transport := &http.Transport{
		DialContext: open.dial, TLSClientConfig: conf, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 256 << 10,
	}
	proxy.Use(transport)
	c := &Client{hint: cmp.Or(o.RootsHint, "set caBundle or caProvider"), header: o.Header.Clone(), opaque: o.Opaque, open: open, http: http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if o.Base != nil {
		c.base = *o.Base
	}
	if o.Handshake != nil {
		transport.ForceAttemptHTTP2, transport.MaxConnsPerHost = false, 1
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		c.http.Transport, c.turn = connectionBound{o.Handshake(settled{transport}), transport}, make(chan struct{}, 1)
	}
	return c
}

// settled is a transport whose refusals are read when it returns them. A handshake asks again before it has read them, and would
// wait for ever for the one connection that they are still on.
type settled struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (s settled) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.Transport.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// connectionBound is a transport in a wrapping that would hide its connections from Close.
type connectionBound struct {
	http.RoundTripper
	transport *http.Transport
}

// CloseIdleConnections is what http.Client looks for.
func (c connectionBound) CloseIdleConnections() { c.transport.CloseIdleConnections() }

// refuseMetadata looks at the address that a name led to, so that no second look-up can lead elsewhere.
func refuseMetadata(_ context.Context, _, address string, _ syscall.RawConn) error {
	if peer, err := netip.ParseAddrPort(address); err != nil || cloudmetadata.Has(peer.Addr()) {
		return errMetadata
	}
	return nil
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

	// URL is where the request goes instead of Base, Path and Query; Peer is what errors call it, because a URL may hold
	// values.
	URL  *url.URL
	Peer string
	// Raw is sent as it is instead of Body.
	Raw []byte

	// Overtime is how long the request may still take when its context ends while it is under way: for what makes something
	// that nobody could take away again without the answer.
	Overtime time.Duration
}

// Answer is what the backend said.
type Answer struct {
	Status int
	Header http.Header
	// Body is complete; it may be anything.
	Body []byte
}

// Do sends one request and reads the whole answer, whatever its status, redirects excepted. Its errors are of type
// *UnreachableError, or match ErrTooLarge or large.ErrBusy.
func (c *Client) Do(ctx context.Context, r Request) (*Answer, error) {
	peer := r.Peer
	if r.URL == nil {
		peer = c.base.Scheme + "://" + c.base.Host
	}
	to := route{peer: peer}
	if ctx.Err() != nil {
		return nil, c.explain(ctx, to, ctx.Err())
	}
	underway, end := withOvertime(ctx, r.Overtime)
	defer end()
	req, err := c.request(underway, r)
	if err != nil {
		return nil, unreachable(peer, "the request could not be built", nil)
	}
	to.way = proxy.To(req.URL)
	packs := acceptPacked(req.Header)
	if c.turn != nil {
		select {
		case c.turn <- struct{}{}:
			defer func() { <-c.turn }()
		case <-ctx.Done():
			return nil, c.explain(ctx, to, ctx.Err())
		}
	}
	c.open.use()
	defer c.open.leave()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, to, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if fault := to.way.Refused(resp); fault != "" {
		return nil, unreachable(peer, fault, nil)
	}
	if redirects(resp.StatusCode) {
		return nil, unreachable(peer, "it redirects elsewhere, which is not followed because credentials would go along; name the final address", nil)
	}
	body, err := read(ctx, resp, packs)
	var packed *http.MaxBytesError
	switch {
	case errors.Is(err, large.ErrBusy):
		return nil, err
	case errors.As(err, &packed):
		return nil, ErrTooLarge
	case err != nil:
		return nil, c.explain(ctx, to, err)
	case len(body) > MaxAnswer || !c.opaque && property.TooMany(body):
		return nil, ErrTooLarge
	}
	return &Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// read reads an answer, and one byte more than it may have. It waits for its turn before it reads what is large.
func read(ctx context.Context, resp *http.Response, packs bool) ([]byte, error) {
	from := io.Reader(resp.Body)
	if packs {
		var err error
		if from, err = unpacked(resp); err != nil {
			return nil, err
		}
	}
	body, err := io.ReadAll(io.LimitReader(from, large.Answer+1))
	if err != nil || len(body) <= large.Answer {
		return body, err
	}
	if err := large.Take(ctx); err != nil {
		return nil, err
	}
	rest, err := io.ReadAll(io.LimitReader(from, int64(MaxAnswer+1-len(body))))
	return append(body, rest...), err
}

// withOvertime returns a context that ends some time after another.
func withOvertime(ctx context.Context, overtime time.Duration) (context.Context, context.CancelFunc) {
	if overtime <= 0 {
		return ctx, func() {}
	}
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(overtime, cancel) })
	return later, func() {
		stop()
		cancel()
	}
}

// redirects reports whether a status asks to go elsewhere. The others of its hundred do not.
func redirects(status int) bool {
	switch status {
	case http.StatusMultipleChoices, http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusUseProxy, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	default:
		return false
	}
}

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	target := r.URL
	if target == nil {
		base := c.base
		base.Path += "/" + r.Path
		base.RawQuery = r.Query.Encode()
		target = &base
	}
	header := http.Header{"User-Agent": {"sealbridge"}, "Accept": {"application/json"}}
	body := r.Raw
	if r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		header.Set("Content-Type", "application/json")
	}
	maps.Copy(header, c.header)
	maps.Copy(header, r.Header)
	req, err := http.NewRequestWithContext(ctx, r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	req.Header = header
	if target.User != nil && header.Get("Authorization") == "" {
		password, _ := target.User.Password()
		req.SetBasicAuth(target.User.Username(), password)
	}
	return req, nil
}

// Dial connects to a host and port (or to the usual one of the scheme) and hangs up: somebody is there. It says nothing
// where a proxy stands between. Its errors are of type *UnreachableError.
func (c *Client) Dial(ctx context.Context, u *url.URL) error {
	peer := u.Scheme + "://" + u.Host
	if proxy.To(u).Via != nil {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = u.Scheme // net knows their ports by name
	}
	conn, err := newDialer().DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return c.explain(ctx, route{peer: peer}, err)
	}
	_ = conn.Close()
	return nil
}

func newDialer() *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, ControlContext: refuseMetadata}
}

// Close ends the connections: those of requests that are under way when the last of these has ended.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.open.end()
}

// RetryAfter returns how long the answer asks to wait, an hour at most; zero when it does not say.
func (a *Answer) RetryAfter() time.Duration {
	wait, _ := retryafter.In(a.Header, time.Now())
	return wait
}
