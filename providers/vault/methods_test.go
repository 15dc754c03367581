package vault_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/providers/vault"
	harness "github.com/sealbridge/sealbridge/test/harness/vault"
)

// enable enables an auth method at a mount for the test alone.
func enable(t *testing.T, server *harness.Server, mount, kind string) {
	t.Helper()
	if err := server.Client().Sys().EnableAuthWithOptionsWithContext(t.Context(), mount, &api.EnableAuthOptions{Type: kind}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Client().Sys().DisableAuthWithContext(context.WithoutCancel(t.Context()), mount); err != nil {
			t.Logf("disable %s: %v", mount, err)
		}
	})
}

// readable mounts an engine with one secret "app" that holds the canary, and a policy of the mount's name that reads it.
func readable(t *testing.T, server *harness.Server) string {
	t.Helper()
	mount := server.KV(t, 2)
	if _, err := server.Put(t.Context(), mount, "app", map[string]any{"k": canary}); err != nil {
		t.Fatal(err)
	}
	reader(t, server, mount)
	return mount
}

func mustRead(t *testing.T, session providers.Session) {
	t.Helper()
	if got := value(t, fetchOne(t, session, providers.Ref{Key: "app"}), "k"); got != canary {
		t.Error("the value was not read")
	}
	mustCheck(t, session, "")
	if e, ok := providers.As[providers.Expirer](session); !ok || e.Expires().IsZero() {
		t.Error("the login does not say when it ends")
	}
}

// refusedLogin opens a session, which must fail as one of the class, with the text and without the credential.
func refusedLogin(t *testing.T, spec *stores.Vault, env providers.Env, class error, want string) {
	t.Helper()
	refusedBy(t, vault.Provider{}, spec, env, class, want)
}

func refusedBy(t *testing.T, p vault.Provider, spec *stores.Vault, env providers.Env, class error, want string) {
	t.Helper()
	session, err := p.Open(t.Context(), config(spec), env)
	if err == nil {
		closeNow(t, session)
		t.Fatalf("it logs in; want %q", want)
	}
	if !errors.Is(err, class) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestAUserOfVaultLogsIn(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := readable(t, server)
	enable(t, server, mount, "userpass")
	const password = " pä \"ss\" " + canary + "~"
	write(t, server, "auth/"+mount+"/users/bob", map[string]any{"password": password, "token_policies": mount, "token_ttl": "10m"})
	spec := func(user, key string) *stores.Vault {
		return &stores.Vault{Server: server.Address(), Path: mount, Auth: &stores.VaultAuth{
			UserPass: &stores.VaultUserAuth{Path: mount, Username: user, SecretRef: &stores.SecretKeySelector{Name: "user", Key: key}},
		}}
	}
	env := &providertest.Env{}
	for key, text := range map[string]string{"password": password, "line": password + "\n", "wrong": canary, "empty": "\n", "binary": "\xff" + canary} {
		env.SetSecret(providers.ObjectRef{Name: "user", Key: key}, []byte(text))
	}
	mustRead(t, open(t, spec("bob", "password"), env))
	mustRead(t, open(t, spec(" bob\n", "line"), env))
	refused := `vault refuses the login of user "bob" at auth/` + mount + ": the user or the password is wrong"
	refusedLogin(t, spec("bob", "wrong"), env, providers.ErrDenied, refused)
	refusedLogin(t, spec("eve", "password"), env, providers.ErrDenied, `user "eve"`)
	for _, key := range []string{"empty", "binary"} {
		refusedLogin(t, spec("bob", key), env, providers.ErrInvalid, "auth.userPass.secretRef: Secret user holds no usable password")
	}
	refusedLogin(t, spec("bob", "none"), env, providers.ErrUnavailable, "auth.userPass.secretRef: ")
	elsewhere := spec("bob", "password")
	elsewhere.Auth.UserPass.Path = mount + "-nowhere"
	refusedLogin(t, elsewhere, env, providers.ErrDenied, "nothing is mounted or configured there; correct auth.userPass")
}

// What is asked of Vault is what its LDAP method is asked.
func TestALoginToADirectoryNamesUserAndMount(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"": "/v1/auth/ldap/login/Jane Doe", "/corp/ldap/": "/v1/auth/corp/ldap/login/Jane Doe"} {
		cfg, env := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			switch {
			case string(body) == `{"password":"nobody is there"}`: // as Vault 1.13 says it
				answer(w, http.StatusBadRequest, `{"errors":["1 error occurred:\n\t* error connecting to host \"ldap://dir\": {{err}}%!(EXTRA *ldap.Error=LDAP Result Code 200 \"Network Error\": dial tcp: connection refused)\n\n"]}`)
			case !strings.HasPrefix(r.URL.Path, "/v1/auth/") || strings.HasSuffix(r.URL.Path, "revoke-self"):
				w.WriteHeader(http.StatusNoContent)
			case err != nil || r.Method != http.MethodPost || r.URL.Path != want || string(body) != `{"password":"`+canary+`"}`:
				answer(w, http.StatusBadRequest, `{"errors":["ldap operation failed: failed to bind as user"]}`)
			default:
				answer(w, http.StatusOK, `{"auth":{"client_token":"hvs.x","lease_duration":60,"token_type":"service"}}`)
			}
		})
		spec := cfg.Spec.(*stores.Vault)
		user := &stores.VaultUserAuth{Path: path, Username: " Jane Doe ", SecretRef: &stores.SecretKeySelector{Name: "jane", Key: "password"}}
		spec.Auth = &stores.VaultAuth{LDAP: user, UserPass: &stores.VaultUserAuth{Username: "another"}}
		passwords := env.(*providertest.Env)
		passwords.SetSecret(providers.ObjectRef{Name: "jane", Key: "password"}, []byte(canary+"\n"))
		open(t, spec, env)
		passwords.SetSecret(providers.ObjectRef{Name: "jane", Key: "password"}, []byte("nobody is there"))
		refusedLogin(t, spec, env, providers.ErrUnavailable, "vault cannot reach the directory of auth/")
		passwords.SetSecret(providers.ObjectRef{Name: "jane", Key: "password"}, []byte("wrong"))
		refusedLogin(t, spec, env, providers.ErrDenied, `vault refuses the login of user "Jane Doe" at `+strings.TrimSuffix(strings.TrimPrefix(want, "/v1/"), "/login/Jane Doe"))
	}
}

// signedJWT returns a token with the claims, signed by RS256.
func signedJWT(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	text := part(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." + part(claims)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestAJSONWebTokenLogsIn(t *testing.T) {
	t.Parallel()
	server := harness.New(t)
	mount := readable(t, server)
	enable(t, server, mount, "jwt")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	unconfigured := stores.VaultJWTAuth{Path: mount, SecretRef: &stores.SecretKeySelector{Name: "jwt", Key: "token"}}
	refusedLogin(t, &stores.Vault{Server: server.Address(), Auth: &stores.VaultAuth{JWT: &unconfigured}},
		&providertest.Env{Secrets: map[providers.ObjectRef][]byte{{Name: "jwt", Key: "token"}: []byte(canary)}}, providers.ErrUnavailable, "has no configuration yet; write auth/"+mount+"/config")
	role := map[string]any{"role_type": "jwt", "bound_audiences": "vault", "user_claim": "sub", "token_policies": mount, "token_ttl": "10m"}
	write(t, server, "auth/"+mount+"/config", map[string]any{
		"jwt_validation_pubkeys": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})), "default_role": "usual",
	})
	write(t, server, "auth/"+mount+"/role/app", role)
	write(t, server, "auth/"+mount+"/role/usual", role)
	token := func(audiences ...string) string {
		return signedJWT(t, key, map[string]any{"sub": "app", "aud": audiences, "exp": time.Now().Add(time.Hour).Unix(), "nbf": time.Now().Add(-time.Minute).Unix(), "jti": canary})
	}
	spec := func(role string, auth stores.VaultJWTAuth) *stores.Vault {
		auth.Path, auth.Role = mount, role
		return &stores.Vault{Server: server.Address(), Path: mount, Auth: &stores.VaultAuth{JWT: &auth}}
	}
	inSecret := stores.VaultJWTAuth{SecretRef: &stores.SecretKeySelector{Name: "jwt", Key: "token"}}
	env := &providertest.Env{}
	env.SetSecret(providers.ObjectRef{Name: "jwt", Key: "token"}, []byte(token("vault")+"\n"))
	env.SetSecret(providers.ObjectRef{Name: "jwt", Key: "elsewhere"}, []byte(token("elsewhere")))
	mustRead(t, open(t, spec("app", inSecret), env))
	mustRead(t, open(t, spec(" app ", inSecret), env))
	mustRead(t, open(t, spec("", inSecret), env))
	refusedLogin(t, spec("nope", inSecret), env, providers.ErrInvalid, `vault has no role "nope" at auth/`+mount+"; create it or correct auth.jwt.role")
	refusedLogin(t, spec("app", stores.VaultJWTAuth{SecretRef: &stores.SecretKeySelector{Name: "jwt", Key: "elsewhere"}}), env, providers.ErrDenied,
		`vault role "app" at auth/`+mount+" refuses the token in Secret jwt; check the role's bound_audiences")

	write(t, server, "auth/"+mount+"/config", map[string]any{"jwt_validation_pubkeys": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))})
	refusedLogin(t, spec("", inSecret), env, providers.ErrInvalid, "vault has no default role at auth/"+mount+"; create it or correct auth.jwt.role")

	// The audiences that External Secrets Operator asks for: those of both places, and Vault's unless the token names some.
	account := stores.ServiceAccountSelector{Name: "app"}
	withOwn := stores.ServiceAccountSelector{Name: "app", Namespace: "ops", Audiences: []string{"own"}}
	for name, tc := range map[string]struct {
		of   stores.VaultServiceAccountToken
		want []string
	}{
		"none named":          {stores.VaultServiceAccountToken{ServiceAccountRef: account}, []string{"vault"}},
		"of the account":      {stores.VaultServiceAccountToken{ServiceAccountRef: withOwn}, []string{"own", "vault"}},
		"of both":             {stores.VaultServiceAccountToken{ServiceAccountRef: withOwn, Audiences: []string{"vault", "b"}}, []string{"own", "vault", "b"}},
		"another":             {stores.VaultServiceAccountToken{ServiceAccountRef: account, Audiences: []string{"other"}}, []string{"other"}},
		"an empty list alone": {stores.VaultServiceAccountToken{ServiceAccountRef: withOwn, Audiences: []string{}}, []string{"own"}},
	} {
		var asked []string
		minting := &providertest.Env{Token: func(_ context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
			asked = audiences
			if ref.Name != "app" || ref.Namespace != tc.of.ServiceAccountRef.Namespace {
				t.Errorf("%s: a token of %v", name, ref)
			}
			return providers.Token{Value: providers.NewValue([]byte(token(audiences...))), Expires: time.Now().Add(time.Hour)}, nil
		}}
		minted := spec("app", stores.VaultJWTAuth{KubernetesServiceAccountToken: &tc.of})
		if slices.Contains(tc.want, "vault") {
			mustRead(t, open(t, minted, minting))
		} else {
			refusedLogin(t, minted, minting, providers.ErrDenied, "refuses "+map[string]string{"": "ServiceAccount app;", "ops": "ServiceAccount ops/app;"}[tc.of.ServiceAccountRef.Namespace])
		}
		if !slices.Equal(asked, tc.want) {
			t.Errorf("%s: a token for %q, want %q", name, asked, tc.want)
		}
	}
}

// clientCertificate returns a certificate that signs itself, and its key.
func clientCertificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

func TestACertificateLogsIn(t *testing.T) {
	t.Parallel()
	server, err := harness.Start(t.Context(), harness.Options{TLS: true})
	if err != nil {
		harness.New(t) // skips or fails as it should
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	mount := readable(t, server)
	enable(t, server, mount, "cert")
	env := &providertest.Env{}
	for _, name := range []string{"app", "stranger"} {
		cert, key := clientCertificate(t, name)
		env.SetSecret(providers.ObjectRef{Name: name, Key: "tls.crt"}, cert)
		env.SetSecret(providers.ObjectRef{Name: name, Key: "tls.key"}, key)
		if name == "app" {
			write(t, server, "auth/"+mount+"/certs/app", map[string]any{"certificate": string(cert), "token_policies": mount, "token_ttl": "10m"})
		}
	}
	spec := func(name, role string) *stores.Vault {
		return &stores.Vault{Server: server.Address(), Path: mount, CABundle: server.CA(), Auth: &stores.VaultAuth{Cert: &stores.VaultCertAuth{
			Path: mount, VaultRole: role, ClientCert: &stores.SecretKeySelector{Name: name}, SecretRef: &stores.SecretKeySelector{Name: name, Key: "tls.key"},
		}}}
	}
	mustRead(t, open(t, spec("app", ""), env))
	mustRead(t, open(t, spec("app", "app"), env))
	both := spec("app", "") // that of the login is shown
	both.ClientTLS = stores.VaultClientTLS{CertSecretRef: &stores.SecretKeySelector{Name: "stranger"}, KeySecretRef: &stores.SecretKeySelector{Name: "stranger"}}
	mustRead(t, open(t, both, env))
	refusedLogin(t, spec("stranger", ""), env, providers.ErrDenied, "vault refuses the certificate in Secret stranger at auth/"+mount)
	refusedLogin(t, spec("app", "nope"), env, providers.ErrDenied, `or not "nope", is for it`)
	usual := spec("app", "")
	usual.Auth.Cert.Path = ""
	refusedLogin(t, usual, env, providers.ErrDenied, "vault refuses the certificate in Secret app at auth/cert: no role there is for it")
	refusedLogin(t, spec("none", ""), env, providers.ErrUnavailable, "auth.cert.clientCert: ")
}
