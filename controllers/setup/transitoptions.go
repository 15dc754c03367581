package setup

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sealbridge/sealbridge/plugins/transit"
)

// DefaultTransitToken is where config/transit mounts the ServiceAccount token that Vault is shown.
const DefaultTransitToken = "/var/run/secrets/sealbridge.dev/vault/token" //nolint:gosec // a path

// TransitOptions are the sealing key that Vault's transit engine holds; none without an address.
type TransitOptions struct {
	Address, CAFile, Namespace string
	// Key is the mount of the engine, a slash and the name of the key.
	Key string
	// AuthMount and Role are how the controller logs in, with the ServiceAccount token of TokenFile.
	AuthMount, Role, TokenFile string
}

// AddFlags binds the options to flags.
func (o *TransitOptions) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Address, "transit-address", "", "URL of the Vault whose transit engine holds the sealing key of the native format; without it there is none")
	fs.StringVar(&o.CAFile, "transit-ca-file", "", "file with the authorities in PEM that Vault's certificate is checked against; those of the system when empty")
	fs.StringVar(&o.Namespace, "transit-namespace", "", "namespace of Vault that the controller logs in to and the key is in, where Vault has namespaces")
	fs.StringVar(&o.Key, "transit-key", "", "the key: mount of the transit engine, / and name, as transit/sealbridge; an RSA key")
	fs.StringVar(&o.AuthMount, "transit-auth-mount", "kubernetes", "mount of Vault's kubernetes auth method")
	fs.StringVar(&o.Role, "transit-role", "", "role of the auth method that the controller logs in with")
	fs.StringVar(&o.TokenFile, "transit-token-file", DefaultTransitToken, "file with the controller's ServiceAccount token for Vault, which is read at each login")
}

// note says what is unwise about the options; "" for nothing.
func (o *TransitOptions) note() string {
	u, err := url.Parse(o.Address)
	if err != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return ""
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLoopback() {
		return ""
	}
	return "--transit-address is not https: whoever sits between the controller and Vault reads the token and the keys of values, unless something else encrypts the connection"
}

// logoutTimeout is how long a shutdown waits for Vault.
const logoutTimeout = 2 * time.Second

// ending is a manager that ends the login at Vault once all that it ran has ended, on every replica: whatever still ran would log in
// again.
type ending struct {
	manager.Manager
	client *transit.Client
}

// Start implements manager.Manager.
func (e ending) Start(ctx context.Context) error {
	defer func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTimeout)
		defer cancel()
		if err := e.client.LogOut(grace); err != nil {
			e.GetLogger().Info("the login at Vault was not ended", "cause", err.Error())
		}
	}()
	return e.Manager.Start(ctx)
}

// workers returns how many objects are opened at once: with a holder two at least, of which one may wait for it.
func (o *TransitOptions) workers(concurrent int) int {
	if o.Address == "" {
		return concurrent
	}
	return max(concurrent, 2)
}

// client returns what asks Vault, nil when no key is there. It says which flag cannot be meant.
func (o *TransitOptions) client() (*transit.Client, error) {
	if o.Address == "" {
		if o.Key != "" || o.Role != "" || o.CAFile != "" || o.Namespace != "" {
			return nil, errors.New("--transit-address: name the Vault that the other flags are about")
		}
		return nil, nil //nolint:nilnil // none
	}
	switch {
	case path.Dir(o.Key) == "." || path.Base(o.Key) == "/":
		return nil, fmt.Errorf("--transit-key: %q does not name a mount and a key; use something like transit/sealbridge", o.Key)
	case o.Role == "":
		return nil, errors.New("--transit-role: name the role of Vault's kubernetes auth method to log in with")
	case strings.HasPrefix(path.Clean(o.TokenFile), "/var/run/secrets/kubernetes.io/serviceaccount/"):
		return nil, errors.New("--transit-token-file: that token is for the API server, and whoever has it is the controller; mount one with an audience of its own, as config/transit does")
	}
	options := transit.Options{
		Address: o.Address, Namespace: o.Namespace, Mount: path.Dir(o.Key), Key: path.Base(o.Key), AuthMount: o.AuthMount, Role: o.Role,
		Token: func() ([]byte, error) { return os.ReadFile(o.TokenFile) }, Now: time.Now,
	}
	if o.CAFile != "" {
		ca, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--transit-ca-file: %w", err)
		}
		options.CA = ca
	}
	client, err := transit.New(options)
	if err != nil {
		return nil, fmt.Errorf("the flags of the transit key: %w", err)
	}
	return client, nil
}
