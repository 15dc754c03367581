package transit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/crypto/agebox"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/plugins/transit"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	"github.com/sealbridge/sealbridge/test/harness/process"
	"github.com/sealbridge/sealbridge/test/harness/vault"
)

func TestMain(m *testing.M) { os.Exit(process.RunTests(m)) }

// world is a key in Vault, and a ServiceAccount that may use it.
type world struct {
	t           *testing.T
	vault       *vault.Server
	mount, auth string
	token       string
	name        string
}

func newWorld(t *testing.T, kind string) *world {
	t.Helper()
	server, cp, ctx := vault.New(t), controlplane.New(t), t.Context()
	w := &world{t: t, vault: server, mount: server.Transit(t), name: cp.Namespace(t)}
	w.auth = "kubernetes-" + w.name
	w.write(w.mount+"/keys/k", map[string]any{"type": kind})
	w.policy("read", "update")
	reviewer, err := cp.TokenReviewer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.EnableKubernetes(ctx, w.auth, vault.Cluster{Host: cp.URL(), CA: cp.CA(), ReviewerToken: reviewer}); err != nil {
		t.Fatal(err)
	}
	err = server.KubernetesRole(ctx, w.auth, "r", vault.KubernetesRole{
		ServiceAccounts: []string{"sealbridge"}, Namespaces: []string{w.name}, Audience: "vault", Policies: []string{w.name}, TTL: 30 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if w.token, err = cp.ServiceAccountToken(ctx, w.name, "sealbridge", "vault"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) write(path string, data map[string]any) {
	w.t.Helper()
	if err := w.vault.Write(w.t.Context(), path, data); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) policy(capabilities ...string) {
	w.t.Helper()
	rules := ""
	for _, c := range capabilities {
		rules += fmt.Sprintf("path %q { capabilities = [%q] }\n", map[string]string{"read": w.mount + "/keys/k", "update": w.mount + "/decrypt/k"}[c], c)
	}
	if err := w.vault.Policy(w.t.Context(), w.name, rules); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) client(change ...func(*transit.Options)) *transit.Client {
	w.t.Helper()
	o := transit.Options{
		Address: w.vault.Address(), CA: w.vault.CA(), Mount: w.mount, Key: "k", AuthMount: w.auth, Role: "r", Now: time.Now,
		Token:   func() ([]byte, error) { return []byte(w.token + "\n"), nil },
		Timeout: time.Minute, // a machine that is far too busy is no Vault that does not answer
	}
	for _, c := range change {
		c(&o)
	}
	c, err := transit.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// clientAhead returns a client whose clock stands, and by how many nanoseconds it is ahead.
func (w *world) clientAhead() (*transit.Client, *atomic.Int64) {
	w.t.Helper()
	began, ahead := time.Now(), &atomic.Int64{}
	return w.client(func(o *transit.Options) {
		o.Now = func() time.Time { return began.Add(time.Duration(ahead.Load())) }
	}), ahead
}

// newest asks for the keys and returns the one to seal to.
func newest(t *testing.T, c *transit.Client) (*keyring.Ring, *agebox.Recipient) {
	t.Helper()
	if err := c.Ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	ring := keyring.New().With(c.Keys()...)
	key, ok := ring.NewestRemote()
	if !ok {
		t.Fatal("no key")
	}
	return ring, key.Recipient()
}

func sealed(t *testing.T, to ...*agebox.Recipient) string {
	t.Helper()
	text, err := seal.Seal(nil, seal.Native(to...), seal.Strict, "ns", "n", []byte("value"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func opened(ctx context.Context, ring seal.Keys, text string) error {
	value, err := seal.NewOpener(ring, "", 0).Open(ctx, seal.Strict, "ns", "n", text)
	if err == nil && string(value) != "value" {
		return errors.New("another value")
	}
	return err
}

func (w *world) requests(path string) int {
	w.t.Helper()
	all, err := w.vault.Requests()
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, r := range all {
		if r.Path == path {
			n++
		}
	}
	return n
}

// tokens returns how many there are of logins with the key's role.
func (w *world) tokens() int {
	w.t.Helper()
	left, err := w.vault.Tokens(w.t.Context(), w.auth)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(left)
}

func TestEverySizeOfKeyThatVaultMakesIsSealedToOfflineAndOpenedByOneRequest(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"rsa-2048", "rsa-3072", "rsa-4096"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind)
			ring, to := newest(t, w.client())
			for range 3 {
				if err := opened(t.Context(), ring, sealed(t, to)); err != nil {
					t.Error(err)
				}
			}
			if n, logins := w.requests(w.mount+"/decrypt/k"), w.requests("auth/"+w.auth+"/login"); n != 3 || logins != 1 {
				t.Errorf("three values took %d requests and %d logins", n, logins)
			}
		})
	}
}

func TestALoginThatEndsOrIsRevokedIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rsa-2048")
	c, ahead := w.clientAhead()
	ring, to := newest(t, c)
	login := "auth/" + w.auth + "/login"
	// 30 minutes are what the role gives.
	ahead.Store(int64(15 * time.Minute))
	if err := opened(t.Context(), ring, sealed(t, to)); err != nil || w.requests(login) != 1 {
		t.Errorf("in the middle of its life: %v, %d logins", err, w.requests(login))
	}
	ahead.Store(int64(25 * time.Minute))
	if err := opened(t.Context(), ring, sealed(t, to)); err != nil || w.requests(login) != 2 {
		t.Errorf("before its end: %v, %d logins", err, w.requests(login))
	}
	if n := w.tokens(); n != 1 {
		t.Errorf("%d tokens, want the new one alone", n)
	}
	if err := w.vault.Client().Sys().RevokePrefixWithContext(t.Context(), "auth/"+w.auth); err != nil {
		t.Fatal(err)
	}
	if err := opened(t.Context(), ring, sealed(t, to)); err != nil || w.requests(login) != 3 {
		t.Errorf("revoked: %v, %d logins", err, w.requests(login))
	}
}

// TestLoginsThatMayNotDecryptAreNotLeftBehind: Vault does not say whether the token or a policy is at fault, and each try logs in anew.
func TestLoginsThatMayNotDecryptAreNotLeftBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rsa-2048")
	c, ahead := w.clientAhead()
	ring, to := newest(t, c)
	w.policy("read")
	for range 3 {
		if err := opened(t.Context(), ring, sealed(t, to)); err == nil || !strings.Contains(err.Error(), `must grant "update"`) {
			t.Errorf("without the right: %v", err)
		}
		ahead.Add(int64(10 * time.Second)) // Vault is asked again
	}
	if n := w.tokens(); n != 1 {
		t.Errorf("%d tokens are left, want the newest alone", n)
	}
	w.policy("read", "update")
	if err := opened(t.Context(), ring, sealed(t, to)); err != nil {
		t.Errorf("with the right: %v", err)
	}
}

func TestALoginEndsWhenItIsToldTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rsa-2048")
	c := w.client()
	if err := c.LogOut(t.Context()); err != nil {
		t.Errorf("without a login: %v", err)
	}
	ring, to := newest(t, c)
	if n := w.tokens(); n != 1 {
		t.Fatalf("%d tokens of the login", n)
	}
	if err := c.LogOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := w.tokens(); n != 0 {
		t.Errorf("%d tokens are left of the login", n)
	}
	if err := opened(t.Context(), ring, sealed(t, to)); err != nil {
		t.Errorf("with a new login: %v", err)
	}
}

// TestALoginThatNobodyWaitsForAnyMoreEndsWithTheOthers: whoever wanted it has ended when Vault answers.
func TestALoginThatNobodyWaitsForAnyMoreEndsWithTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rsa-2048")
	late := w.vault.Late(t)
	c := w.client(func(o *transit.Options) { o.Address = late.Address })
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() { asked <- c.Ask(ctx) }()
	<-late.Answered
	cancel()
	time.Sleep(100 * time.Millisecond) // so that a request that ends with its context has ended
	late.Release()
	if err := <-asked; err == nil {
		t.Error("the end of the context is no error")
	}
	if err := c.LogOut(t.Context()); err != nil {
		t.Error(err)
	}
	if n := w.tokens(); n != 0 {
		t.Errorf("%d tokens are left", n)
	}
}

func TestWhatIsWrongIsSaidAndNeverTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rsa-2048")
	w.write(w.mount+"/keys/symmetric", map[string]any{"type": "aes256-gcm96"})
	w.write(w.mount+"/keys/curve", map[string]any{"type": "ed25519"})
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/redirect") {
			http.Redirect(rw, r, "/elsewhere", http.StatusTemporaryRedirect)
			return
		}
		_, _ = fmt.Fprint(rw, "<html>login</html>")
	}))
	t.Cleanup(other.Close)
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tls.Close)
	for name, c := range map[string]struct {
		change func(*transit.Options)
		want   string
	}{
		"another role":        {func(o *transit.Options) { o.Role = "none" }, `vault has no role "none"`},
		"another auth method": {func(o *transit.Options) { o.AuthMount = "none" }, "that the auth method is enabled there"},
		"a token of nobody": {func(o *transit.Options) { o.Token = func() ([]byte, error) { return []byte("a.b.c"), nil } },
			"refuses the controller's ServiceAccount token; check the role's bound_service_account_names"},
		"no token":             {func(o *transit.Options) { o.Token = func() ([]byte, error) { return nil, os.ErrNotExist } }, "has no ServiceAccount token"},
		"nobody listens":       {func(o *transit.Options) { o.Address = "http://127.0.0.1:1" }, "cannot reach http://127.0.0.1:1: it refuses connections"},
		"not Vault":            {func(o *transit.Options) { o.Address = other.URL }, "is not one of vault's"},
		"a redirect":           {func(o *transit.Options) { o.Address = other.URL + "/redirect" }, "it redirects elsewhere"},
		"an unknown authority": {func(o *transit.Options) { o.Address = tls.URL }, "--transit-ca-file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := w.client(c.change)
			err := client.Ask(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), w.token) {
				t.Errorf("got %v", err)
			}
			// Nobody takes that for a wrong key.
			key := client.Keys()[0]
			lock := keyring.Lock{Type: agebox.HeldLockType, Args: []string{client.Name(), "1"}, Key: "SHA256:x"}
			if _, again := key.Unwrap(t.Context(), lock); !key.Fits(lock) || again == nil || again.Error() != err.Error() {
				t.Errorf("a value is answered with %v", again)
			}
		})
	}
	// With the right to see them, keys that cannot be sealed to offline are named, and those that are not there.
	if err := w.vault.Policy(t.Context(), w.name, fmt.Sprintf("path \"%s/*\" { capabilities = [\"read\", \"update\"] }", w.mount)); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"symmetric": "use another of the type rsa-4096", "curve": "use another of the type rsa-4096", "none": "vault write " + w.mount + "/keys/none type=rsa-4096"} {
		err := w.client(func(o *transit.Options) { o.Key = key }).Ask(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestAnExportOfTheKeyOpensWhenVaultIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rsa-3072")
	w.write(w.mount+"/keys/k/config", map[string]any{"exportable": true})
	_, to := newest(t, w.client())
	text := sealed(t, to)
	exported, err := w.vault.Client().Logical().ReadWithContext(t.Context(), w.mount+"/export/encryption-key/k/1")
	if err != nil {
		t.Fatal(err)
	}
	key, err := keyring.ParsePrivateKey([]byte(exported.Data["keys"].(map[string]any)["1"].(string)))
	if err != nil {
		t.Fatal(err)
	}
	if err := opened(t.Context(), one{keyring.NewPrivateKey(key)}, text); err != nil {
		t.Error(err)
	}
}

// one is a keyring of a backup.
type one struct{ key keyring.Key }

func (o one) Candidates(string) []keyring.Key { return []keyring.Key{o.key} }

// Only Vault Enterprise and OpenBao have namespaces.
func TestEachRequestGoesToTheNamespace(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Namespace") == "team-a/" && r.Header.Get("X-Vault-Request") == "true" {
			seen.Add(1)
		}
		if strings.HasSuffix(r.URL.Path, "/login") {
			_, _ = fmt.Fprint(w, `{"auth":{"client_token":"t"}}`)
			return
		}
		_, _ = fmt.Fprint(w, `{"data":{}}`)
	}))
	t.Cleanup(server.Close)
	c, err := transit.New(transit.Options{
		Address: server.URL, Namespace: "team-a/", Mount: "transit", Key: "k", AuthMount: "kubernetes", Role: "r", Now: time.Now,
		Token: func() ([]byte, error) { return []byte("jwt"), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Ask(t.Context()); err == nil || seen.Load() != 2 {
		t.Errorf("%d of two requests, %v", seen.Load(), err)
	}
}

func TestARefusalNamesTheRightThatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "rsa-2048")
	w.policy("update")
	if err := w.client().Ask(t.Context()); err == nil || !strings.HasSuffix(err.Error(), `the policies of role "r" must grant "read" on `+w.mount+"/keys/k") {
		t.Errorf("got %v", err)
	}
	w.policy("read")
	moment := time.Now()
	ring, to := newest(t, w.client(func(o *transit.Options) { o.Now = func() time.Time { return moment } }))
	text := sealed(t, to)
	want := `the policies of role "r" must grant "update" on ` + w.mount + "/decrypt/k"
	for range 20 {
		if err := opened(t.Context(), ring, text); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v", err)
		}
	}
	if n := w.requests(w.mount + "/decrypt/k"); n > 4 {
		t.Errorf("a Vault that refuses was asked %d times by twenty values in a moment", n)
	}
}

func TestOptionsThatCannotBeMeantAreRefused(t *testing.T) {
	t.Parallel()
	good := transit.Options{
		Address: "https://vault.example.com:8200", Mount: "transit", Key: "k", AuthMount: "kubernetes", Role: "r",
		Token: func() ([]byte, error) { return nil, nil }, Now: time.Now,
	}
	if c, err := transit.New(good); err != nil || c.Name() != "transit/k" {
		t.Fatalf("good options: %v", err)
	}
	for name, change := range map[string]func(*transit.Options){
		"no address":           func(o *transit.Options) { o.Address = "" },
		"no scheme":            func(o *transit.Options) { o.Address = "vault:8200" },
		"a password":           func(o *transit.Options) { o.Address = "https://canary:canary@vault:8200" },
		"a query":              func(o *transit.Options) { o.Address = "https://vault:8200?canary" },
		"no mount":             func(o *transit.Options) { o.Mount = "/" },
		"a mount that climbs":  func(o *transit.Options) { o.Mount = "transit/../sys" },
		"a key that climbs":    func(o *transit.Options) { o.Key = ".." },
		"a key with a slash":   func(o *transit.Options) { o.Key = "a/b" },
		"a key with a space":   func(o *transit.Options) { o.Key = "a b" },
		"a long name":          func(o *transit.Options) { o.Mount = strings.Repeat("a", 255) },
		"an auth mount of dot": func(o *transit.Options) { o.AuthMount = "." },
		"no role":              func(o *transit.Options) { o.Role = "" },
		"a CA that is none":    func(o *transit.Options) { o.CA = []byte("canary") },
	} {
		o := good
		change(&o)
		if _, err := transit.New(o); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
