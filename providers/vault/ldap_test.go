package vault_test

import (
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/jimlambrt/gldap"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/process"
	harness "github.com/sealbridge/sealbridge/test/harness/vault"
)

// directory serves LDAP to those who bind as a user with a password, until the test ends, and returns its URL.
func directory(t *testing.T, dn, password string) string {
	t.Helper()
	server, err := gldap.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	mux, err := gldap.NewMux()
	if err != nil {
		t.Fatal(err)
	}
	err = mux.Bind(func(w *gldap.ResponseWriter, r *gldap.Request) {
		answer := r.NewBindResponse(gldap.WithResponseCode(gldap.ResultInvalidCredentials))
		if m, err := r.GetSimpleBindMessage(); err == nil && m.UserName == dn && string(m.Password) == password {
			answer.SetResultCode(gldap.ResultSuccess)
		}
		_ = w.Write(answer)
	})
	if err := errors.Join(err, server.Router(mux)); err != nil {
		t.Fatal(err)
	}
	port, err := process.FreePorts(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(address) }()
	t.Cleanup(func() {
		if err := errors.Join(server.Stop(), <-ended); err != nil {
			t.Error(err)
		}
	})
	for !server.Ready() {
		select {
		case err := <-ended:
			ended <- err
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return "ldap://" + address
}

func TestAUserOfADirectoryLogsIn(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := readable(t, server)
	enable(t, server, mount, "ldap")
	url := directory(t, "cn=Jane Doe,ou=people,dc=example", canary)
	write(t, server, "auth/"+mount+"/config", map[string]any{"url": url, "userdn": "ou=people,dc=example", "userattr": "cn", "token_policies": mount})
	spec := &stores.Vault{Server: server.Address(), Path: mount, Auth: &stores.VaultAuth{LDAP: &stores.VaultUserAuth{
		Path: mount, Username: " Jane Doe ", SecretRef: &stores.SecretKeySelector{Name: "jane", Key: "password"},
	}}}
	env := &providertest.Env{}
	env.SetSecret(providers.ObjectRef{Name: "jane", Key: "password"}, []byte(canary+"\n"))
	mustRead(t, open(t, spec, env))
	env.SetSecret(providers.ObjectRef{Name: "jane", Key: "password"}, []byte("wrong"))
	refusedLogin(t, spec, env, providers.ErrDenied, `vault refuses the login of user "Jane Doe" at auth/`+mount)
	write(t, server, "auth/"+mount+"/config", map[string]any{"url": "ldap://127.0.0.1:1"})
	refusedLogin(t, spec, env, providers.ErrUnavailable, "vault cannot reach the directory of auth/"+mount)
}
