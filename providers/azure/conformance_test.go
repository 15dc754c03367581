package azure_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/azure"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
)

func TestMain(m *testing.M) { os.Exit(azurecloud.Run(m)) }

const (
	canary = providertest.Canary
	store  = "SecretStore team-a/azure"
)

func config(spec *stores.AzureKV) providers.Config {
	return providers.Config{Store: store, Spec: spec}
}

func key(name string) *stores.SecretKeySelector {
	return &stores.SecretKeySelector{Name: "azure", Key: name}
}

// withSecret is a store that logs in with the client secret of env.
func withSecret(vault string) *stores.AzureKV {
	return &stores.AzureKV{VaultURL: vault, TenantID: azurecloud.Tenant, AuthSecretRef: &stores.AzureAuthSecretRef{ClientID: key("id"), ClientSecret: key("secret")}}
}

// credentials are those of an application.
func credentials(client, secret string) *providertest.Env {
	return &providertest.Env{Secrets: map[providers.ObjectRef][]byte{
		{Name: "azure", Key: "id"}: []byte(client + "\n"), {Name: "azure", Key: "secret"}: []byte(secret + "\n"),
	}}
}

// tenant is a vault of its own with an application that may do everything.
type tenant struct {
	cloud  *azurecloud.Cloud
	vault  *azurecloud.Vault
	client string
}

const secretOfApps = canary + "~client.secret"

func newTenant(t *testing.T, name string, rights ...string) tenant {
	t.Helper()
	w := tenant{cloud: azurecloud.New(t), client: "client-" + strings.ReplaceAll(name, ".", "-")}
	w.vault = w.cloud.Vault(name)
	if rights == nil {
		rights = []string{azurecloud.GetSecrets, azurecloud.ListSecrets, azurecloud.GetCertificates, azurecloud.GetKeys}
	}
	w.vault.Grant(w.client, rights...)
	w.cloud.AddApp(azurecloud.App{Client: w.client, Secrets: []string{secretOfApps}})
	return w
}

func (w tenant) store() (*stores.AzureKV, *providertest.Env) {
	return withSecret(w.vault.URL()), credentials(w.client, secretOfApps)
}

// open opens a session that is closed when the test ends.
func open(t *testing.T, spec *stores.AzureKV, env providers.Env) providers.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := azure.Provider{}.Open(ctx, config(spec), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, session) })
	return session
}

func closeNow(t *testing.T, session providers.Session) {
	t.Helper()
	closer, _ := session.(interface{ Close() error })
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
}

func (w tenant) open(t *testing.T) providers.Session {
	t.Helper()
	spec, env := w.store()
	return open(t, spec, env)
}

// TestAzureConforms runs the suite with one application on one vault and another on the other.
func TestAzureConforms(t *testing.T) {
	both := [2]tenant{newTenant(t, "conforms-a"), newTenant(t, "conforms-b")}
	store := func(i int) func(*testing.T) (providers.Config, providers.Env) {
		return func(*testing.T) (providers.Config, providers.Env) {
			spec, env := both[i].store()
			return config(spec), env
		}
	}
	providertest.Run(t, providertest.Harness{
		Provider: azure.Provider{},
		Configs:  [2]func(*testing.T) (providers.Config, providers.Env){store(0), store(1)},
		Put: func(t *testing.T, i int, name string, fields map[string]string) providers.Ref {
			t.Helper()
			value, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			both[i].vault.SetSecret(name, azurecloud.Object{Value: string(value)})
			return providers.Ref{Key: name}
		},
		Missing: providers.Ref{Key: "nowhere"},
		Hang: func(t *testing.T) (providers.Config, providers.Env) {
			t.Helper()
			return answers(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		},
		HTTP: func(t *testing.T, handler http.HandlerFunc) (providers.Config, providers.Env) {
			t.Helper()
			return answers(t, handler)
		},
		Faults: faults(),
		Ambient: map[string]func(*testing.T) (providers.Config, providers.Env){
			"a managed identity": func(*testing.T) (providers.Config, providers.Env) {
				return config(&stores.AzureKV{VaultURL: both[0].vault.URL(), AuthType: stores.AzureManagedIdentity, IdentityID: "x"}), &providertest.Env{}
			},
			"a workload identity without an account": func(*testing.T) (providers.Config, providers.Env) {
				return config(&stores.AzureKV{VaultURL: both[0].vault.URL(), AuthType: stores.AzureWorkloadIdentity}), &providertest.Env{}
			},
		},
		Invalid: map[string]providers.Config{
			"azurekv":           config(nil),
			"vaultUrl":          config(withSecret("http://plain.vault.azure.net")),
			"tenantId":          config(&stores.AzureKV{VaultURL: "https://a.vault.azure.net", TenantID: "a/" + canary}),
			"customCloudConfig": config(&stores.AzureKV{VaultURL: "https://a.vault.azure.net", EnvironmentType: stores.AzureStackCloud}),
			"environmentType":   config(&stores.AzureKV{VaultURL: "https://a.vault.azure.net", EnvironmentType: stores.AzureGermanCloud}),
			"authType":          config(&stores.AzureKV{VaultURL: "https://a.vault.azure.net", AuthType: "x"}),
			"authSecretRef":     config(&stores.AzureKV{VaultURL: "https://a.vault.azure.net", TenantID: "a"}),
			"customCloudConfig.activeDirectoryEndpoint": config(&stores.AzureKV{VaultURL: "https://a.vault.azure.net", CustomCloudConfig: &stores.AzureCustomCloud{}}),
			"serviceAccountRef.name": config(&stores.AzureKV{VaultURL: "https://a.vault.azure.net", AuthType: stores.AzureWorkloadIdentity,
				ServiceAccountRef: &stores.ServiceAccountSelector{}}),
		},
	})
}

// answers is a store whose vault tells what tokens it takes, and answers those who have one as the handler does.
func answers(t *testing.T, handler http.HandlerFunc) (providers.Config, providers.Env) {
	t.Helper()
	return vaultThat(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			azurecloud.Challenge(w)
			return
		}
		handler(w, r)
	})
}

// vaultThat is a store whose vault answers everything as the handler does.
func vaultThat(t *testing.T, handler http.HandlerFunc) (providers.Config, providers.Env) {
	t.Helper()
	w := newTenant(t, "fault-"+strings.ToLower(rand.Text()))
	w.cloud.Handle(w.vault.Host(), handler)
	spec, env := w.store()
	return config(spec), env
}

func says(status int, body string) func(*testing.T) (providers.Config, providers.Env) {
	return func(t *testing.T) (providers.Config, providers.Env) {
		t.Helper()
		return answers(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		})
	}
}

// refuses is what a vault says that refuses.
func refuses(status int, code, inner string) func(*testing.T) (providers.Config, providers.Env) {
	return says(status, fmt.Sprintf(`{"error":{"code":%q,"message":%q,"innererror":{"code":%q}}}`, code, canary, inner))
}

// to is a valid store that an edit makes another.
func to(edit func(*stores.AzureKV, *providertest.Env)) func(*testing.T) (providers.Config, providers.Env) {
	return func(t *testing.T) (providers.Config, providers.Env) {
		t.Helper()
		w := newTenant(t, "edited")
		spec, env := w.store()
		edit(spec, env)
		return config(spec), env
	}
}

func faults() map[string]providertest.Fault {
	const notIts = "is not one of key vault's"
	all := map[string]providertest.Fault{
		"nothing listens": {Class: providers.ErrUnavailable, Says: []string{store, "refuses connections"}, Open: func(*testing.T) (providers.Config, providers.Env) {
			return config(withSecret("https://127.0.0.1:1")), credentials("a", canary)
		}},
		"the certificate is of an unknown authority": {Class: providers.ErrUnavailable, Says: []string{"SSL_CERT_FILE"}, Open: func(t *testing.T) (providers.Config, providers.Env) {
			t.Helper()
			strange := httptest.NewUnstartedServer(http.NotFoundHandler())
			strange.Config.ErrorLog = quiet()
			strange.StartTLS()
			t.Cleanup(strange.Close)
			return config(withSecret(strange.URL)), credentials("a", canary)
		}},
		"the vault asks for tokens of another domain": {Class: providers.ErrInvalid, Says: []string{"vaultUrl", "another domain"}, Open: func(t *testing.T) (providers.Config, providers.Env) {
			t.Helper()
			return vaultThat(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.usgovcloudapi.net"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
		}},
		"the vault asks for tokens of nobody": {Class: providers.ErrUnavailable, Says: []string{notIts, "status 401"}, Open: func(t *testing.T) (providers.Config, providers.Env) {
			t.Helper()
			return vaultThat(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer authorization="x", resource="https://vault.azure.net"`) // the SDK alone would panic
				w.WriteHeader(http.StatusUnauthorized)
			})
		}},
		"the vault asks for tokens of another audience later": {Class: providers.ErrDenied, Says: []string{"another audience than at the login"}, Open: func(t *testing.T) (providers.Config, providers.Env) {
			t.Helper()
			return answers(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/t", resource="https://azure.net"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
		}},
		"the vault answers without a token": {Class: providers.ErrUnavailable, Says: []string{notIts, "status 200"}, Open: func(t *testing.T) (providers.Config, providers.Env) {
			t.Helper()
			return vaultThat(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"value":"x"}`) })
		}},
		"the client secret is wrong": {Class: providers.ErrDenied, Says: []string{"entra id refuses", "AADSTS7000215", "the client secret is wrong"},
			Open: to(func(_ *stores.AzureKV, env *providertest.Env) {
				env.SetSecret(providers.ObjectRef{Name: "azure", Key: "secret"}, []byte(canary))
			})},
		"the client is unknown": {Class: providers.ErrDenied, Says: []string{"no application with this client id"},
			Open: to(func(_ *stores.AzureKV, env *providertest.Env) {
				env.SetSecret(providers.ObjectRef{Name: "azure", Key: "id"}, []byte("nobody"))
			})},
		"the tenant is unknown": {Class: providers.ErrInvalid, Says: []string{"no such tenant", "tenantId"}, Open: to(func(spec *stores.AzureKV, _ *providertest.Env) { spec.TenantID = "nowhere" })},
		"the cloud is another": {Class: providers.ErrInvalid, Says: []string{"environmentType"}, Open: to(func(spec *stores.AzureKV, _ *providertest.Env) {
			spec.EnvironmentType = stores.AzureUSGovernmentCloud
		})},
		"the Secret with the credentials is missing": {Class: providers.ErrUnavailable, Says: []string{"authSecretRef.clientId", "azure"},
			Open: to(func(_ *stores.AzureKV, env *providertest.Env) { env.Secrets = nil })},
		"the client secret is missing": {Class: providers.ErrUnavailable, Says: []string{"authSecretRef.clientSecret", "azure"},
			Open: to(func(spec *stores.AzureKV, _ *providertest.Env) { spec.AuthSecretRef.ClientSecret = key("none") })},
		"the certificate is missing": {Class: providers.ErrUnavailable, Says: []string{"authSecretRef.clientCertificate", "azure"},
			Open: to(func(spec *stores.AzureKV, _ *providertest.Env) {
				spec.AuthSecretRef.ClientSecret, spec.AuthSecretRef.ClientCertificate = nil, key("none")
			})},
		"the certificate is none": {Class: providers.ErrInvalid, Says: []string{"authSecretRef.clientCertificate", "PKCS#12"},
			Open: to(func(spec *stores.AzureKV, _ *providertest.Env) {
				spec.AuthSecretRef.ClientSecret, spec.AuthSecretRef.ClientCertificate = nil, key("secret")
			})},
		"throttled": {Throttled: true, Says: []string{"throttled by the store"}, Open: says(429, `{"error":{"code":"Throttled","message":"`+canary+`"}}`)},
	}
	for name, f := range map[string]providertest.Fault{
		"the right is missing":   {Class: providers.ErrDenied, Says: []string{`read secret "nowhere"`, "secrets/get", "Key Vault Secrets User"}, Open: refuses(403, "Forbidden", "ForbiddenByRbac")},
		"the policy is missing":  {Class: providers.ErrDenied, Says: []string{"secrets/get"}, Open: refuses(403, "Forbidden", "AccessDenied")},
		"the network is refused": {Class: providers.ErrDenied, Says: []string{"network rules"}, Open: refuses(403, "Forbidden", "ForbiddenByFirewall")},
		"the secret is disabled": {Class: providers.ErrInvalid, Says: []string{`secret "nowhere" is disabled`}, Open: refuses(403, "Forbidden", "SecretDisabled")},
		"the secret has expired": {Class: providers.ErrInvalid, Says: []string{"expired"}, Open: refuses(403, "Forbidden", "SecretExpired")},
		"the secret is too new":  {Class: providers.ErrInvalid, Says: []string{"not valid yet"}, Open: refuses(403, "Forbidden", "SecretNotYetValid")},
		"the token is refused":   {Class: providers.ErrDenied, Says: []string{"does not accept the token"}, Open: refuses(401, "Unauthorized", "")},
		"the request is refused": {Class: providers.ErrInvalid, Says: []string{"cannot read", "status 400"}, Open: refuses(400, "BadParameter", "")},
		"an internal error":      {Class: providers.ErrUnavailable, Says: []string{"500"}, Open: refuses(500, "InternalError", "")},
		"a conflict":             {Class: providers.ErrUnavailable, Says: []string{notIts, "409"}, Open: refuses(409, "Conflict", "")},
		"the vault is gone":      {Class: providers.ErrUnavailable, Says: []string{notIts, "404"}, Open: refuses(404, "VaultNotFound", "")},
		"a refusal of a proxy":   {Class: providers.ErrUnavailable, Says: []string{notIts, "403"}, Open: says(403, "<html>"+canary)},
		"a page not found":       {Class: providers.ErrUnavailable, Says: []string{notIts, "404"}, Open: says(404, "<html>"+canary)},
		"JSON not found":         {Class: providers.ErrUnavailable, Says: []string{notIts, "404"}, Open: says(404, `{"error":"`+canary+`"}`)},
		"no value":               {Class: providers.ErrUnavailable, Says: []string{notIts}, Open: says(200, `{"id":"https://x/secrets/x/1","attributes":{}}`)},
		"a value of no text":     {Class: providers.ErrUnavailable, Says: []string{notIts}, Open: says(200, `{"value":{"x":"`+canary+`"}}`)},
		"no attributes":          {Class: providers.ErrUnavailable, Says: []string{notIts}, Open: says(200, `{"value":"`+canary+`"}`)},
		"an answer of 5 MiB":     {Class: providers.ErrInvalid, Says: []string{"larger than 4 MiB", `"nowhere"`}, Open: says(200, `{"value":"`+strings.Repeat(canary, 5<<20/len(canary))+`"}`)},
	} {
		all[name] = f
	}
	return all
}
