package moto

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// startTimeout bounds one start; on an idle machine it takes a second.
const startTimeout = 2 * time.Minute

// Region is the region of the verbs of this package.
const Region = "eu-west-1"

// Options say how to start a server. The zero value is a good start.
type Options struct {
	// Dir keeps the log; it is created. Empty means a temporary folder that Stop removes.
	Dir string
}

// Server is a running moto with the front before it. Its methods are safe for concurrent use.
type Server struct {
	dir       string
	temporary bool
	process   *process.Process
	front     *front
	listener  *httptest.Server
}

// Start starts a server and returns when it answers. The context bounds the start, not the life. Errors:
// process.ErrMissing when bin/moto is not built, else why it did not start, with the end of its log.
func Start(ctx context.Context, opts Options) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	binary, err := process.Binary("moto")
	if err != nil {
		return nil, fmt.Errorf("start moto: %w", err)
	}
	s, err := process.OnFreePorts(func() (*Server, error) { return start(ctx, binary, opts) })
	if err != nil {
		return nil, fmt.Errorf("start moto: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, binary string, opts Options) (_ *Server, err error) {
	s := &Server{dir: opts.Dir}
	if s.dir == "" {
		s.temporary = true
		if s.dir, err = os.MkdirTemp("", "sealbridge-moto-"); err != nil {
			return nil, fmt.Errorf("create folder: %w", err)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, fmt.Errorf("find program: %w", err)
	}
	port, err := process.FreePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	spec := process.Spec{
		Name: "moto", Path: binary, Args: []string{"-H", "127.0.0.1", "-p", strconv.Itoa(port)}, Dir: s.dir,
		Env: []string{"HOME=" + s.dir, "TMPDIR=" + s.dir, "MOTO_ALLOW_NONEXISTENT_REGION=true"},
	}
	if s.temporary {
		spec.Remove = s.dir
	}
	if s.process, err = process.Start(ctx, spec); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	address := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := s.process.Ready(ctx, func(ctx context.Context) error { return process.Answers(ctx, address+"/moto-api/") }); err != nil {
		return nil, err
	}
	if s.front, err = newFront(address); err != nil {
		return nil, err
	}
	s.listener = httptest.NewServer(s.front)
	return s, nil
}

// Stop ends the server and removes a temporary folder. It may be called twice.
func (s *Server) Stop() error {
	if s.listener != nil {
		s.listener.CloseClientConnections()
		s.listener.Close()
	}
	if s.process != nil {
		s.process.Kill() // its data is in memory: there is nothing to close
	}
	if !s.temporary {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove folder: %w", err)
	}
	return nil
}

// URL returns the address of every service, "http://127.0.0.1:port".
func (s *Server) URL() string { return s.listener.URL }

// Environment returns the variables by which a controller, SealBridge's as External Secrets Operator's, asks this server
// instead of AWS, and finds no credentials of the developer.
func (s *Server) Environment() []string {
	none := filepath.Join(s.dir, "none")
	return []string{
		"AWS_SECRETSMANAGER_ENDPOINT=" + s.URL(), "AWS_SSM_ENDPOINT=" + s.URL(), "AWS_STS_ENDPOINT=" + s.URL(),
		"AWS_ACM_ENDPOINT=" + s.URL(), "AWS_RESOURCE_GROUPS_TAGGING_API_ENDPOINT=" + s.URL(),
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=" + none, "AWS_SHARED_CREDENTIALS_FILE=" + none,
		"AWS_PROFILE=", "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=", "AWS_ROLE_ARN=", "AWS_WEB_IDENTITY_TOKEN_FILE=",
	}
}

// Log returns the path of the server's log.
func (s *Server) Log() string { return s.process.Log() }

// PID returns the server's process id.
func (s *Server) PID() int { return s.process.PID() }

// Requests returns all requests since the start in the order in which they came, those of the verbs of this package
// among them.
func (s *Server) Requests() []Request { return s.front.list() }

// Private returns what STS has given and was shown that nobody may see: secret keys, session tokens and web identity tokens.
// Tests look for it where it may not be.
func (s *Server) Private() []string { return s.front.privates() }
