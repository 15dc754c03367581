package webhook_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/providers/webhook"
)

const canary = providertest.Canary

// api is an HTTP API that keeps documents by the token of who asks.
type api struct {
	mu   sync.Mutex
	docs map[string]string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key, _ := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), "/doc/"))
	doc, ok := a.docs[r.Header.Get("Authorization")+" "+key]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = io.WriteString(w, doc)
}

func (a *api) put(token, key, doc string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.docs["Bearer "+token+" "+key] = doc
}

func config(spec *stores.Webhook) providers.Config {
	return providers.Config{Store: "SecretStore team-a/webhook", Spec: spec}
}

// keyed is a store whose URL ends with the key, that sends a token, and whose properties are names of fields.
func keyed(address string) *stores.Webhook {
	return &stores.Webhook{
		URL:     address + "/doc/{{ .remoteRef.key }}",
		Headers: map[string]string{"Authorization": "Bearer {{ .auth.token }}"},
		Result:  stores.WebhookResult{JSONPath: `${{ with .remoteRef.property }}[{{ . | quote }}]{{ end }}`},
		Secrets: []stores.WebhookSecret{{Name: "auth", SecretRef: stores.SecretKeySelector{Name: "webhook-auth"}}},
	}
}

// lent is an Env with the Secret that keyed names.
func lent(token string) *providertest.Env {
	return &providertest.Env{
		User:    "team-a",
		Secrets: map[providers.ObjectRef][]byte{{Name: "webhook-auth", Key: "token"}: []byte(token + "\n")},
		Labels:  map[providers.ObjectRef]map[string]string{{Name: "webhook-auth"}: {"external-secrets.io/type": "webhook"}},
	}
}

func TestWebhookConforms(t *testing.T) {
	a := &api{docs: map[string]string{}}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	tokens := [2]string{canary + "-a", canary + "-b"}
	store := func(i int) func(*testing.T) (providers.Config, providers.Env) {
		return func(*testing.T) (providers.Config, providers.Env) { return config(keyed(server.URL)), lent(tokens[i]) }
	}
	providertest.Run(t, providertest.Harness{
		Provider: webhook.Provider{},
		Configs:  [2]func(*testing.T) (providers.Config, providers.Env){store(0), store(1)},
		Put: func(t *testing.T, i int, name string, fields map[string]string) providers.Ref {
			t.Helper()
			raw, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			a.put(tokens[i], name, string(raw))
			return providers.Ref{Key: name}
		},
		Missing: providers.Ref{Key: "nowhere"},
		Hang:    serving(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		HTTP: func(t *testing.T, handler http.HandlerFunc) (providers.Config, providers.Env) {
			t.Helper()
			return serving(handler)(t)
		},
		Faults: faults(server.URL),
		Invalid: map[string]providers.Config{
			"webhook":                       config(nil),
			"url":                           config(&stores.Webhook{}),
			"method":                        config(&stores.Webhook{URL: "https://x", Method: "GE T"}),
			"headers":                       config(&stores.Webhook{URL: "https://x", Headers: map[string]string{"a b": canary}}),
			"headers.X":                     config(&stores.Webhook{URL: "https://x", Headers: map[string]string{"X": "{{ ." + canary}}),
			"body":                          config(&stores.Webhook{URL: "https://x", Body: `{{ getHostByName "x" }}`}),
			"result.jsonPath":               config(&stores.Webhook{URL: "https://x", Result: stores.WebhookResult{JSONPath: "[0]"}}),
			"timeout":                       config(&stores.Webhook{URL: "https://x", Timeout: &metav1.Duration{Duration: -time.Second}}),
			"secrets[0].name":               config(&stores.Webhook{URL: "https://x", Secrets: []stores.WebhookSecret{{Name: "remoteRef", SecretRef: stores.SecretKeySelector{Name: "s"}}}}),
			"secrets[0].secretRef.name":     config(&stores.Webhook{URL: "https://x", Secrets: []stores.WebhookSecret{{Name: "s"}}}),
			"auth.ntlm.usernameSecret.name": config(&stores.Webhook{URL: "https://x", Auth: &stores.WebhookAuth{NTLM: &stores.WebhookNTLM{}}}),
			"auth":                          config(&stores.Webhook{URL: "https://x", Auth: &stores.WebhookAuth{}}),
			"caBundle":                      config(&stores.Webhook{URL: "https://x", CABundle: []byte(canary)}),
		},
	})
}

// serving is a store on a server of its own.
func serving(handler http.HandlerFunc) func(*testing.T) (providers.Config, providers.Env) {
	return func(t *testing.T) (providers.Config, providers.Env) {
		t.Helper()
		server := httptest.NewUnstartedServer(handler)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.Start()
		t.Cleanup(func() {
			server.CloseClientConnections()
			server.Close()
		})
		return config(keyed(server.URL)), lent(canary)
	}
}

func says(status int, body string) func(*testing.T) (providers.Config, providers.Env) {
	return serving(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// changed is a store that differs from a good one.
func changed(address string, change func(*stores.Webhook, *providertest.Env)) func(*testing.T) (providers.Config, providers.Env) {
	return func(*testing.T) (providers.Config, providers.Env) {
		spec, env := keyed(address), lent(canary)
		change(spec, env)
		return config(spec), env
	}
}

func faults(address string) map[string]providertest.Fault {
	header := func(status int, name, value string) func(*testing.T) (providers.Config, providers.Env) {
		return serving(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(name, value)
			w.WriteHeader(status)
		})
	}
	unavailable, denied, invalid := providers.ErrUnavailable, providers.ErrDenied, providers.ErrInvalid
	return map[string]providertest.Fault{
		"not found":                  {Class: providers.ErrNotFound, Says: []string{`key "nowhere"`, "404 Not Found"}, Open: says(404, canary)},
		"not modified":               {Class: invalid, Says: []string{"304", "If-None-Match"}, Open: says(304, "")},
		"unauthorized":               {Class: denied, Says: []string{"401", "credentials"}, Open: says(401, canary)},
		"forbidden":                  {Class: denied, Says: []string{"403", `key "nowhere"`}, Open: says(403, canary)},
		"a bad request":              {Class: invalid, Says: []string{"400"}, Open: says(400, canary)},
		"gone":                       {Class: invalid, Says: []string{"410"}, Open: says(410, canary)},
		"throttled, with a time":     {Throttled: true, Says: []string{"throttled by the store"}, Open: header(429, "Retry-After", "7")},
		"throttled, without":         {Throttled: true, Says: []string{"throttled by the store"}, Open: says(429, canary)},
		"busy until later":           {Throttled: true, Says: []string{"throttled by the store"}, Open: header(503, "Retry-After", "9")},
		"busy":                       {Class: unavailable, Says: []string{"503"}, Open: says(503, canary)},
		"an internal error":          {Class: unavailable, Says: []string{"500 Internal Server Error"}, Open: says(500, canary)},
		"a status that nobody knows": {Class: unavailable, Says: []string{"599"}, Open: says(599, canary)},
		"a redirect":                 {Class: unavailable, Says: []string{"redirects elsewhere"}, Open: header(302, "Location", "http://127.0.0.1/"+canary)},
		"empty":                      {Class: unavailable, Says: []string{"without a content"}, Open: says(200, "")},
		"no content":                 {Class: unavailable, Says: []string{"204 No Content"}, Open: says(204, "")},
		"a page":                     {Class: unavailable, Says: []string{"not JSON"}, Open: says(200, "<html>"+canary)},
		"cut off":                    {Class: unavailable, Says: []string{"not JSON"}, Open: says(200, `{"k":"`+canary)},
		"not UTF-8":                  {Class: unavailable, Says: []string{"not UTF-8"}, Open: says(200, "{\"k\":\"\xff"+canary+"\"}")},
		"5 MiB":                      {Class: invalid, Says: []string{"larger than 4 MiB"}, Open: says(200, `{"k":"`+strings.Repeat(canary, 5<<20/len(canary))+`"}`)},
		"a million values":           {Class: invalid, Says: []string{"more than 250000 values"}, Open: says(200, `[`+strings.Repeat("0,", 1_000_000)+`0]`)},
		"reset in the middle": {Class: unavailable, Says: []string{"the connection broke"}, Open: serving(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"k":"`+canary)
			panic(http.ErrAbortHandler)
		})},
		"slower than its timeout": {Class: unavailable, Says: []string{"did not answer in time"}, Open: func(t *testing.T) (providers.Config, providers.Env) {
			cfg, env := serving(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })(t)
			cfg.Spec.(*stores.Webhook).Timeout = &metav1.Duration{Duration: 50 * time.Millisecond}
			return cfg, env
		}},
		"nobody listens":             {Class: unavailable, Says: []string{"refuses connections", "http://127.0.0.1:1"}, Open: changed("http://127.0.0.1:1", func(*stores.Webhook, *providertest.Env) {})},
		"a metadata address":         {Class: unavailable, Says: []string{"metadata addresses are refused"}, Open: changed("http://169.254.169.254", func(*stores.Webhook, *providertest.Env) {})},
		"a Secret without the label": {Class: invalid, Says: []string{"secrets[0].secretRef", `"external-secrets.io/type": "webhook"`}, Open: changed(address, func(_ *stores.Webhook, env *providertest.Env) { env.Labels = nil })},
		"a Secret that is missing":   {Class: unavailable, Says: []string{"secrets[0].secretRef", "webhook-auth"}, Open: changed(address, func(_ *stores.Webhook, env *providertest.Env) { env.Secrets = nil })},
		"a key that is missing": {Class: invalid, Says: []string{"headers.Authorization", "does not exist"}, Open: changed(address, func(w *stores.Webhook, _ *providertest.Env) {
			w.Headers["Authorization"] = "Bearer {{ .auth.nope }}"
		})},
		"a URL that is none":      {Class: invalid, Says: []string{"url makes no address"}, Open: changed(address, func(w *stores.Webhook, _ *providertest.Env) { w.URL = "{{ .auth.token }}" })},
		"a URL of another scheme": {Class: invalid, Says: []string{"url makes no address"}, Open: changed(address, func(w *stores.Webhook, _ *providertest.Env) { w.URL = "{{ print `ftp` }}://host/" })},
		"a URL without a host":    {Class: invalid, Says: []string{"url makes no address"}, Open: changed(address, func(w *stores.Webhook, _ *providertest.Env) { w.URL = "{{ print `https` }}:///path" })},
		"a URL of a key that is missing": {Class: invalid, Says: []string{"url prints a key that does not exist"}, Open: changed(address, func(w *stores.Webhook, _ *providertest.Env) {
			w.URL = address + "/{{ .auth.nope }}"
		})},
		"a bundle that is missing": {Class: unavailable, Says: []string{"caProvider"}, Open: changed(address, func(w *stores.Webhook, _ *providertest.Env) {
			w.CAProvider = &stores.CAProvider{Type: stores.CAProviderConfigMap, Name: "none", Key: "ca.crt"}
		})},
		"a login without its password": {Class: unavailable, Says: []string{"auth.ntlm.passwordSecret", `webhook-auth has no key "password"`}, Open: changed(address, func(w *stores.Webhook, _ *providertest.Env) {
			w.Auth = &stores.WebhookAuth{NTLM: &stores.WebhookNTLM{
				UsernameSecret: stores.SecretKeySelector{Name: "webhook-auth", Key: "token"}, PasswordSecret: stores.SecretKeySelector{Name: "webhook-auth", Key: "password"},
			}}
		})},
		"a login from a Secret without the label": {Class: invalid, Says: []string{"auth.ntlm.usernameSecret", `"external-secrets.io/type": "webhook"`}, Open: changed(address, func(w *stores.Webhook, env *providertest.Env) {
			env.SetSecret(providers.ObjectRef{Name: "login", Key: "user"}, []byte(canary))
			w.Auth = &stores.WebhookAuth{NTLM: &stores.WebhookNTLM{
				UsernameSecret: stores.SecretKeySelector{Name: "login", Key: "user"}, PasswordSecret: stores.SecretKeySelector{Name: "login", Key: "user"},
			}}
		})},
		"a header that cannot be": {Class: invalid, Says: []string{"headers.X has characters"}, Open: changed(address, func(w *stores.Webhook, _ *providertest.Env) {
			w.Headers["X"] = `{{ printf "a\n%s" .auth.token }}`
		})},
		"a template that never ends": {Class: invalid, Says: []string{"body"}, Open: changed(address, func(w *stores.Webhook, _ *providertest.Env) {
			w.Body = `{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}`
		})},
		"a template that prints without end": {Class: invalid, Says: []string{"body"}, Open: changed(address, func(w *stores.Webhook, _ *providertest.Env) {
			w.Body = `{{ range until 60000 }}` + strings.Repeat("x", 100) + `{{ end }}`
		})},
		"no namespace": {Class: invalid, Says: []string{"no namespace"}, Open: changed(address, func(w *stores.Webhook, env *providertest.Env) {
			w.Body, env.User = `{{ .remoteRef.namespace }}`, ""
		})},
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf("%v", err)
}
