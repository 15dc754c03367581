package gitserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/pki"
)

// Options say how to start a server. The zero value is a good start.
type Options struct {
	// Dir keeps the bare repositories; it is created. Empty means a temporary folder that Stop removes.
	Dir string
	// Username and Password are demanded over https when Password is not empty.
	Username, Password string
}

// Fault is what is wrong with the server. The zero value is nothing; fields combine where that makes sense.
type Fault struct {
	// Down closes each connection without an answer.
	Down bool
	// Delay passes before each answer.
	Delay time.Duration
	// Status answers each https request with this HTTP status, and fails each ssh command.
	Status int
	// Garbage answers with bytes that are not Git's protocol.
	Garbage bool
	// Endless answers with 512 MiB of references and then stays open. Do not point the real git at it: it keeps them all.
	Endless bool
}

// Server is a running Git server. Its methods are safe for concurrent use.
type Server struct {
	opts      Options
	temporary bool
	git       string
	authority *pki.Authority
	https     *http.Server
	httpsAddr string
	ssh       *sshServer

	mu       sync.Mutex
	fault    Fault
	requests []string
}

// Start starts a server. The context bounds the start, not the life.
func Start(ctx context.Context, opts Options) (_ *Server, err error) {
	s := &Server{opts: opts}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start git server: %w", err), s.Stop())
		}
	}()
	if s.git, err = exec.LookPath("git"); err != nil {
		return nil, fmt.Errorf("find git: %w; install it (on Debian: apt-get install git)", err)
	}
	if s.opts.Dir == "" {
		s.temporary = true
		if s.opts.Dir, err = os.MkdirTemp("", "sealbridge-git-"); err != nil {
			return nil, fmt.Errorf("create folder: %w", err)
		}
	}
	if s.opts.Dir, err = filepath.Abs(s.opts.Dir); err != nil {
		return nil, fmt.Errorf("resolve folder: %w", err)
	}
	if err := os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	if err := s.startHTTPS(ctx); err != nil {
		return nil, err
	}
	if s.ssh, err = startSSH(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

// New returns a server of the test's own; it ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	return NewWith(t, Options{})
}

// NewWith is New with options.
func NewWith(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *Server) startHTTPS(ctx context.Context) error {
	var err error
	if s.authority, err = pki.NewAuthority("gitserver"); err != nil {
		return err
	}
	certPEM, keyPEM, err := s.authority.Server()
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("load certificate: %w", err)
	}
	listener, err := listen(ctx)
	if err != nil {
		return err
	}
	s.httpsAddr = listener.Addr().String()
	s.https = &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          discardLog(),
	}
	go func() { _ = s.https.ServeTLS(listener, "", "") }() // ends with ErrServerClosed
	return nil
}

func listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, nil
}

// Stop closes all connections and removes a temporary folder. It may be called twice.
func (s *Server) Stop() error {
	var errs []error
	if s.https != nil {
		errs = append(errs, s.https.Close())
	}
	if s.ssh != nil {
		s.ssh.stop()
	}
	if s.temporary {
		errs = append(errs, os.RemoveAll(s.opts.Dir))
	}
	return errors.Join(errs...)
}

// SetFault makes all later requests meet the fault, until it is set again; the zero Fault ends it.
func (s *Server) SetFault(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Requests returns what was asked so far, oldest first: "GET /app.git/info/refs", "POST /app.git/git-upload-pack",
// "ssh git-upload-pack app.git". Requests that a fault met are among them, those without an accepted login are not.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// record notes a request and returns the fault that it meets.
func (s *Server) record(request string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, request)
	return s.fault
}

func (s *Server) currentFault() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// CA returns the PEM of the authority that signed the https certificate.
func (s *Server) CA() []byte { return s.authority.PEM() }

// KnownHosts returns the line of a known_hosts file that names the ssh listener and its host key.
func (s *Server) KnownHosts() []byte { return s.ssh.knownHosts }

// ClientKey returns the private key, in OpenSSH's PEM, that the ssh listener accepts for any user name.
func (s *Server) ClientKey() []byte { return s.ssh.clientKey }

// env is the environment that git runs in: nothing of the developer's own configuration.
func (s *Server) env() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.opts.Dir, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
	}
}
