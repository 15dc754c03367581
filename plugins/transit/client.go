package transit

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
)

// DefaultTimeout bounds what one operation takes, logging in included, so that a Vault which accepts connections and never
// answers holds nobody for long.
const DefaultTimeout = 5 * time.Second

// maxName is how long what a value calls its key may be.
const maxName = 255

// Options say which key of which Vault is used, and as whom.
type Options struct {
	// Address is Vault's URL, as VAULT_ADDR.
	Address string
	// CA is what Vault's certificate is checked against, in PEM; nil means the system's authorities.
	CA []byte
	// Namespace of Vault Enterprise and OpenBao; empty for none.
	Namespace string
	// Mount is where the transit engine is, Key the name of an RSA key there.
	Mount, Key string
	// AuthMount is where the kubernetes auth method is, Role the role to log in with.
	AuthMount, Role string
	// Token returns a ServiceAccount token to log in with. It is asked at each login, because such tokens are replaced.
	Token func() ([]byte, error)
	// Now is the clock.
	Now func() time.Time
	// Timeout bounds one operation; zero means DefaultTimeout.
	Timeout time.Duration
}

// Client uses one key of one Vault. It is safe for concurrent use.
type Client struct {
	o    Options
	http *jsonhttp.Client
	// session is the login, which one caller at a time makes: login holds a token while nobody does.
	session atomic.Pointer[session]
	login   chan struct{}
	gate    gate
	known   atomic.Pointer[known]
	// asking is held by whoever asks for versions.
	asking sync.Mutex
}

// New returns a client, or what is wrong with its options. It asks Vault for nothing.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.Address)
	if err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, errors.New("the address of vault is no URL like https://vault.example.com:8200")
	}
	o.Mount, o.AuthMount = strings.Trim(o.Mount, "/"), strings.Trim(o.AuthMount, "/")
	for what, path := range map[string]string{"mount": o.Mount, "auth mount": o.AuthMount, "key": o.Key} {
		if !isPath(path) {
			return nil, fmt.Errorf("the %s of the transit key is no path of letters, digits, . _ - and /", what)
		}
	}
	if strings.Contains(o.Key, "/") || len(o.Mount)+1+len(o.Key) > maxName {
		return nil, errors.New("the name of the transit key holds a /, or is too long together with its mount")
	}
	if o.Role == "" || o.Token == nil || o.Now == nil {
		return nil, errors.New("the transit key has no role, token or clock to log in with")
	}
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	base.Path = strings.TrimSuffix(base.Path, "/")
	options := jsonhttp.Options{Base: base, RootsHint: "name it to the controller (--transit-ca-file)", Header: http.Header{"X-Vault-Request": {"true"}}}
	if o.Namespace != "" {
		options.Header.Set("X-Vault-Namespace", o.Namespace)
	}
	if o.CA != nil {
		options.Roots = x509.NewCertPool()
		if !options.Roots.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("the file with vault's authority holds no certificate in PEM")
		}
	}
	c := &Client{o: o, http: jsonhttp.New(options), login: make(chan struct{}, 1)}
	c.gate.now = o.Now
	c.known.Store(&known{versions: &versions{}, failure: c.errorf("vault was not asked for its versions yet")})
	return c, nil
}

// isPath says whether a path can stand in a URL and in what is sealed, and stays where it is put.
func isPath(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || strings.Trim(part, ".") == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
			return false
		}
	}
	return true
}

// Name is what values call the key: its mount and its name.
func (c *Client) Name() string { return c.o.Mount + "/" + c.o.Key }

// Close ends the connections.
func (c *Client) Close() { c.http.Close() }

// errorf is an error about the key.
func (c *Client) errorf(format string, args ...any) error {
	return fmt.Errorf("transit key "+c.Name()+": "+format, args...)
}

// ask makes one request below /v1/ with the login, and once more with a new one when Vault refuses: a token may have been
// revoked, or Vault have forgotten it.
func (c *Client) ask(ctx context.Context, method, path string, body any) (*reply, error) {
	for again := false; ; again = true {
		s, fresh, err := c.loggedIn(ctx)
		if err != nil {
			return nil, err
		}
		r, err := c.do(ctx, method, path, s.token, body)
		if err == nil && r.status == http.StatusForbidden && r.genuine && !fresh && !again {
			// It may be a policy that is missing, and the login as good as before: it is kept as one that is over, so that the one which
			// follows ends it.
			c.session.CompareAndSwap(s, &session{token: s.token})
			continue
		}
		return r, err
	}
}
