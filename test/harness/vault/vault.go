package vault

import (
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// startTimeout bounds one start; on an idle machine it takes half a second.
const startTimeout = 2 * time.Minute

// Options say how to start a server. The zero value is a good start.
type Options struct {
	// Dir keeps the log and the audit log; it is created. Empty means a temporary folder that Stop removes.
	Dir string
	// TLS makes the server listen with a certificate of its own authority (CA) instead of in plain text.
	TLS bool
	// Env is added to the environment of the server, for what it asks others than its clients.
	Env []string
}

// Server is a running Vault. Its methods are safe for concurrent use.
type Server struct {
	dir       string
	temporary bool
	address   string
	token     string
	ca        []byte
	process   *process.Process
	client    *api.Client
}

// Start starts a server and returns when it answers, unsealed, with its audit log on. The context bounds the start, not
// the life. Errors: process.ErrMissing when bin/vault is not built, else why it did not start, with the end of its log.
func Start(ctx context.Context, opts Options) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	binary, err := process.Binary("vault")
	if err != nil {
		return nil, fmt.Errorf("start vault: %w", err)
	}
	s, err := process.OnFreePorts(func() (*Server, error) { return start(ctx, binary, opts) })
	if err != nil {
		return nil, fmt.Errorf("start vault: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, binary string, opts Options) (_ *Server, err error) {
	s := &Server{dir: opts.Dir, token: rand.Text()}
	if s.dir == "" {
		s.temporary = true
		if s.dir, err = os.MkdirTemp("", "sealbridge-vault-"); err != nil {
			return nil, fmt.Errorf("create data folder: %w", err)
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	// The second port is for cluster requests: Vault takes the one above its own.
	port, err := process.FreePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	if err := s.spawn(ctx, binary, port, opts); err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	return s, s.enableAudit(ctx)
}

func (s *Server) spawn(ctx context.Context, binary string, port int, opts Options) error {
	hostPort := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s.address = "http://" + hostPort
	args := []string{"server", "-dev", "-dev-no-store-token", "-dev-listen-address=" + hostPort}
	if opts.TLS {
		s.address = "https://" + hostPort
		args = append(args, "-dev-tls", "-dev-tls-cert-dir="+s.dir)
	}
	spec := process.Spec{
		Name: "vault", Path: binary, Args: args, Dir: s.dir,
		// The token travels in the environment, which other users of the machine cannot read.
		Env: append(slices.Clone(opts.Env), "VAULT_DEV_ROOT_TOKEN_ID="+s.token, "VAULT_API_ADDR="+s.address, "HOME="+s.dir),
	}
	if s.temporary {
		spec.Remove = s.dir
	}
	p, err := process.Start(ctx, spec)
	if err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	s.process = p
	return nil
}

// connect waits until the server answers and is unsealed.
func (s *Server) connect(ctx context.Context) error {
	return s.process.Ready(ctx, func(ctx context.Context) error {
		if s.client == nil {
			client, err := s.newClient()
			if err != nil {
				return err
			}
			s.client = client
		}
		health, err := s.client.Sys().HealthWithContext(ctx)
		if err != nil {
			return fmt.Errorf("ask for health: %w", err)
		}
		if !health.Initialized || health.Sealed {
			return errors.New("server is not initialized and unsealed yet")
		}
		// The development mode announces its root token last; until then only its own setup may write.
		if _, err := s.client.Auth().Token().LookupSelfWithContext(ctx); err != nil {
			return fmt.Errorf("look up root token: %w", err)
		}
		return nil
	})
}

// newClient returns a client of the root token. It fails while the server has not written its authority yet.
func (s *Server) newClient() (*api.Client, error) {
	cfg := api.DefaultConfig()
	cfg.Address = s.address
	cfg.MaxRetries = 0
	if caFile := filepath.Join(s.dir, "vault-ca.pem"); s.address[:5] == "https" {
		authority, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the server's authority: %w", err)
		}
		if block, rest := pem.Decode(authority); block == nil || len(rest) > 0 {
			return nil, errors.New("read the server's authority: it is not written to its end")
		}
		s.ca = authority
		if err := cfg.ConfigureTLS(&api.TLSConfig{CACertBytes: authority}); err != nil {
			return nil, fmt.Errorf("trust the server's authority: %w", err)
		}
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("build client: %w", err)
	}
	client.SetToken(s.token)
	client.ClearNamespace() // VAULT_NAMESPACE in the developer's environment is not about this server
	return client, nil
}

// Stop ends the server and removes a temporary folder. It may be called twice.
func (s *Server) Stop() error {
	if s.process != nil {
		s.process.Kill() // its data is in memory: there is nothing to close
	}
	if !s.temporary {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove data folder: %w", err)
	}
	return nil
}

// Address returns the server's URL, "http://127.0.0.1:port".
func (s *Server) Address() string { return s.address }

// Token returns the root token.
func (s *Server) Token() string { return s.token }

// CA returns the PEM of the authority that signed the server's certificate, nil without Options.TLS.
func (s *Server) CA() []byte { return append([]byte(nil), s.ca...) }

// Client returns the client of the root token, for what the verbs here do not cover. Do not change it: Clone it.
func (s *Server) Client() *api.Client { return s.client }

// Log returns the path of the server's log.
func (s *Server) Log() string { return s.process.Log() }

// PID returns the server's process id.
func (s *Server) PID() int { return s.process.PID() }

// Seal makes the server answer 503 to everything until Unseal. Not for a server that tests share.
func (s *Server) Seal(ctx context.Context) error {
	if err := s.client.Sys().SealWithContext(ctx); err != nil {
		return fmt.Errorf("seal vault: %w", err)
	}
	return nil
}

var unsealKey = regexp.MustCompile(`Unseal Key: (\S+)`)

// Unseal undoes Seal.
func (s *Server) Unseal(ctx context.Context) error {
	key, err := s.unsealKey(ctx)
	if err != nil {
		return fmt.Errorf("unseal vault: %w", err)
	}
	if _, err := s.client.Sys().UnsealWithContext(ctx, key); err != nil {
		return fmt.Errorf("unseal vault: %w", err)
	}
	return nil
}

// unsealKey reads the key from the log, where the server prints it some time after it began to serve.
func (s *Server) unsealKey(ctx context.Context) (key string, err error) {
	err = poll(ctx, "the log names the key", func() error {
		raw, err := os.ReadFile(s.Log())
		if err != nil {
			return err
		}
		match := unsealKey.FindSubmatch(raw)
		if match == nil {
			return errors.New("it does not yet")
		}
		key = string(match[1])
		return nil
	})
	return key, err
}
