package vault_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/providers/vault"
	harness "github.com/sealbridge/sealbridge/test/harness/vault"
)

// seen is what a request carried of what matters here.
type seen struct{ Path, Token, Namespace, Index, Inconsistent, Custom string }

// enterprise plays the parts of Vault that are not in the open-source server: namespaces and replication.
type enterprise struct {
	mu   sync.Mutex
	seen []seen
}

func (e *enterprise) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := r.Header
	e.seen = append(e.seen, seen{
		Path: r.URL.Path, Token: h.Get("X-Vault-Token"), Namespace: strings.Join(h.Values("X-Vault-Namespace"), ","), Index: strings.Join(h.Values("X-Vault-Index"), ","),
		Inconsistent: h.Get("X-Vault-Inconsistent"), Custom: strings.Join(h.Values("X-Custom"), ","),
	})
	if h.Get("X-Vault-Request") != "true" {
		w.WriteHeader(http.StatusPreconditionFailed)
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/login"):
		w.Header().Add("X-Vault-Index", "state-1")
		_, _ = fmt.Fprint(w, `{"auth":{"client_token":"hvs.minted","lease_duration":60,"token_type":"service"}}`)
	case strings.HasSuffix(r.URL.Path, "/revoke-self"):
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Add("X-Vault-Index", "state-of-a-read")
		_, _ = fmt.Fprint(w, `{"data":{"data":{"k":"v"},"metadata":{"version":7}}}`)
	}
}

func TestNamespacesHeadersAndReplicationStateAreSent(t *testing.T) {
	t.Parallel()
	e := &enterprise{}
	server := httptest.NewServer(e)
	defer server.Close()
	spec := &stores.Vault{
		Server: server.URL + "/base/", Path: "kv", Namespace: "team", Headers: map[string]string{"X-Custom": "c"}, ReadYourWrites: true, ForwardInconsistent: true,
		Auth: &stores.VaultAuth{Namespace: "admin", AppRole: &stores.VaultAppRole{RoleID: "r", SecretRef: stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key}}},
	}
	session, err := vault.Provider{}.Open(t.Context(), config(spec), tokenEnv(canary))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r := fetchOne(t, session, providers.Ref{Key: "a b/c?d%2F"}); r.Version != "7" {
			t.Error(r)
		}
	}
	closeNow(t, session)
	read := seen{"/base/v1/kv/data/a b/c?d%2F", "hvs.minted", "team", "state-1", "forward-active-node", "c"}
	want := []seen{
		{"/base/v1/auth/approle/login", "", "admin", "", "forward-active-node", "c"}, read, read,
		{"/base/v1/auth/token/revoke-self", "hvs.minted", "admin", "state-1", "forward-active-node", "c"},
	}
	if diff := cmp.Diff(want, e.seen); diff != "" {
		t.Error(diff)
	}
}

func TestReplicationStateIsSentWhereAStoreAsksForIt(t *testing.T) {
	t.Parallel()
	for want, change := range map[seen]func(*stores.Vault){
		{"/v1/kv/data/k", "hvs.minted", "team", "", "", ""}:                       func(*stores.Vault) {},
		{"/v1/kv/data/k", "hvs.minted", "team", "state-1", "", ""}:                func(v *stores.Vault) { v.ReadYourWrites = true },
		{"/v1/kv/data/k", "hvs.minted", "", "state-1", "", ""}:                    func(v *stores.Vault) { v.ForwardInconsistent, v.Namespace = true, "" },
		{"/v1/kv/data/k", "hvs.minted", "", "state-1", "forward-active-node", ""}: func(v *stores.Vault) { v.ReadYourWrites, v.ForwardInconsistent, v.Namespace = true, true, "" },
	} {
		e := &enterprise{}
		server := httptest.NewServer(e)
		t.Cleanup(server.Close)
		spec := &stores.Vault{Server: server.URL, Path: "kv", Namespace: "team", Auth: &stores.VaultAuth{
			AppRole: &stores.VaultAppRole{RoleID: "r", SecretRef: stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key}},
		}}
		change(spec)
		fetchOne(t, open(t, spec, tokenEnv(canary)), providers.Ref{Key: "k"})
		if login := e.seen[0]; login.Namespace != want.Namespace || login.Inconsistent != want.Inconsistent || e.seen[1] != want {
			t.Errorf("got %v, want %v", e.seen, want)
		}
	}
}

func TestHeadersDoNotGrowAndNamespacesDoNotMixWhileManyRead(t *testing.T) {
	t.Parallel()
	e := &enterprise{}
	server := httptest.NewServer(e)
	defer server.Close()
	spec := &stores.Vault{
		Server: server.URL, Path: "kv", Namespace: "team", Headers: map[string]string{"X-Custom": "b", "x-custom": "c"}, // the last in order counts
		Auth: &stores.VaultAuth{Namespace: "admin", AppRole: &stores.VaultAppRole{RoleID: "r", SecretRef: stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key}}},
	}
	var many sync.WaitGroup
	for range 8 {
		many.Go(func() { // logins of the same store among the reads of others
			session, err := vault.Provider{}.Open(t.Context(), config(spec), tokenEnv(canary))
			if err != nil {
				t.Error(err)
				return
			}
			for range 10 {
				if results, err := session.Fetch(t.Context(), []providers.Ref{{Key: "db"}}); err != nil || results[0].Err != nil {
					t.Error(err, results)
				}
			}
			closeNow(t, session)
		})
	}
	many.Wait()
	reads := 0
	for _, got := range e.seen {
		want := "admin"
		if strings.HasPrefix(got.Path, "/v1/kv/") {
			want = "team"
			reads++
		}
		if got.Namespace != want || got.Custom != "c" {
			t.Errorf("%s was asked for in %q with %q", got.Path, got.Namespace, got.Custom)
		}
	}
	if reads != 80 {
		t.Errorf("%d reads", reads)
	}
}

func TestABatchTokenIsNotRevoked(t *testing.T) {
	t.Parallel()
	cfg, env := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/login") {
			t.Errorf("asked for %s", r.URL.Path)
		}
		answer(w, http.StatusOK, `{"auth":{"client_token":"hvb.x","lease_duration":60,"token_type":"batch"}}`)
	})
	spec := cfg.Spec.(*stores.Vault)
	spec.Auth = &stores.VaultAuth{AppRole: &stores.VaultAppRole{RoleID: "r", SecretRef: *spec.Auth.TokenSecretRef}}
	closeNow(t, open(t, spec, env))
}

func TestALoginThatGivesNoTokenIsAnError(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status     int
		class      error
		body, want string
	}{
		"multi-factor":   {200, providers.ErrDenied, `{"auth":{"client_token":"","mfa_requirement":{}}}`, "vault gave no token at auth/approle; multi-factor logins cannot be used here"},
		"a strange one":  {200, providers.ErrDenied, `{"auth":{"client_token":"a\nb"}}`, "vault gave no token at auth/approle"},
		"a page":         {200, providers.ErrUnavailable, "<html>" + canary, "not one of vault's"},
		"no method":      {404, providers.ErrInvalid, `{"errors":["no handler for route \"x\" ` + canary + `"]}`, "vault has no such auth method at auth/approle; enable it or correct the mount path in auth"},
		"no route":       {400, providers.ErrInvalid, `{"errors":["no handler for route \"x\""]}`, "vault has no such auth method at auth/approle"},
		"nothing there":  {404, providers.ErrInvalid, `{"errors":[]}`, "vault has no such auth method at auth/approle"},
		"not configured": {500, providers.ErrUnavailable, `{"errors":["backend not configured"]}`, "vault's auth method at auth/approle has no configuration yet"},
		"no such path":   {400, providers.ErrInvalid, `{"errors":["unsupported path"]}`, "vault has no such auth method at auth/approle"},
		"no config":      {500, providers.ErrUnavailable, `{"errors":["could not load backend configuration"]}`, "vault's auth method at auth/approle has no configuration yet; write auth/approle/config"},
		"internal error": {500, providers.ErrUnavailable, `{"errors":["` + canary + `"]}`, "vault answered 500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, env := serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, tc.status, tc.body) })
			spec := cfg.Spec.(*stores.Vault)
			spec.Auth = &stores.VaultAuth{AppRole: &stores.VaultAppRole{RoleID: "r", SecretRef: *spec.Auth.TokenSecretRef}}
			_, err := vault.Provider{}.Open(t.Context(), cfg, env)
			if got := errText(err); !errors.Is(err, tc.class) || !strings.Contains(got, tc.want) || strings.Contains(got, canary) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// withAppRole is a store whose server answers logins with an answer, and all else as handler does.
func withAppRole(t *testing.T, login string, handler http.HandlerFunc) (*stores.Vault, providers.Env) {
	t.Helper()
	cfg, env := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/login") {
			answer(w, http.StatusOK, login)
			return
		}
		handler(w, r)
	})
	spec := cfg.Spec.(*stores.Vault)
	spec.Auth = &stores.VaultAuth{AppRole: &stores.VaultAppRole{RoleID: "r", SecretRef: *spec.Auth.TokenSecretRef}}
	return spec, env
}

func TestALoginEndsWithTheLeaseOfItsToken(t *testing.T) {
	t.Parallel()
	for lease, want := range map[int64]time.Duration{-1: 0, 0: 0, 1: time.Second, 60: time.Minute, 1 << 62: 10 * 365 * 24 * time.Hour} {
		spec, env := withAppRole(t, fmt.Sprintf(`{"auth":{"client_token":"hvb.x","lease_duration":%d,"token_type":"batch"}}`, lease), http.NotFound)
		e, _ := providers.As[providers.Expirer](open(t, spec, env))
		if left := time.Until(e.Expires()); e.Expires().IsZero() != (want == 0) || want > 0 && (left > want || left < want-time.Minute) {
			t.Errorf("a lease of %d seconds ends in %s", lease, left)
		}
	}
}

func TestATokenThatIsNotRevokedIsAnErrorOfTheEnd(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		200: "", 204: "",
		403: "", // it is gone already
		400: "the answer (status 400) is not one of vault's", 500: "vault answered 500 Internal Server Error", 503: "vault answered 503",
	} {
		spec, env := withAppRole(t, `{"auth":{"client_token":"hvs.x","lease_duration":60,"token_type":"service"}}`, func(w http.ResponseWriter, _ *http.Request) {
			answer(w, status, map[bool]string{true: `{"errors":["x"]}`}[status >= 400])
		})
		session, err := vault.Provider{}.Open(t.Context(), config(spec), env)
		if err != nil {
			t.Fatal(err)
		}
		if err := session.(io.Closer).Close(); (err == nil) != (want == "") || !strings.Contains(errText(err), want) {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestTheCheckSaysWhatIsWrongWithTheMount(t *testing.T) {
	t.Parallel()
	const strange, refused = "not one of vault's", `{"errors":["permission denied"]}`
	for name, tc := range map[string]struct {
		v1     bool
		status int
		body   string
		class  error
		want   string
	}{
		"version 2":                    {false, 200, `{"data":{"type":"kv","options":{"version":"2"}}}`, nil, ""},
		"version 1":                    {true, 200, `{"data":{"type":"kv","options":{"version":"1"}}}`, nil, ""},
		"version 1 by its old name":    {true, 200, `{"data":{"type":"generic","options":null}}`, nil, ""},
		"version 1 for version 2":      {false, 200, `{"data":{"type":"generic","options":null}}`, providers.ErrInvalid, "the secrets engine at kv is KV version 1; set version in the store"},
		"version 2 for version 1":      {true, 200, `{"data":{"type":"kv","options":{"version":"2"}}}`, providers.ErrInvalid, "the secrets engine at kv is KV version 2; set version in the store"},
		"another engine":               {true, 200, `{"data":{"type":"transit","options":null}}`, providers.ErrInvalid, "the secrets engine at kv is not a KV engine; correct path in the store"},
		"a mount that is hidden":       {false, 403, refused, nil, ""},
		"a server without this path":   {false, 404, `{"errors":[]}`, nil, ""},
		"a page":                       {false, 200, "<html>" + canary, providers.ErrUnavailable, strange},
		"a refusal of others":          {false, 403, "<html>" + canary, providers.ErrUnavailable, strange},
		"a page that is not there":     {false, 404, "<html>" + canary, providers.ErrUnavailable, strange},
		"a mount with another status":  {false, 202, `{"data":{"type":"kv","options":{"version":"2"}}}`, providers.ErrUnavailable, strange},
		"an error":                     {false, 500, refused, providers.ErrUnavailable, "vault answered 500"},
		"a server that is not there":   {false, 503, refused, providers.ErrUnavailable, "vault answered 503"},
		"something that is no mount":   {false, 200, `{"data":["` + canary + `"]}`, providers.ErrUnavailable, strange},
		"a seal that nobody asked for": {false, 200, `{"sealed":false}`, providers.ErrUnavailable, strange},
	} {
		cfg, env := says(tc.status, tc.body)(t)
		spec := cfg.Spec.(*stores.Vault)
		if tc.v1 {
			spec.Version = stores.VaultKVv1
		}
		checker, _ := providers.As[providers.Checker](open(t, spec, env))
		err := checker.Check(t.Context())
		if !errors.Is(err, tc.class) || !strings.Contains(errText(err), tc.want) || strings.Contains(errText(err), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAStoreWithoutAPathIsCheckedByWhatVaultTellsEverybody(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status     int
		body, want string
	}{
		"unsealed":     {200, `{"sealed":false}`, ""},
		"sealed":       {200, `{"sealed":true}`, "vault is sealed; unseal it"},
		"another JSON": {200, `{"data":{}}`, "not one of vault's"},
		"a page":       {200, "<html>", "not one of vault's"},
		"an error":     {502, `{"errors":[]}`, "vault answered 502"},
	} {
		cfg, env := says(tc.status, tc.body)(t)
		spec := cfg.Spec.(*stores.Vault)
		spec.Path = "/"
		checker, _ := providers.As[providers.Checker](open(t, spec, env))
		if err := checker.Check(t.Context()); err != nil {
			t.Errorf("%s: a token that was just looked up: %v", name, err)
		}
		spec.Auth = nil
		checker, _ = providers.As[providers.Checker](open(t, spec, env))
		if err := checker.Check(t.Context()); (err == nil) != (tc.want == "") || err != nil && !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(errText(err), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTLSIsCheckedAgainstTheBundleOfTheStore(t *testing.T) {
	t.Parallel()
	server, err := harness.Start(t.Context(), harness.Options{TLS: true})
	if err != nil {
		harness.New(t) // skips or fails as it should
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	env := tokenEnv(server.Token())
	env.ConfigMaps = map[providers.ObjectRef][]byte{{Name: "ca", Key: "ca.crt"}: server.CA()}
	env.SetSecret(providers.ObjectRef{Namespace: "x", Name: "ca", Key: "ca.crt"}, server.CA())
	env.SetSecret(providers.ObjectRef{Name: "empty", Key: "ca.crt"}, []byte(canary))
	for name, tc := range map[string]struct {
		change func(*stores.Vault)
		want   string
	}{
		"a bundle": {func(v *stores.Vault) { v.CABundle = server.CA() }, ""},
		"a bundle that was encoded twice": {func(v *stores.Vault) {
			v.CABundle = []byte(base64.StdEncoding.EncodeToString(server.CA()) + "\n")
		}, ""},
		"a ConfigMap": {func(v *stores.Vault) {
			v.CAProvider = &stores.CAProvider{Type: stores.CAProviderConfigMap, Name: "ca", Key: "ca.crt"}
		}, ""},
		"a Secret": {func(v *stores.Vault) {
			v.CAProvider = &stores.CAProvider{Type: stores.CAProviderSecret, Namespace: "x", Name: "ca", Key: "ca.crt"}
		}, ""},
		"a Secret without a certificate": {func(v *stores.Vault) {
			v.CAProvider = &stores.CAProvider{Type: stores.CAProviderSecret, Name: "empty", Key: "ca.crt"}
		}, "caProvider holds no PEM certificate"},
		"a Secret that is missing": {func(v *stores.Vault) {
			v.CAProvider = &stores.CAProvider{Type: stores.CAProviderSecret, Name: "none", Key: "ca.crt"}
		}, "caProvider: Secret none"},
		"the system's roots": {func(*stores.Vault) {}, "its certificate is signed by an unknown authority; set caBundle or caProvider"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := tokenStore(server.Address(), "secret")
			tc.change(spec)
			session, err := vault.Provider{}.Open(t.Context(), config(spec), env)
			if got := errText(err); (tc.want == "") != (err == nil) || !strings.Contains(got, tc.want) || strings.Contains(got, canary) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if err == nil {
				closeNow(t, session)
			}
		})
	}
}

func TestAClientCertificateIsShown(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			t.Error("no client certificate")
		}
		lookedUp(w)
	}))
	// With TLS 1.2 the refusal is part of the handshake; with 1.3 it races with the request.
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	env := tokenEnv(canary)
	env.SetSecret(providers.ObjectRef{Name: "client", Key: "tls.crt"}, cert)
	env.SetSecret(providers.ObjectRef{Name: "client", Key: "tls.key"}, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	env.SetSecret(providers.ObjectRef{Name: "broken", Key: "tls.key"}, []byte("-----BEGIN PRIVATE KEY-----\n"+canary+"\n-----END PRIVATE KEY-----\n"))
	spec := tokenStore(server.URL, "kv")
	spec.CABundle = cert
	_, err = vault.Provider{}.Open(t.Context(), config(spec), env)
	if !strings.Contains(errText(err), "refuses the TLS handshake; check the client certificate") {
		t.Errorf("without a certificate: %v", err)
	}
	spec.ClientTLS = stores.VaultClientTLS{CertSecretRef: &stores.SecretKeySelector{Name: "client"}, KeySecretRef: &stores.SecretKeySelector{Name: "client"}}
	open(t, spec, env)
	spec.ClientTLS.KeySecretRef = &stores.SecretKeySelector{Name: "broken"}
	_, err = vault.Provider{}.Open(t.Context(), config(spec), env)
	if got := errText(err); !strings.Contains(got, "tls.certSecretRef and tls.keySecretRef do not hold a certificate and its key in PEM") || strings.Contains(got, providertest.Canary) {
		t.Error(got)
	}
}

func TestASealedOrDeadServerComesBack(t *testing.T) {
	t.Parallel()
	server, err := harness.Start(t.Context(), harness.Options{})
	if err != nil {
		harness.New(t) // skips or fails as it should
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	if err := server.EnableKV(t.Context(), "kv", 2); err != nil { // a server may still be at work on the mount that it begins with
		t.Fatal(err)
	}
	if _, err := server.Put(t.Context(), "kv", "app", map[string]any{"k": canary}); err != nil {
		t.Fatal(err)
	}
	session := open(t, tokenStore(server.Address(), "kv"), tokenEnv(server.Token()))
	agent := open(t, &stores.Vault{Server: server.Address()}, tokenEnv(canary))
	mustCheck(t, agent, "")
	failure := func() string {
		results, err := session.Fetch(t.Context(), []providers.Ref{{Key: "app"}, {Key: "nope"}})
		if results != nil {
			t.Error("there are results")
		}
		return errText(err)
	}
	if err := server.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := failure(); got != "SecretStore team-a/vault: vault is sealed; unseal it" {
		t.Error(got)
	}
	mustCheck(t, agent, "SecretStore team-a/vault: vault is sealed; unseal it")
	if err := server.Unseal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := value(t, fetchOne(t, session, providers.Ref{Key: "app"}), "k"); got != canary {
		t.Error("the session did not come back")
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	checker, _ := providers.As[providers.Checker](agent)
	if err := checker.Check(t.Context()); err == nil {
		t.Error("the check does not notice that the server is gone")
	}
	if got := failure(); !strings.Contains(got, "cannot reach "+server.Address()+": ") {
		t.Error(got)
	}
}
