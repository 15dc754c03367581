package azure_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/azure"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
)

// loginAt is a store whose tokens come from an authority that answers as the handlers do: what it says of itself, and a login. A
// handler that is nil answers as a good one.
func loginAt(t *testing.T, says, login http.HandlerFunc) (*stores.AzureKV, *providertest.Env) {
	t.Helper()
	w := newTenant(t, "logins"+azurecloud.InCustom)
	host := "login-" + strings.ToLower(rand.Text()) + azurecloud.InStack
	base := "https://" + host + "/" + azurecloud.Tenant
	w.cloud.Handle(host, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch handler := map[bool]http.HandlerFunc{true: login, false: says}[r.Method == http.MethodPost]; {
		case handler != nil:
			handler(rw, r)
		case r.Method == http.MethodPost:
			_, _ = fmt.Fprintf(rw, `{"token_type":"Bearer","expires_in":3600,"access_token":%q}`, canary)
		default:
			_, _ = fmt.Fprintf(rw, `{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%q}`, base+"/v2.0", base+"/authorize", base+"/token")
		}
	}))
	spec, env := w.store()
	spec.CustomCloudConfig = &stores.AzureCustomCloud{ActiveDirectoryEndpoint: "https://" + host}
	return spec, env
}

func TestALoginThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	refusal := func(code string, numbers string) http.HandlerFunc {
		return answer(http.StatusBadRequest, fmt.Sprintf(`{"error":%q,"error_description":"AADSTS1: %s. Trace ID: 1","error_codes":[%s]}`, code, canary, numbers))
	}
	const notIts = "is not one of entra id's"
	for name, tc := range map[string]struct {
		says, login http.HandlerFunc
		class       error
		text        string
	}{
		"nobody there":                 {answer(404, "<html>"+canary), nil, providers.ErrUnavailable, notIts},
		"says nothing of itself":       {answer(200, "{}"), nil, providers.ErrUnavailable, notIts},
		"says it is another":           {answer(200, `{"issuer":"https://evil.example/x","authorization_endpoint":"https://evil.example/a","token_endpoint":"https://evil.example/t"}`), nil, providers.ErrUnavailable, notIts},
		"tokens come without TLS":      {answer(200, `{"issuer":"https://login.microsoftonline.com/x","authorization_endpoint":"https://x/a","token_endpoint":"http://127.0.0.1/t"}`), nil, providers.ErrUnavailable, "an address without https"},
		"down while it says something": {answer(503, canary), nil, providers.ErrUnavailable, "entra id answered 503"},
		"down":                         {nil, answer(500, canary), providers.ErrUnavailable, "entra id answered 500"},
		"a page":                       {nil, answer(200, "<html>"+canary), providers.ErrUnavailable, notIts},
		"half of an answer":            {nil, answer(200, `{"access_token":"`+canary), providers.ErrUnavailable, notIts},
		"nothing":                      {nil, answer(200, "null"), providers.ErrUnavailable, notIts},
		"a list":                       {nil, answer(200, "["+canary), providers.ErrUnavailable, notIts},
		"no token":                     {nil, answer(200, `{"token_type":"Bearer","expires_in":3600}`), providers.ErrUnavailable, notIts},
		"a token of two lines":         {nil, answer(200, `{"token_type":"Bearer","expires_in":3600,"access_token":"`+canary+`\r\nX-Evil: 1"}`), providers.ErrUnavailable, notIts},
		"no end":                       {nil, answer(200, `{"token_type":"Bearer","access_token":"`+canary+`"}`), providers.ErrUnavailable, notIts},
		"an end that is no time":       {nil, answer(200, `{"token_type":"Bearer","expires_in":1e999999999,"access_token":"`+canary+`"}`), providers.ErrUnavailable, notIts},
		"not UTF-8":                    {nil, answer(200, "{\"access_token\":\"\xff"+canary+"\"}"), providers.ErrUnavailable, "no text"},
		"5 MiB":                        {nil, answer(200, `{"access_token":"`+strings.Repeat("x", 5<<20)+`"}`), providers.ErrUnavailable, "too long"},
		"a redirect":                   {nil, answer(307, "", "Location", "https://thief.vault.azure.net"), providers.ErrUnavailable, "redirects elsewhere"},
		"the connection breaks":        {nil, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, providers.ErrUnavailable, "the connection broke"},
		"a refusal of a proxy":         {nil, answer(403, "<html>"+canary), providers.ErrUnavailable, notIts},
		"an expired secret":            {nil, refusal("invalid_client", "7000222"), providers.ErrDenied, "the client secret has expired"},
		"a number that is not known":   {nil, refusal("invalid_grant", "53003"), providers.ErrDenied, "AADSTS53003"},
		"no number":                    {nil, refusal("invalid_client", ""), providers.ErrDenied, "check the credentials of the store"},
		"an unknown audience":          {nil, refusal("invalid_resource", "500011"), providers.ErrInvalid, "environmentType"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, env := loginAt(t, tc.says, tc.login)
			refused(t, spec, env, tc.class, tc.text)
		})
	}
	t.Run("throttled", func(t *testing.T) {
		t.Parallel()
		spec, env := loginAt(t, nil, answer(429, canary, "Retry-After", "7"))
		_, err := azure.Provider{}.Open(t.Context(), config(spec), env)
		if asks := new(providers.ThrottledError); !errors.As(err, &asks) || asks.After != 7*time.Second {
			t.Errorf("got %v", err)
		}
	})
	t.Run("late", func(t *testing.T) {
		t.Parallel()
		spec, env := loginAt(t, nil, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := azure.Provider{}.Open(ctx, config(spec), env)
		if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "did not answer in time") {
			t.Errorf("got %v", err)
		}
	})
}

func TestALoginEndsWhenEntraIDSays(t *testing.T) {
	t.Parallel()
	for ends, want := range map[string]time.Duration{
		`"expires_in":3600`: time.Hour, `"expires_in":"3600"`: time.Hour, `"expires_in":0`: 0, `"expires_in":-7200`: -2 * time.Hour, `"expires_in":3600,"refresh_in":-1`: time.Hour,
	} {
		spec, env := loginAt(t, nil, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","access_token":%q,%s}`, canary, ends)
		})
		expires, _ := providers.As[providers.Expirer](open(t, spec, env))
		if left := time.Until(expires.Expires()); left > want || left < want-10*time.Minute {
			t.Errorf("%s: the session ends in %s", ends, left)
		}
	}
}

// TestATokenOfAStrangerIsNoLogin: a vault does not take what its own authority has not given.
func TestATokenOfAStrangerIsNoLogin(t *testing.T) {
	t.Parallel()
	spec, env := loginAt(t, nil, nil)
	err := fetch(t, open(t, spec, env), providers.Ref{Key: "a"}).Err
	if !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "does not accept the token") || strings.Contains(err.Error(), canary) {
		t.Error(err)
	}
}
