package azure_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
)

func TestEightReadsGoAtOnceAndNoMore(t *testing.T) {
	t.Parallel()
	crowd, agents := providertest.NewCrowd(8), sync.Map{}
	cfg, env := answers(t, func(w http.ResponseWriter, r *http.Request) {
		agents.Store(r.Header.Get("User-Agent"), true)
		crowd.Join(r.Context())
		_, _ = fmt.Fprintf(w, `{"id":"https://x%s/1","value":%q,"attributes":{"enabled":true}}`, r.URL.Path, r.URL.Path)
	})
	session := openConfig(t, cfg, env)
	refs := make([]providers.Ref, 32)
	for i := range refs {
		refs[i] = providers.Ref{Key: fmt.Sprint("s-", i)}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	results, err := session.Fetch(ctx, refs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("%s: %v", refs[i].Key, r.Err)
		}
		if got, _ := value(t, r.Document, ""); !strings.Contains(got, refs[i].Key) {
			t.Errorf("%s got the answer of another: %q", refs[i].Key, got)
		}
	}
	if crowd.Most() != 8 {
		t.Errorf("%d reads went at once", crowd.Most())
	}
	agents.Range(func(agent, _ any) bool {
		if agent != "sealbridge" {
			t.Errorf("requests tell more of us than that: %v", agent)
		}
		return true
	})
}

func TestASearchIsBounded(t *testing.T) {
	t.Parallel()
	w := newTenant(t, "bounded")
	for i := range providers.MaxFound + 1 {
		w.vault.SetSecret(fmt.Sprintf("many-%04d", i), azurecloud.Object{Value: "x"})
	}
	large := newTenant(t, "bounded-large")
	for i := range 5 {
		large.vault.SetSecret(fmt.Sprint("large-", i), azurecloud.Object{Value: strings.Repeat("x", 1<<20)})
	}
	cfg, env := answers(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"value":[],"nextLink":"https://%s/secrets?api-version=7.6"}`, r.Host)
	})
	for name, tc := range map[string]struct {
		session providers.Session
		says    string
	}{
		"more than fit":    {w.open(t), "more than 1000 secrets"},
		"larger than fits": {large.open(t), "4 MiB of them"},
		"pages for ever":   {openConfig(t, cfg, env), "more than a search looks at"},
	} {
		finder, _ := providers.As[providers.Finder](tc.session)
		if found, err := finder.Find(t.Context(), providers.Query{}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), tc.says) || found != nil {
			t.Errorf("%s: %d found, %v", name, len(found), err)
		}
	}
}

func TestAnAnswerThatLacksWhatItMustHoldIsNone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ key, body string }{
		"a certificate without its content":     {"cert/x", `{"id":"https://x/certificates/x/1","attributes":{}}`},
		"a certificate without its attributes":  {"cert/x", `{"id":"https://x/certificates/x/1","cer":"eA=="}`},
		"a key without its content":             {"key/x", `{"attributes":{}}`},
		"a key without its attributes":          {"key/x", `{"key":{"kid":"https://x/keys/x/1","kty":"RSA"}}`},
		"a list without a value":                {"", `{}`},
		"a list of nothing":                     {"", `{"value":[null]}`},
		"a listed secret without an id":         {"", `{"value":[{"attributes":{}}]}`},
		"a listed secret without attributes":    {"", `{"value":[{"id":"https://x/secrets/x"}]}`},
		"a listed secret whose name cannot be":  {"", `{"value":[{"id":"https://x/secrets/a%2fb","attributes":{}}]}`},
		"a listed secret whose name is nothing": {"", `{"value":[{"id":"https://x/secrets/","attributes":{}}]}`},
	} {
		cfg, env := answers(t, func(w http.ResponseWriter, r *http.Request) {
			if tc.key == "" && !isList(r) {
				_, _ = fmt.Fprint(w, `{"value":"v","attributes":{}}`)
				return
			}
			_, _ = fmt.Fprint(w, tc.body)
		})
		session := openConfig(t, cfg, env)
		var err error
		if tc.key == "" {
			finder, _ := providers.As[providers.Finder](session)
			_, err = finder.Find(t.Context(), providers.Query{})
		} else if results, whole := session.Fetch(t.Context(), []providers.Ref{{Key: tc.key}}); whole != nil {
			err = whole
		} else {
			err = results[0].Err
		}
		if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "is not one of key vault's") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A key or certificate that says no version has none.
	cfg, env := answers(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"value":"v","attributes":{}}`) })
	results, err := openConfig(t, cfg, env).Fetch(t.Context(), []providers.Ref{{Key: "x"}})
	if err != nil || results[0].Err != nil || results[0].Version != "" {
		t.Errorf("a secret without an id: %v, %v", results, err)
	}
}

func TestAnAnswerForAnotherObjectOrVersionIsNotUsed(t *testing.T) {
	t.Parallel()
	const body = `"attributes":{},"value":"` + providertest.Canary + `","cer":"eA=="`
	for asked, body := range map[providers.Ref]string{
		{Key: "db"}:                   `{"id":"https://x/secrets/other/1",` + body + `}`,
		{Key: "db", Version: "1"}:     `{"id":"https://x/secrets/db/2",` + body + `}`,
		{Key: "db", Metadata: true}:   `{"id":"https://x/secrets/other/1",` + body + `}`,
		{Key: "cert/db"}:              `{"id":"https://x/certificates/other/1",` + body + `}`,
		{Key: "key/db", Version: "1"}: `{"key":{"kid":"https://x/keys/db/2","kty":"RSA"},"attributes":{}}`,
		{Key: "secret/db", Version: strings.Repeat("1", 32)}: `{"id":"https://x/secrets/db/` + strings.Repeat("2", 32) + `",` + body + `}`,
	} {
		cfg, env := answers(t, func(w http.ResponseWriter, r *http.Request) {
			if isList(r) {
				_, _ = fmt.Fprint(w, `{"value":[{"id":"https://x/secrets/db","attributes":{}}]}`)
				return
			}
			_, _ = fmt.Fprint(w, body)
		})
		session := openConfig(t, cfg, env)
		results, err := session.Fetch(t.Context(), []providers.Ref{asked})
		if err != nil {
			t.Errorf("%+v: all who use the store are told: %v", asked, err)
			continue
		}
		err = results[0].Err
		if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), `"db", it answers "https://x/`) || strings.Contains(err.Error(), providertest.Canary) {
			t.Errorf("%+v: %v", asked, err)
		}
		if asked != (providers.Ref{Key: "db"}) {
			continue
		}
		finder, _ := providers.As[providers.Finder](session)
		if found, err := finder.Find(t.Context(), providers.Query{}); found != nil || !errors.Is(err, providers.ErrUnavailable) || strings.Contains(err.Error(), `"db"`) {
			t.Errorf("a search: %d found, %v", len(found), err)
		}
	}
}

// isList reports whether a request asks for the list of secrets.
func isList(r *http.Request) bool {
	return strings.HasSuffix(strings.TrimRight(r.URL.Path, "/"), "/secrets")
}

func TestASearchFindsWhatJustFitsOnceAndInTheOrderOfTheNames(t *testing.T) {
	t.Parallel()
	names := []string{"d", "b", "c", "a", "b"}
	cfg, env := answers(t, func(w http.ResponseWriter, r *http.Request) {
		if isList(r) {
			_, _ = fmt.Fprintf(w, `{"value":[{"attributes":{},"id":"https://x/secrets/%s"}]}`, strings.Join(names, `"},{"attributes":{},"id":"https://x/secrets/`))
			return
		}
		_, _ = fmt.Fprintf(w, `{"value":%q,"attributes":{}}`, strings.Repeat("x", providers.MaxFoundSize/4))
	})
	finder, _ := providers.As[providers.Finder](openConfig(t, cfg, env))
	found, err := finder.Find(t.Context(), providers.Query{})
	got := ""
	for _, f := range found {
		got += f.Name
	}
	if err != nil || got != "abcd" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestASearchLooksAtSoManyNamesAndNoMore(t *testing.T) {
	t.Parallel()
	page := strings.Repeat(`{"id":"https://x/secrets/same","attributes":{"enabled":false}},`, 25_000)
	cfg, env := answers(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"value":[%s],"nextLink":"https://%s/secrets?api-version=7.6"}`, strings.TrimSuffix(page, ","), r.Host)
	})
	finder, _ := providers.As[providers.Finder](openConfig(t, cfg, env))
	if _, err := finder.Find(t.Context(), providers.Query{}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "more than a search looks at") {
		t.Error(err)
	}
}

// A secret that somebody may not read is not left out, and one that is gone meanwhile is.
func TestASearchFindsAllThatCanBeReadOrFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status     int
		code, says string
		class      error
	}{
		"gone meanwhile": {404, "SecretNotFound", "", nil},
		"not granted":    {403, "Forbidden", "secrets/get", providers.ErrDenied},
		"an error":       {500, "InternalError", "key vault answered 500", providers.ErrUnavailable},
	} {
		cfg, env := answers(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case isList(r):
				_, _ = fmt.Fprint(w, `{"value":[{"id":"https://x/secrets/b","attributes":{}},{"id":"https://x/secrets/a","attributes":{"enabled":true}},{"id":"https://x/secrets/off","attributes":{"enabled":false}}]}`)
			case strings.Contains(r.URL.Path, "/secrets/b"):
				w.WriteHeader(tc.status)
				_, _ = fmt.Fprintf(w, `{"error":{"code":%q}}`, tc.code)
			default:
				_, _ = fmt.Fprint(w, `{"id":"https://x/secrets/a/1","value":"v","attributes":{}}`)
			}
		})
		finder, _ := providers.As[providers.Finder](openConfig(t, cfg, env))
		found, err := finder.Find(t.Context(), providers.Query{})
		switch {
		case tc.class == nil && (err != nil || len(found) != 1 || found[0].Name != "a" || string(found[0].Value.Bytes()) != "v"):
			t.Errorf("%s: %d found, %v", name, len(found), err)
		case tc.class != nil && (found != nil || !errors.Is(err, tc.class) || !strings.Contains(err.Error(), tc.says)):
			t.Errorf("%s: %d found, %v", name, len(found), err)
		}
	}
}

func TestACheckFindsWhatMakesAStoreUseless(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status      int
		code, inner string
		class       error
	}{
		"no such secret":         {404, "SecretNotFound", "", nil},
		"a secret that is there": {200, "", "", nil},
		"one that is disabled":   {403, "Forbidden", "SecretDisabled", nil},
		"no right to it":         {403, "Forbidden", "ForbiddenByRbac", providers.ErrUnverified},
		"a firewall":             {403, "Forbidden", "ForbiddenByFirewall", providers.ErrDenied},
		"no vault":               {404, "VaultNotFound", "", providers.ErrUnavailable},
		"another token":          {401, "Unauthorized", "", providers.ErrDenied},
		"an error":               {500, "InternalError", "", providers.ErrUnavailable},
	} {
		cfg, env := answers(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			if tc.status == http.StatusOK {
				_, _ = fmt.Fprint(w, `{"value":"v","attributes":{}}`)
				return
			}
			_, _ = fmt.Fprintf(w, `{"error":{"code":%q,"innererror":{"code":%q}}}`, tc.code, tc.inner)
		})
		checker, _ := providers.As[providers.Checker](openConfig(t, cfg, env))
		if err := checker.Check(t.Context()); !errors.Is(err, tc.class) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
