package azurecloud

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/pki"
)

// Cloud is a running Azure. Its methods are safe for concurrent use.
type Cloud struct {
	dir     string
	proxy   *http.Server
	proxied net.Listener
	tls     *http.Server
	inside  *handover
	end     func()

	mu       sync.Mutex
	apps     map[string]App
	managed  map[string]bool
	led      map[string]string // whom the endpoint sends to which other one
	tokens   map[string]grant
	issued   int
	vaults   map[string]*Vault
	handlers map[string]http.Handler
	asked    []Request
}

// Request is one that the cloud was asked, by whomever.
type Request struct {
	Host, Method, Path, Query string
	// Authorized is whether it carried a token.
	Authorized bool
}

// The authorities, and the domains below which the vaults lie that take their tokens.
const (
	Authority           = "login.microsoftonline.com"
	GovernmentAuthority = "login.microsoftonline.us"
	CustomAuthority     = "login.azurestack.example"
	vaultDomain         = "vault.azure.net"
	governmentDomain    = "vault.usgovcloudapi.net"
	customDomain        = "vault.azurestack.example"
	// InStack ends the names of hosts of another cloud.
	InStack = ".azurestack.example"
)

func authorityOf(domain string) string {
	switch domain {
	case governmentDomain:
		return GovernmentAuthority
	case customDomain:
		return CustomAuthority
	default:
		return Authority
	}
}

// Start starts a cloud without vaults. The context bounds the start, not the life.
func Start(ctx context.Context) (*Cloud, error) {
	c := &Cloud{
		apps: map[string]App{}, managed: map[string]bool{}, led: map[string]string{}, tokens: map[string]grant{}, vaults: map[string]*Vault{}, handlers: map[string]http.Handler{},
	}
	authority, err := pki.NewAuthority("azure")
	if err != nil {
		return nil, err
	}
	certPEM, keyPEM, err := authority.Server(Authority, GovernmentAuthority, CustomAuthority, "*."+vaultDomain, "*."+governmentDomain, "*."+customDomain, "*"+InStack)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("start azure: %w", err)
	}
	if c.dir, err = os.MkdirTemp("", "sealbridge-azure-"); err != nil {
		return nil, fmt.Errorf("start azure: %w", err)
	}
	if err := os.WriteFile(c.authorityFile(), authority.PEM(), 0o600); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	if c.proxied, err = (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(c.dir))
	}
	quiet := log.New(io.Discard, "", 0)
	c.inside = &handover{conns: make(chan net.Conn), ended: make(chan struct{}), addr: c.proxied.Addr()}
	c.end = sync.OnceFunc(func() { close(c.inside.ended) })
	c.tls = &http.Server{
		Handler: http.HandlerFunc(c.serve), ErrorLog: quiet, ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}},
	}
	c.proxy = &http.Server{Handler: http.HandlerFunc(c.connect), ErrorLog: quiet, ReadHeaderTimeout: time.Minute}
	go func() { _ = c.tls.ServeTLS(c.inside, "", "") }()
	go func() { _ = c.proxy.Serve(c.proxied) }()
	return c, nil
}

func (c *Cloud) authorityFile() string { return filepath.Join(c.dir, "ca.crt") }

// Env is what a program needs in its environment to be in this cloud.
func (c *Cloud) Env() []string {
	address := "http://" + c.proxied.Addr().String()
	return []string{"HTTPS_PROXY=" + address, "SSL_CERT_FILE=" + c.authorityFile(), "IDENTITY_ENDPOINT=" + address + identityPath, "IDENTITY_HEADER=" + identityHeader}
}

// Stop ends the cloud and leaves nothing behind. To do it again changes nothing.
func (c *Cloud) Stop() error {
	c.end()
	return errors.Join(c.proxy.Close(), c.tls.Close(), os.RemoveAll(c.dir))
}

// Handle answers what is asked of a host instead of the cloud: of a vault, or of an authority of another cloud, whose name ends
// with InStack.
func (c *Cloud) Handle(host string, h http.Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers[host] = h
}

// Requests returns what a host was asked since the cloud was started.
func (c *Cloud) Requests(host string) []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Request
	for _, r := range c.asked {
		if r.Host == host {
			out = append(out, r)
		}
	}
	return out
}

// connect is the proxy: whoever asks it for a host gets to the cloud, and the endpoint for managed identities is here, too.
func (c *Cloud) connect(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		c.identity(w, r)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "no tunnel", http.StatusInternalServerError)
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	select {
	case c.inside.conns <- conn:
	case <-c.inside.ended:
		_ = conn.Close()
	}
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	host := strings.TrimSuffix(r.Host, ":443")
	c.mu.Lock()
	c.asked = append(c.asked, Request{host, r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization") != ""})
	handler, vault := c.handlers[host], c.vaults[host]
	c.mu.Unlock()
	switch {
	case handler != nil:
		handler.ServeHTTP(w, r)
	case vault != nil:
		vault.serve(w, r)
	case host == Authority || host == GovernmentAuthority || host == CustomAuthority:
		c.entra(w, r, host)
	default:
		http.Error(w, "no such host: "+host, http.StatusBadGateway)
	}
}

// handover is a listener for connections that another server has accepted.
type handover struct {
	conns chan net.Conn
	ended chan struct{}
	addr  net.Addr
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.ended:
		return nil, net.ErrClosed
	}
}

func (*handover) Close() error     { return nil }
func (h *handover) Addr() net.Addr { return h.addr }
