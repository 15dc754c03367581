package vault_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/providers/vault"
	google "github.com/sealbridge/sealbridge/test/harness/gcp"
	harness "github.com/sealbridge/sealbridge/test/harness/vault"
)

func TestMain(m *testing.M) { os.Exit(google.Run(m)) }

const canary = providertest.Canary

// tokenRef is where the tests' token lies.
func tokenRef() providers.ObjectRef { return providers.ObjectRef{Name: "vault-token", Key: "token"} }

// tokenStore is a store that logs in with the token of env.
func tokenStore(address, mount string) *stores.Vault {
	return &stores.Vault{Server: address, Path: mount, Auth: &stores.VaultAuth{
		TokenSecretRef: &stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key},
	}}
}

func tokenEnv(token string) *providertest.Env {
	return &providertest.Env{Secrets: map[providers.ObjectRef][]byte{tokenRef(): []byte(token + "\n")}}
}

func config(spec *stores.Vault) providers.Config {
	return providers.Config{Store: "SecretStore team-a/vault", Spec: spec}
}

// reader makes a token that may read the mount and nothing else.
func reader(t *testing.T, server *harness.Server, mount string) string {
	t.Helper()
	if err := server.Policy(t.Context(), mount, harness.ReadPolicy(mount, "*")); err != nil {
		t.Fatal(err)
	}
	token, err := server.NewToken(t.Context(), time.Hour, mount)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestVaultConforms runs the suite with a token on one mount and an AppRole on the other.
func TestVaultConforms(t *testing.T) {
	server := harness.New(t)
	mounts := [2]string{server.KV(t, 2), server.KV(t, 2)}
	token := reader(t, server, mounts[0])
	reader(t, server, mounts[1])
	roles := mounts[1]
	if err := server.EnableAppRole(t.Context(), roles); err != nil {
		t.Fatal(err)
	}
	roleID, secretID, err := server.AppRole(t.Context(), roles, "app", time.Hour, mounts[1])
	if err != nil {
		t.Fatal(err)
	}
	secretRef := providers.ObjectRef{Name: "approle", Key: "secret-id"}
	unwilling := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusForbidden, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Code>AccessDenied</Code><Message>`+canary+`</Message></Error></ErrorResponse>`)
	}))
	defer unwilling.Close()
	providertest.Run(t, providertest.Harness{
		Provider: vault.Provider{AWS: awsidentity.Environment{Endpoints: awsidentity.Endpoints{STS: unwilling.URL}}},
		Configs: [2]func(*testing.T) (providers.Config, providers.Env){
			func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore(server.Address(), mounts[0])), tokenEnv(token)
			},
			func(*testing.T) (providers.Config, providers.Env) {
				return config(&stores.Vault{Server: server.Address(), Path: mounts[1], Auth: &stores.VaultAuth{AppRole: &stores.VaultAppRole{
					Path: roles, RoleID: roleID, SecretRef: stores.SecretKeySelector{Name: secretRef.Name, Key: secretRef.Key},
				}}}), &providertest.Env{Secrets: map[providers.ObjectRef][]byte{secretRef: []byte(secretID)}}
			},
		},
		Put: func(t *testing.T, i int, name string, fields map[string]string) providers.Ref {
			t.Helper()
			data := make(map[string]any, len(fields))
			for k, v := range fields {
				data[k] = v
			}
			if _, err := server.Put(t.Context(), mounts[i], name, data); err != nil {
				t.Fatal(err)
			}
			return providers.Ref{Key: name}
		},
		Missing: providers.Ref{Key: "nowhere"},
		Hang:    hanging,
		HTTP: func(t *testing.T, handler http.HandlerFunc) (providers.Config, providers.Env) {
			t.Helper()
			return reads(handler)(t)
		},
		Faults: faults(t, server, mounts[0]),
		Ambient: map[string]func(*testing.T) (providers.Config, providers.Env){
			"iam without an identity of AWS": func(*testing.T) (providers.Config, providers.Env) {
				return config(&stores.Vault{Server: server.Address(), Auth: &stores.VaultAuth{IAM: &stores.VaultIAMAuth{AWSRole: "arn:aws:iam::1:role/x"}}}), &providertest.Env{}
			},
			"gcp without an identity of Google": func(*testing.T) (providers.Config, providers.Env) {
				return config(&stores.Vault{Server: server.Address(), Auth: &stores.VaultAuth{GCP: &stores.VaultGCPAuth{Role: "x"}}}), &providertest.Env{}
			},
		},
		Invalid: map[string]providers.Config{
			"vault":  config(nil),
			"server": config(&stores.Vault{Server: "https://" + canary + ":x@vault"}),
		},
	})
}

// hanging is a store whose server accepts the login and answers nothing after it.
func hanging(t *testing.T) (providers.Config, providers.Env) {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/lookup-self") {
			lookedUp(w)
			return
		}
		<-r.Context().Done()
	})
}

func lookedUp(w http.ResponseWriter) { answer(w, http.StatusOK, `{"data":{"expire_time":null}}`) }

func answer(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, body)
}

// serve is a store on a server of our own, for faults that the real one cannot be made to show.
func serve(t *testing.T, handler http.HandlerFunc) (providers.Config, providers.Env) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return config(tokenStore(server.URL, "kv")), tokenEnv(canary)
}

// reads is a store whose server accepts the token and answers reads with handler.
func reads(handler http.HandlerFunc) func(*testing.T) (providers.Config, providers.Env) {
	return func(t *testing.T) (providers.Config, providers.Env) {
		t.Helper()
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/lookup-self") {
				lookedUp(w)
				return
			}
			handler(w, r)
		})
	}
}

func says(status int, body string) func(*testing.T) (providers.Config, providers.Env) {
	return reads(func(w http.ResponseWriter, _ *http.Request) { answer(w, status, body) })
}

func faults(t *testing.T, server *harness.Server, mount string) map[string]providertest.Fault {
	t.Helper()
	quoted := func(text string) string { return fmt.Sprintf(`{"errors":[%q]}`, text+" "+canary) }
	return map[string]providertest.Fault{
		"nothing listens": {Class: providers.ErrUnavailable, Says: []string{"SecretStore team-a/vault", "refuses connections"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore("http://127.0.0.1:1", "kv")), tokenEnv(canary)
			}},
		"the name does not resolve": {Class: providers.ErrUnavailable, Says: []string{"cannot be resolved"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore("http://vault.invalid:8200", "kv")), tokenEnv(canary)
			}},
		"the address is link-local": {Class: providers.ErrUnavailable, Says: []string{"link-local"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore("http://169.254.169.254", "kv")), tokenEnv(canary)
			}},
		"the certificate is of an unknown authority": {Class: providers.ErrUnavailable, Says: []string{"set caBundle or caProvider"},
			Open: func(t *testing.T) (providers.Config, providers.Env) {
				t.Helper()
				strange := httptest.NewUnstartedServer(http.NotFoundHandler())
				strange.Config.ErrorLog = log.New(io.Discard, "", 0)
				strange.StartTLS()
				t.Cleanup(strange.Close)
				return config(tokenStore(strange.URL, "kv")), tokenEnv(canary)
			}},
		"it speaks http only": {Class: providers.ErrUnavailable, Says: []string{"speaks http, not https"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore(strings.Replace(server.Address(), "http:", "https:", 1), "kv")), tokenEnv(canary)
			}},
		"the token is wrong": {Class: providers.ErrDenied, Says: []string{"vault refuses the token"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore(server.Address(), mount)), tokenEnv(canary)
			}},
		"the token is no text": {Class: providers.ErrInvalid, Says: []string{"auth.tokenSecretRef", "vault-token"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore(server.Address(), mount)), tokenEnv(canary + "\x00")
			}},
		"the Secret with the token is missing": {Class: providers.ErrUnavailable, Says: []string{"auth.tokenSecretRef", "vault-token"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(tokenStore(server.Address(), mount)), &providertest.Env{}
			}},
		"AWS does not let the role be assumed": {Class: providers.ErrDenied, Says: []string{"auth.iam.role: AWS refuses sts:AssumeRole"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				sel := &stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key}
				return config(&stores.Vault{Server: server.Address(), Auth: &stores.VaultAuth{IAM: &stores.VaultIAMAuth{
					AWSRole: "arn:aws:iam::1:role/x", SecretRef: &stores.AWSAuthSecretRef{AccessKeyID: sel, SecretAccessKey: sel},
				}}}), tokenEnv(canary)
			}},
		"Google does not know the cluster": {Class: providers.ErrDenied, Says: []string{"Security Token Service refuses the identity of the store"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return config(&stores.Vault{Server: server.Address(), Auth: &stores.VaultAuth{GCP: &stores.VaultGCPAuth{Role: "x", WorkloadIdentity: &stores.GCPWorkloadIdentity{
						ServiceAccountRef: stores.ServiceAccountSelector{Name: "app"}, ClusterProjectID: "strange", ClusterLocation: "europe-west3", ClusterName: "main",
					}}}}), &providertest.Env{
						Accounts: map[providers.AccountRef]map[string]string{{Name: "app"}: {}},
						Token: func(context.Context, providers.AccountRef, ...string) (providers.Token, error) {
							return providers.Token{Value: providers.NewValue([]byte(canary))}, nil
						},
					}
			}},
		"the path is not granted": {Class: providers.ErrDenied, Says: []string{`must grant "read"`, "kv/data/nowhere"},
			Open: func(t *testing.T) (providers.Config, providers.Env) {
				t.Helper()
				return config(tokenStore(server.Address(), "kv")), tokenEnv(reader(t, server, mount))
			}},
		"sealed":                          {Class: providers.ErrUnavailable, Says: []string{"unseal it"}, Open: says(503, quoted("Vault is sealed"))},
		"no active server":                {Class: providers.ErrUnavailable, Says: []string{"vault answered 503"}, Open: says(503, quoted("no active node"))},
		"a refusal that speaks of a seal": {Class: providers.ErrDenied, Says: []string{`must grant "read"`}, Open: says(403, quoted("the envelope is sealed"))},
		"throttled": {Throttled: true, Says: []string{"throttled by the store"}, Open: reads(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			answer(w, http.StatusTooManyRequests, quoted("request path: rate limit quota exceeded"))
		})},
		"a standby that is behind":        {Class: providers.ErrUnavailable, Says: []string{"forwardInconsistent"}, Open: says(412, quoted("required index state not present"))},
		"an internal error":               {Class: providers.ErrUnavailable, Says: []string{"500"}, Open: says(500, quoted("1 error occurred"))},
		"a proxy without a server":        {Class: providers.ErrUnavailable, Says: []string{"502"}, Open: says(502, "<html>"+canary)},
		"a page instead of an answer":     {Class: providers.ErrUnavailable, Says: []string{"not one of vault's", "status 200"}, Open: says(200, "<html>"+canary)},
		"JSON that is not Vault's":        {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(200, `{"token":"`+canary+`"}`)},
		"an answer that is cut off":       {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(200, `{"data":{"data":{"k":"`+canary)},
		"an answer that is not UTF-8":     {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(200, "{\"data\":{\"data\":{\"k\":\"\xff"+canary+"\"}}}")},
		"a document that is no object":    {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(200, `{"data":{"data":["`+canary+`"]}}`)},
		"an answer of another form":       {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(200, `{"data":{"data":{"k":"`+canary+`"}},"errors":"x"}`)},
		"content that is no object":       {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(200, `{"data":["`+canary+`"]}`)},
		"a deleted version":               {Class: providers.ErrNotFound, Says: []string{"version 3 of kv/data/nowhere is deleted"}, Open: says(200, `{"data":{"data":null,"metadata":{"version":3,"deletion_time":"2026-01-01T00:00:00Z"}}}`)},
		"a version without content":       {Class: providers.ErrNotFound, Says: []string{"version 3 of kv/data/nowhere is destroyed"}, Open: says(200, `{"data":{"metadata":{"version":3,"destroyed":true}}}`)},
		"a version of many digits":        {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(200, `{"data":{"metadata":{"version":`+strings.Repeat("1", 100)+`,"destroyed":true}}}`)},
		"what cannot be read":             {Class: providers.ErrInvalid, Says: []string{"vault cannot read kv/data/nowhere (status 405); correct the key or path"}, Open: says(405, quoted("unsupported operation"))},
		"what is asked for wrongly":       {Class: providers.ErrInvalid, Says: []string{"vault cannot read kv/data/nowhere (status 400); correct the key or path"}, Open: says(400, quoted("1 error occurred"))},
		"no content and no reason":        {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(200, `{"data":{"data":null}}`)},
		"a page that was not found":       {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(404, "<html>"+canary)},
		"JSON that was not found":         {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(404, `{"message":"`+canary+`"}`)},
		"data that was not found":         {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(404, `{"data":null}`)},
		"an error that was not found":     {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(404, quoted("upstream gone"))},
		"an empty answer":                 {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(200, "")},
		"no content at all":               {Class: providers.ErrUnavailable, Says: []string{"not one of vault's"}, Open: says(204, "")},
		"a refusal that quotes the token": {Class: providers.ErrDenied, Says: []string{`must grant "read"`}, Open: says(403, quoted("permission denied"))},
		"an answer of 5 MiB": {Class: providers.ErrInvalid, Says: []string{"larger than 4 MiB", "kv/data/nowhere"},
			Open: says(200, `{"data":{"data":{"k":"`+strings.Repeat(canary, 5<<20/len(canary))+`"}}}`)},
		"an answer of 250001 values": {Class: providers.ErrInvalid, Says: []string{"more than 250000 values; split it", "kv/data/nowhere"},
			Open: says(200, `{"data":{"data":{"k":["`+canary+`"`+strings.Repeat(",{}", 125_000)+`]}}}`)},
		"an answer that breaks off": {Class: providers.ErrUnavailable, Says: []string{"the connection broke"}, Open: reads(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			answer(w, http.StatusOK, `{"data":{"data":{"k":"`+canary)
			panic(http.ErrAbortHandler)
		})},
	}
}

func TestARedirectIsNotFollowedWithTheToken(t *testing.T) {
	t.Parallel()
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer thief.Close()
	cfg, env := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+"/v1/auth/token/lookup-self?token="+canary, http.StatusTemporaryRedirect)
	})
	_, err := vault.Provider{}.Open(t.Context(), cfg, env)
	if err == nil || !strings.Contains(err.Error(), "redirects elsewhere") || strings.Contains(err.Error(), canary) {
		t.Error(err)
	}
}

// open opens a session that is closed when the test ends.
func open(t *testing.T, spec *stores.Vault, env providers.Env) providers.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := vault.Provider{}.Open(ctx, config(spec), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, session) })
	return session
}
