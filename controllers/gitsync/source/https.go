package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/sealbridge/sealbridge/internal/proxy"
	"github.com/sealbridge/sealbridge/internal/retryafter"
	"github.com/sealbridge/sealbridge/providers"
)

// connection speaks the upload-pack service of Git's protocol, version 0 (gitprotocol-pack(5), gitprotocol-http(5)).
type connection interface {
	// advertise returns what the server announces: references and capabilities.
	advertise(ctx context.Context) (*packp.AdvRefs, error)
	// upload sends a request and returns the server's answer, as it arrives. The caller closes it.
	upload(ctx context.Context, request []byte) (io.ReadCloser, error)
	close()
}

// httpsConnection is the "smart" HTTP transport.
type httpsConnection struct {
	client *http.Client
	auth   Auth
	base   string // where the server answers, after redirects within the host
	limits Limits
}

const service = "git-upload-pack"

func openHTTPS(r remote, auth Auth, limits Limits) *httpsConnection {
	transport := &http.Transport{
		DialContext:           dial,
		TLSClientConfig:       auth.tls.Clone(),
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		MaxIdleConnsPerHost:   1,
		ForceAttemptHTTP2:     true,
	}
	proxy.Use(transport)
	return &httpsConnection{
		client: &http.Client{Transport: transport, CheckRedirect: sameOrigin},
		auth:   auth, base: r.https().String(), limits: limits,
	}
}

// https is where the repository is asked for.
func (r remote) https() *url.URL {
	base := &url.URL{Scheme: "https", Host: r.host, Path: strings.TrimSuffix(r.path, "/")}
	if strings.Contains(r.host, ":") || r.port != "443" {
		base.Host = r.address()
	}
	return base
}

// otherOriginError is a redirect that would take the credentials, or the trust in the repository, to another server.
type otherOriginError struct{ host string }

func (e *otherOriginError) Error() string { return "redirects to another server" }

// sameOrigin follows redirects of the same scheme, host and port only.
func sameOrigin(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
		return &otherOriginError{host: req.URL.Hostname()}
	}
	if len(via) > 5 || req.Method != http.MethodGet {
		return http.ErrUseLastResponse
	}
	return nil
}

func (c *httpsConnection) advertise(ctx context.Context) (*packp.AdvRefs, error) {
	const suffix = "/info/refs"
	res, err := c.do(ctx, http.MethodGet, c.base+suffix+"?service="+service, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.Header.Get("Content-Type") != "application/x-git-upload-pack-advertisement" {
		return nil, errNotGit
	}
	final := *res.Request.URL
	final.RawQuery = ""
	base, ok := strings.CutSuffix(final.String(), suffix)
	if !ok {
		return nil, errNotGit
	}
	c.base = base
	return decodeAdvertisement(&boundedReader{r: res.Body, left: c.limits.AdvertisedBytes})
}

func (c *httpsConnection) upload(ctx context.Context, request []byte) (io.ReadCloser, error) {
	res, err := c.do(ctx, http.MethodPost, c.base+"/"+service, request)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// do sends one request and turns every status but 200 into an error; bodies of errors are not read.
func (c *httpsConnection) do(ctx context.Context, method, target string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, providers.Errorf(providers.ErrInvalid, "its URL cannot be requested")
	}
	req.Header.Set("User-Agent", "git/2 (sealbridge)")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		req.Header.Set("Accept", "application/x-git-upload-pack-result")
	}
	switch {
	case c.auth.username != "":
		req.SetBasicAuth(c.auth.username, c.auth.password)
	case c.auth.bearer != "":
		req.Header.Set("Authorization", "Bearer "+c.auth.bearer)
	}
	res, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	_ = res.Body.Close()
	return nil, c.statusError(res)
}

func (c *httpsConnection) statusError(res *http.Response) error {
	anonymous := c.auth.username == "" && c.auth.bearer == ""
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized && anonymous:
		return providers.Errorf(providers.ErrDenied, "the server asks for credentials; set spec.secretRef")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return providers.Errorf(providers.ErrDenied,
			"the server refuses the credentials (HTTP %d); check the Secret of spec.secretRef", code)
	case code == http.StatusNotFound, code == http.StatusGone:
		return providers.Errorf(providers.ErrNotFound,
			"the server has no such repository (HTTP %d), or does not show it to these credentials", code)
	case code == http.StatusTooManyRequests:
		after, _ := retryafter.In(res.Header, time.Now())
		return &providers.ThrottledError{After: after}
	case code >= 300 && code < 400:
		return providers.Errorf(providers.ErrInvalid, "the server redirects (HTTP %d); set spec.url to where it leads", code)
	default:
		return providers.Errorf(providers.ErrUnavailable, "the server answers HTTP %d", code)
	}
}

func (c *httpsConnection) close() { c.client.CloseIdleConnections() }

var (
	errNotGit   = errors.New("not a Git server")
	errTooLarge = errors.New("too large")
	errEmpty    = errors.New("empty repository")
)

func decodeAdvertisement(r io.Reader) (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	err := adv.Decode(r)
	var unexpected *packp.ErrUnexpectedData
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs):
		return nil, errEmpty
	case errors.As(err, &unexpected), errors.Is(err, pktline.ErrInvalidPktLen):
		return nil, errNotGit
	case err != nil:
		return nil, fmt.Errorf("read the list of references: %w", err)
	case adv.IsEmpty():
		return nil, errEmpty
	}
	return adv, nil
}

// boundedReader fails with errTooLarge once more than left bytes were read: the limit works while a transfer runs.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
