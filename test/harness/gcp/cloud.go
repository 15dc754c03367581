package gcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc"

	"cloud.google.com/go/iam/credentials/apiv1/credentialspb"

	"github.com/sealbridge/sealbridge/test/harness/pki"
)

// Cloud is a running Google Cloud. Its methods are safe for concurrent use.
type Cloud struct {
	dir      string
	proxy    *http.Server
	inner    *http.Server
	metadata *http.Server
	handed   *handedListener
	grpc     *grpc.Server
	address  string
	nodes    string

	mu       sync.Mutex
	ours     *pki.Authority
	strange  *pki.Authority
	certs    map[string]*tls.Certificate
	hosts    map[string]http.Handler // what answers instead of Google
	foreign  map[string]bool         // whose certificates are of an unknown authority
	refused  []string
	next     string // the proxy for what is not Google's; empty for none
	requests map[string]int
	delay    time.Duration
	state
	identities
	directory
}

// Start starts a cloud on free ports of loopback. The context bounds the start only; Stop ends the cloud.
func Start(ctx context.Context) (*Cloud, error) {
	c := &Cloud{
		certs: map[string]*tls.Certificate{}, hosts: map[string]http.Handler{}, foreign: map[string]bool{}, requests: map[string]int{},
		state: newState(), identities: newIdentities(), directory: newDirectory(),
	}
	var err error
	if c.ours, err = pki.NewAuthority("sealbridge test google"); err != nil {
		return nil, err
	}
	if c.strange, err = pki.NewAuthority("sealbridge test stranger"); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "sealbridge-gcp-"); err != nil {
		return nil, fmt.Errorf("start google cloud: %w", err)
	}
	if err := os.WriteFile(c.caFile(), c.ours.PEM(), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("start google cloud: %w", err), c.Stop())
	}
	c.grpc = grpc.NewServer(grpc.UnaryInterceptor(c.intercept))
	pb.RegisterSecretManagerServiceServer(c.grpc, &secretManager{Cloud: c})
	credentialspb.RegisterIAMCredentialsServer(c.grpc, &iamCredentials{Cloud: c})
	if err := c.listen(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cloud) listen(ctx context.Context) error {
	var lc net.ListenConfig
	proxy, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start google cloud: %w", err)
	}
	nodes, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		_ = proxy.Close()
		return fmt.Errorf("start google cloud: %w", err)
	}
	c.address, c.nodes = "http://"+proxy.Addr().String(), nodes.Addr().String()
	c.handed = newHandedListener(proxy.Addr())
	silent := discard()
	c.proxy = &http.Server{Handler: http.HandlerFunc(c.connect), ReadHeaderTimeout: time.Minute, ErrorLog: silent}
	c.metadata = &http.Server{Handler: http.HandlerFunc(c.serveMetadata), ReadHeaderTimeout: time.Minute, ErrorLog: silent}
	c.inner = &http.Server{
		Handler: http.HandlerFunc(c.serve), ReadHeaderTimeout: time.Minute, ErrorLog: silent,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.certificate, NextProtos: []string{"h2", "http/1.1"}},
	}
	// How they end is of no interest: Stop ends them.
	go func() { _ = c.proxy.Serve(proxy) }()
	go func() { _ = c.metadata.Serve(nodes) }()
	go func() { _ = c.inner.ServeTLS(c.handed, "", "") }()
	return nil
}

// Stop ends the cloud and its connections.
func (c *Cloud) Stop() error {
	var errs []error
	for _, s := range []*http.Server{c.proxy, c.metadata, c.inner} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if c.grpc != nil {
		c.grpc.Stop()
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

func (c *Cloud) caFile() string { return filepath.Join(c.dir, "ca.pem") }

// Env returns the environment in which a program takes this for Google Cloud.
func (c *Cloud) Env() []string {
	return []string{"HTTPS_PROXY=" + c.address, "SSL_CERT_FILE=" + c.caFile(), "GCE_METADATA_HOST=" + c.nodes, "NO_PROXY=127.0.0.1,localhost"}
}

// MetadataHost is the host and port of the metadata server.
func (c *Cloud) MetadataHost() string { return c.nodes }

// Before has what is not Google's be reached as an environment of a program says: through its HTTPS_PROXY, with the certificates
// of its SSL_CERT_FILE trusted, too. Whoever has Env then reaches both.
func (c *Cloud) Before(env []string) error {
	for _, variable := range env {
		switch name, value, _ := strings.Cut(variable, "="); name {
		case "HTTPS_PROXY":
			c.mu.Lock()
			c.next = strings.TrimPrefix(value, "http://")
			c.mu.Unlock()
		case "SSL_CERT_FILE":
			theirs, err := os.ReadFile(value)
			if err == nil {
				err = os.WriteFile(c.caFile(), slices.Concat(c.ours.PEM(), theirs), 0o600) //nolint:gosec // G703: in a folder of its own
			}
			if err != nil {
				return fmt.Errorf("trust both authorities: %w", err)
			}
		}
	}
	return nil
}

// Serve has a host, of googleapis.com or any other, be answered by a handler.
func (c *Cloud) Serve(host string, handler http.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts[host] = handler
}

// Estrange gives a host a certificate of an authority that nobody knows.
func (c *Cloud) Estrange(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.foreign[host] = true
}

// Refused returns the hosts to which a connection was wanted and refused.
func (c *Cloud) Refused() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.refused)
}

// Requests returns how often each kind of request was made: the methods of gRPC by name, and token, exchange, identitybindingtoken,
// generateAccessToken, signJwt, lookup (of who verifies tokens) and metadata.
func (c *Cloud) Requests() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]int, len(c.requests))
	for kind, n := range c.requests {
		out[kind] = n
	}
	return out
}

// Delay has each answer, but for those of the metadata server, wait so long.
func (c *Cloud) Delay(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = d
}

// count counts a request and waits as long as answers take.
func (c *Cloud) count(ctx context.Context, kind string) error {
	c.mu.Lock()
	c.requests[kind]++
	delay := c.delay
	c.mu.Unlock()
	if delay == 0 {
		return nil
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Cloud) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := hello.ServerName
	if cert := c.certs[name]; cert != nil {
		return cert, nil
	}
	authority := c.ours
	if c.foreign[name] {
		authority = c.strange
	}
	certPEM, keyPEM, err := authority.Server(name)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	c.certs[name] = &cert
	return &cert, nil
}

// connect is the proxy: it hands connections for hosts of Google to the servers of this process.
func (c *Cloud) connect(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	c.mu.Lock()
	known, next := c.hosts[host] != nil || c.foreign[host] || ofGoogle(host), c.next
	if err == nil && !known && next != "" {
		c.mu.Unlock()
		pass(w, r, next)
		return
	}
	if err != nil || r.Method != http.MethodConnect || !known {
		c.refused = append(c.refused, r.Host)
		c.mu.Unlock()
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	c.mu.Unlock()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		_ = conn.Close()
		return
	}
	c.handed.hand(conn)
}

// ofGoogle reports whether a host is one that this package answers for.
func ofGoogle(host string) bool {
	return slices.Contains([]string{
		"secretmanager.googleapis.com", "oauth2.googleapis.com", "sts.googleapis.com", "securetoken.googleapis.com", "iamcredentials.googleapis.com",
	}, host) || slices.Contains(lookupHosts(), host) || host == "secretmanager."+Region+".rep.googleapis.com"
}

// Region is the one that has regional secrets.
const Region = "europe-west3"

// serve is what answers behind the proxy.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	c.mu.Lock()
	instead := c.hosts[host]
	c.mu.Unlock()
	switch {
	case instead != nil:
		instead.ServeHTTP(w, r)
	case slices.Contains(lookupHosts(), host):
		c.serveLookups(w, r, host)
	case r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		c.grpc.ServeHTTP(w, r)
	default:
		c.serveTokens(w, r, host)
	}
}
