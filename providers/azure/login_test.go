package azure_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/azure"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
)

func template(name string) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
}

func openConfig(t *testing.T, cfg providers.Config, env providers.Env) providers.Session {
	t.Helper()
	spec, _ := cfg.Spec.(*stores.AzureKV)
	return open(t, spec, env)
}

// reads checks that a store can be opened and read.
func (w tenant) reads(t *testing.T, spec *stores.AzureKV, env providers.Env) {
	t.Helper()
	w.vault.SetSecret("read", azurecloud.Object{Value: canary})
	if got, err := value(t, document(t, open(t, spec, env), providers.Ref{Key: "read"}), ""); err != nil || got != canary {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// refused opens a store that cannot be opened.
func refused(t *testing.T, spec *stores.AzureKV, env providers.Env, class error, says string) {
	t.Helper()
	session, err := azure.Provider{}.Open(t.Context(), config(spec), env)
	if err == nil {
		closeNow(t, session)
		t.Error("the store can be opened")
		return
	}
	if !errors.Is(err, class) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), canary) {
		t.Errorf("want %q, got %v", says, err)
	}
}

func TestAServicePrincipalLogsInWithACertificate(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "certified")
	p, strange := newPair(t, "app"), newPair(t, "app")
	w.cloud.AddApp(azurecloud.App{Client: w.client, Certificates: []*x509.Certificate{p.cert}})
	pkcs8, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	cert := block("CERTIFICATE", p.cert.Raw)
	for name, content := range map[string][]byte{
		"PEM":                    slices.Concat(cert, block("PRIVATE KEY", pkcs8)),
		"PEM with the key first": slices.Concat(block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(p.key)), cert),
		"PKCS#12":                encodePKCS12(t, pkcs12.Modern, p),
		"PKCS#12 of old":         encodePKCS12(t, pkcs12.LegacyDES, p),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, env := w.store()
			spec.AuthSecretRef.ClientSecret, spec.AuthSecretRef.ClientCertificate = nil, key("certificate")
			env.SetSecret(providers.ObjectRef{Name: "azure", Key: "certificate"}, content)
			w.reads(t, spec, env)
		})
	}
	spec, env := w.store()
	spec.AuthSecretRef.ClientSecret, spec.AuthSecretRef.ClientCertificate = nil, key("certificate")
	endless, err := os.ReadFile("../../internal/template/testdata/pkcs12/endless.p12") // whose key is derived 2^40 times
	if err != nil {
		t.Fatal(err)
	}
	for says, content := range map[string][]byte{
		"holds no certificate":            bytes.Join([][]byte{cert, []byte(canary)}, nil),
		"holds no certificate with its":   endless,
		"no certificate with its RSA key": slices.Concat(cert, block("PRIVATE KEY", pkcs8), bytes.Repeat([]byte("\n"), 64<<10)),
		"client certificate is not regis": slices.Concat(block("CERTIFICATE", strange.cert.Raw), block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(strange.key))),
	} {
		class := providers.ErrInvalid
		if strings.HasPrefix(says, "client") {
			class = providers.ErrDenied
		}
		env.SetSecret(providers.ObjectRef{Name: "azure", Key: "certificate"}, content)
		refused(t, spec, env, class, says)
	}
}

func encodePKCS12(t *testing.T, encoder *pkcs12.Encoder, p pair) []byte {
	t.Helper()
	out, err := encoder.Encode(p.key, p.cert, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAManagedIdentityLogsInByThePlatform(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "managed")
	w.cloud.Manage("")
	w.cloud.Manage("managed-a")
	w.vault.Grant("", azurecloud.GetSecrets)
	w.vault.Grant("managed-a", azurecloud.GetSecrets)
	for _, id := range []string{"", "managed-a"} {
		w.reads(t, &stores.AzureKV{VaultURL: w.vault.URL(), AuthType: stores.AzureManagedIdentity, IdentityID: id}, &providertest.Env{})
	}
	refused(t, &stores.AzureKV{VaultURL: w.vault.URL(), AuthType: stores.AzureManagedIdentity, IdentityID: "unknown"}, &providertest.Env{}, providers.ErrDenied, "identityId")
	w.cloud.Lead("led", "managed-a")
	refused(t, &stores.AzureKV{VaultURL: w.vault.URL(), AuthType: stores.AzureManagedIdentity, IdentityID: "led"}, &providertest.Env{}, providers.ErrUnavailable, "302 Found")
}

// TestAManagedIdentityIsAskedForAtEachLogin is not parallel: the environment says where.
func TestAManagedIdentityIsAskedForAtEachLogin(t *testing.T) {
	w := newTenant(t, "managed-anew")
	var asked int
	var body string
	platform := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = io.WriteString(rw, body)
	}))
	defer platform.Close()
	t.Setenv("IDENTITY_ENDPOINT", platform.URL)
	spec := &stores.AzureKV{VaultURL: w.vault.URL(), AuthType: stores.AzureManagedIdentity, IdentityID: "anew"}
	// What it gave before is of no use once the vault refuses it, however long it is good by our clock.
	body = `{"access_token":"` + canary + `","expires_in":"86400"}`
	for range 2 {
		if err := fetch(t, open(t, spec, &providertest.Env{}), providers.Ref{Key: "a"}).Err; !errors.Is(err, providers.ErrDenied) {
			t.Error(err)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times in two logins", asked)
	}
	for _, body = range []string{
		"", "null", " null", "[]", `"` + canary + `"`, "<html>" + canary, `{"access_token":"` + canary, `{"access_token":"` + canary + `"}`, `{"expires_in":"86400"}`,
		`{"access_token":"","expires_in":"86400"}`, `{"access_token":"` + canary + `\n","expires_in":"86400"}`,
	} {
		refused(t, spec, &providertest.Env{}, providers.ErrUnavailable, "answered 200 OK without a token")
	}
}

// issuer mints tokens of ServiceAccounts as an API server does.
type issuer struct {
	url string
	key *rsa.PrivateKey
}

func newIssuer(t *testing.T) issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{"https://cluster.example", key}
}

func (i issuer) keys(context.Context) (*jose.JSONWebKeySet, error) {
	return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &i.key.PublicKey, KeyID: "1", Algorithm: "RS256", Use: "sig"}}}, nil
}

func (i issuer) mint(_ context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: i.key}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		return providers.Token{}, err
	}
	expires := time.Now().Add(time.Hour)
	text, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: i.url, Subject: "system:serviceaccount:team-a:" + ref.Name, Audience: audiences, Expiry: jwt.NewNumericDate(expires),
	}).Serialize()
	return providers.Token{Value: providers.NewValue([]byte(text)), Expires: expires}, err
}

func (i issuer) federated(account, audience string) []azurecloud.Federated {
	return []azurecloud.Federated{{Issuer: i.url, Subject: "system:serviceaccount:team-a:" + account, Audience: audience, Keys: i.keys}}
}

func TestAServiceAccountStandsForAnIdentity(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "federated")
	cluster := newIssuer(t)
	w.cloud.AddApp(azurecloud.App{Client: w.client, Federated: slices.Concat(
		cluster.federated("app", "api://AzureADTokenExchange"), cluster.federated("own-audience", "vault-of-team-a"), cluster.federated("other-audience", "elsewhere"))})
	account := providers.AccountRef{Name: "app"}
	env := func() *providertest.Env {
		e := credentials(w.client, "")
		e.SetSecret(providers.ObjectRef{Name: "azure", Key: "tenant"}, []byte(azurecloud.Tenant))
		e.Token = cluster.mint
		e.Accounts = map[providers.AccountRef]map[string]string{account: {}}
		return e
	}
	spec := func() *stores.AzureKV {
		return &stores.AzureKV{VaultURL: w.vault.URL(), AuthType: stores.AzureWorkloadIdentity, ServiceAccountRef: &stores.ServiceAccountSelector{Name: "app"}}
	}
	t.Run("by annotations", func(t *testing.T) {
		t.Parallel()
		s, e := spec(), env()
		e.Accounts[account] = map[string]string{"azure.workload.identity/client-id": w.client, "azure.workload.identity/tenant-id": azurecloud.Tenant}
		w.reads(t, s, e)
	})
	t.Run("by authSecretRef", func(t *testing.T) {
		t.Parallel()
		s, e := spec(), env()
		s.AuthSecretRef = &stores.AzureAuthSecretRef{ClientID: key("id"), TenantID: key("tenant")}
		w.reads(t, s, e)
	})
	t.Run("by an annotation and tenantId, for an audience of its own", func(t *testing.T) {
		t.Parallel()
		s, e := spec(), env()
		s.TenantID = azurecloud.Tenant
		s.ServiceAccountRef = &stores.ServiceAccountSelector{Name: "own-audience", Audiences: []string{"vault-of-team-a"}}
		e.Accounts[providers.AccountRef{Name: "own-audience"}] = map[string]string{"azure.workload.identity/client-id": w.client}
		w.reads(t, s, e)
	})
	t.Run("not for another audience, account or none", func(t *testing.T) {
		t.Parallel()
		s, e := spec(), env()
		s.TenantID = azurecloud.Tenant
		for _, name := range []string{"other-audience", "stranger"} {
			s.ServiceAccountRef = &stores.ServiceAccountSelector{Name: name}
			e.Accounts[providers.AccountRef{Name: name}] = map[string]string{"azure.workload.identity/client-id": w.client}
			refused(t, s, e, providers.ErrDenied, "no federated credential")
		}
		s.ServiceAccountRef = &stores.ServiceAccountSelector{Name: "absent"}
		refused(t, s, e, providers.ErrUnavailable, "serviceAccountRef")
	})
	t.Run("not when a stranger signs", func(t *testing.T) {
		t.Parallel()
		s, e := spec(), env()
		e.Accounts[account] = map[string]string{"azure.workload.identity/client-id": w.client, "azure.workload.identity/tenant-id": azurecloud.Tenant}
		e.Token = newIssuer(t).mint
		refused(t, s, e, providers.ErrDenied, "does not accept the assertion")
	})
	t.Run("not when it is said twice, or not at all", func(t *testing.T) {
		t.Parallel()
		s, e := spec(), env()
		refused(t, s, e, providers.ErrInvalid, "its client id is not known")
		e.Accounts[account] = map[string]string{"azure.workload.identity/client-id": w.client}
		refused(t, s, e, providers.ErrInvalid, "its tenant id is not known")
		s.AuthSecretRef = &stores.AzureAuthSecretRef{ClientID: key("id")}
		refused(t, s, e, providers.ErrInvalid, "its client id is in authSecretRef.clientId and in the annotation")
	})
}

// TestTheControllersOwnIdentityIsThatOfItsEnvironment is not parallel: the environment is one for all.
func TestTheControllersOwnIdentityIsThatOfItsEnvironment(t *testing.T) {
	w := newTenant(t, "own")
	cluster := newIssuer(t)
	w.cloud.AddApp(azurecloud.App{Client: w.client, Federated: cluster.federated("controller", "api://AzureADTokenExchange")})
	spec := &stores.AzureKV{VaultURL: w.vault.URL(), AuthType: stores.AzureWorkloadIdentity}
	refused(t, spec, &providertest.Env{}, providers.ErrInvalid, "AZURE_FEDERATED_TOKEN_FILE")

	token, err := cluster.mint(t.Context(), providers.AccountRef{Name: "controller"}, "api://AzureADTokenExchange")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, token.Value.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AZURE_CLIENT_ID", w.client)
	t.Setenv("AZURE_TENANT_ID", azurecloud.Tenant)
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)
	w.reads(t, spec, &providertest.Env{})
	for name, value := range map[string]string{"AZURE_CLIENT_ID": w.client, "AZURE_TENANT_ID": azurecloud.Tenant, "AZURE_FEDERATED_TOKEN_FILE": file} {
		t.Setenv(name, "")
		refused(t, spec, &providertest.Env{}, providers.ErrInvalid, "needs AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_FEDERATED_TOKEN_FILE")
		t.Setenv(name, value)
	}
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file+".none")
	refused(t, spec, &providertest.Env{}, providers.ErrUnavailable, "the file that AZURE_FEDERATED_TOKEN_FILE names")
	t.Setenv("AZURE_FEDERATED_TOKEN_FILE", file)

	custom := newTenant(t, "own"+azurecloud.InCustom)
	spec.VaultURL, spec.EnvironmentType = custom.vault.URL(), stores.AzureStackCloud
	spec.CustomCloudConfig = &stores.AzureCustomCloud{ActiveDirectoryEndpoint: "https://" + azurecloud.CustomAuthority}
	before := len(w.cloud.Requests(azurecloud.CustomAuthority))
	refused(t, spec, &providertest.Env{}, providers.ErrInvalid, "the controller's own token is shown to no authority but")
	if asked := len(w.cloud.Requests(azurecloud.CustomAuthority)) - before; asked > 0 {
		t.Errorf("an authority that only the store names was asked %d times", asked)
	}
	t.Setenv("AZURE_AUTHORITY_HOST", "https://"+azurecloud.CustomAuthority+"/")
	custom.vault.Grant(w.client, azurecloud.GetSecrets)
	custom.reads(t, spec, &providertest.Env{})
}

func TestEachCloudHasItsAuthority(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "clouds"+azurecloud.InGovernment)
	spec, env := w.store()
	spec.EnvironmentType = stores.AzureUSGovernmentCloud
	w.reads(t, spec, env)

	w = newTenant(t, "clouds"+azurecloud.InCustom)
	for _, environment := range []stores.AzureEnvironment{stores.AzureStackCloud, stores.AzurePublicCloud, ""} {
		spec, env = w.store()
		spec.EnvironmentType = environment
		spec.CustomCloudConfig = &stores.AzureCustomCloud{ActiveDirectoryEndpoint: "https://" + azurecloud.CustomAuthority}
		w.reads(t, spec, env)
	}
	for _, host := range []string{azurecloud.CustomAuthority, azurecloud.Authority, "login.microsoft.com"} {
		for _, r := range w.cloud.Requests(host) {
			if strings.Contains(r.Path, "discovery/instance") {
				t.Errorf("%s was asked whether there is an authority: %s", host, r.Query)
			}
		}
	}
}
