package webhook_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/webhook"
)

func TestARequestIsWhatTheTemplatesMake(t *testing.T) {
	t.Parallel()
	type seen struct{ Method, URI, Body, Auth, Custom, Accept, Type string }
	var got seen
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.RequestURI, string(body), r.Header.Get("Authorization"), r.Header.Get("X-Custom"), r.Header.Get("Accept"), r.Header.Get("Content-Type")}
		_, _ = io.WriteString(w, "answer")
	}))
	defer server.Close()
	env := lent(canary)
	env.Secrets[providers.ObjectRef{Name: "webhook-auth", Key: "with.dot"}] = []byte("dotted & raw")
	session := open(t, &stores.Webhook{
		Method: "POST",
		URL:    server.URL + `/v1/{{ .remoteRef.key }}?v={{ .remoteRef.version }}&p={{ .remoteRef.property }}&n={{ .remoteRef.namespace }}&s={{ index .auth "with.dot" | urlquery }}`,
		Headers: map[string]string{"authorization": "Bearer {{ .auth.token }}", "X-Custom": "{{ .remoteRef.key | upper }}", "Accept": "text/plain",
			"Content-Type": "application/json"},
		Body:    `{"key":{{ .remoteRef.key | toJson }},"version":"{{ .remoteRef.version }}","secret":{{ index .auth "with.dot" | toJson }}}`,
		Secrets: []stores.WebhookSecret{{Name: "auth", SecretRef: stores.SecretKeySelector{Name: "webhook-auth", Key: "token"}}},
	}, env)
	doc := fetchOne(t, session, providers.Ref{Key: "a b/c?d&e", Version: "v 1", Property: "p=q"})
	want := seen{
		"POST", "/v1/a+b%2Fc%3Fd%26e?v=v+1&p=p%3Dq&n=team-a&s=dotted+%26+raw", `{"key":"a b/c?d\u0026e","version":"v 1","secret":"dotted \u0026 raw"}`,
		"Bearer " + canary, "A B/C?D&E", "text/plain", "application/json",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if v := value(t, doc, "p=q"); v != "answer" {
		t.Errorf("value %q", v)
	}
}

// TestKeysArriveAsTheOperatorSendsThem: each address, header and body is what External Secrets Operator 2.9 sent to the same server.
func TestKeysArriveAsTheOperatorSendsThem(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, strings.Join([]string{r.RequestURI, r.Header.Get("X-Key"), string(body)}, " | "))
	}))
	defer server.Close()
	session := open(t, &stores.Webhook{
		Method:  "POST",
		URL:     server.URL + "/{{ .remoteRef.key }}?p={{ .remoteRef.property }}&v={{ .remoteRef.version }}&n={{ .remoteRef.namespace }}",
		Headers: map[string]string{"X-Key": "{{ .remoteRef.key }}"}, Body: "{{ .remoteRef.key | toJson }}",
	}, lent("t"))
	for key, want := range map[string]string{
		"app/db":  `/app%2Fdb?p=p%2Fq&v=v+1&n=team-a | app/db | "app/db"`,
		"a b":     `/a+b?p=p%2Fq&v=v+1&n=team-a | a b | "a b"`,
		"ü":       `/%C3%BC?p=p%2Fq&v=v+1&n=team-a | ü | "ü"`,
		"a?b&c=d": `/a%3Fb%26c%3Dd?p=p%2Fq&v=v+1&n=team-a | a?b&c=d | "a?b\u0026c=d"`,
		"a%2Fb":   `/a%252Fb?p=p%2Fq&v=v+1&n=team-a | a%2Fb | "a%2Fb"`,
		"a+b":     `/a%2Bb?p=p%2Fq&v=v+1&n=team-a | a+b | "a+b"`,
		"a#b":     `/a%23b?p=p%2Fq&v=v+1&n=team-a | a#b | "a#b"`,
		`a"b`:     `/a%22b?p=p%2Fq&v=v+1&n=team-a | a"b | "a\"b"`,
		".":       `/.?p=p%2Fq&v=v+1&n=team-a | . | "."`,
	} {
		if got := value(t, fetchOne(t, session, providers.Ref{Key: key, Version: "v 1", Property: "p/q"}), "p/q"); got != want {
			t.Errorf("key %s\narrives as %s\nwant       %s", key, got, want)
		}
	}
}

// TestNobodyClimbsOutOfTheFolderThatTheURLNames: many servers and proxies resolve .. after they have decoded the slashes, and answer
// with the documents of another namespace. External Secrets Operator asks for them.
func TestNobodyClimbsOutOfTheFolderThatTheURLNames(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path+"?"+r.URL.RawQuery)
	}))
	defer server.Close()
	for url, refs := range map[string][]providers.Ref{
		"/{{ .remoteRef.namespace }}/{{ .remoteRef.key }}": {
			{Key: ".."}, {Key: "../team-b/password"}, {Key: "a/../../team-b"}, {Key: "a/.."}, {Key: `..\team-b\password`},
		},
		"/api/../{{ .remoteRef.namespace }}/{{ .remoteRef.key }}{{ .remoteRef.property }}": {{Key: "..", Property: "/team-b"}, {Key: ".", Property: "."}},
		"/{{ .remoteRef.namespace }}/{{ .remoteRef.key }}/{{ .remoteRef.version }}/{{ .remoteRef.property }}": {
			{Key: "..", Version: "team-b"}, {Key: "k", Version: "../../team-b"}, {Key: "k", Property: "../../../team-b"},
		},
	} {
		session := open(t, &stores.Webhook{URL: server.URL + url}, lent("t"))
		for _, ref := range refs {
			results, err := session.Fetch(t.Context(), []providers.Ref{ref})
			if err != nil || !errors.Is(results[0].Err, providers.ErrInvalid) || !strings.Contains(errText(results[0].Err), "url makes a path with ..") {
				t.Errorf("%+v is asked for at %s: %v, %v", ref, url, err, results[0].Err)
			}
		}
	}
	for _, tc := range []struct{ url, key, want string }{ // in the query, and of the url's own
		{"/doc?key={{ .remoteRef.key }}", "../x", "/doc?key=..%2Fx"},
		{"/{{ .remoteRef.key }}", "..x/a..", "/..x/a..?"},
		{"/a/../b{{ if .remoteRef.version }}/..{{ end }}", "k", "/a/../b?"},
		{`/a/../{{ .remoteRef.key | replace "%2F" "" | trimAll "." }}`, "../x", "/a/../x?"},
	} {
		session := open(t, &stores.Webhook{URL: server.URL + tc.url}, lent("t"))
		if got := value(t, fetchOne(t, session, providers.Ref{Key: tc.key}), ""); got != tc.want {
			t.Errorf("%s of %s arrives at %s", tc.key, tc.url, got)
		}
	}
}

func TestWhetherTheRequestDependsOnThePropertyIsKnown(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*stores.Webhook)
		want   bool
	}{
		"only the key":        {func(*stores.Webhook) {}, false},
		"the path alone":      {func(w *stores.Webhook) { w.Result.JSONPath = "$.{{ .remoteRef.property }}" }, false},
		"the url":             {func(w *stores.Webhook) { w.URL += "?p={{ .remoteRef.property }}" }, true},
		"the body":            {func(w *stores.Webhook) { w.Body = "{{ with .remoteRef }}{{ .property }}{{ end }}" }, true},
		"a header":            {func(w *stores.Webhook) { w.Headers["X"] = "{{ . | toJson }}" }, true},
		"nothing that is one": {func(w *stores.Webhook) { w.Body = "{{ .auth.property }} .remoteRef.property" }, false},
	} {
		spec := keyed("http://127.0.0.1:1")
		tc.change(spec)
		selective, ok := providers.As[providers.Selective](open(t, spec, lent("t")))
		if !ok || selective.Selective() != tc.want {
			t.Errorf("%s: want %v", name, tc.want)
		}
	}
}

func TestTheNamespaceIsAskedForOnlyWhenATemplateReadsIt(t *testing.T) {
	t.Parallel()
	env := lent("t")
	env.User = ""
	open(t, keyed("http://127.0.0.1:1"), env)
	env.User = "team-a"
	spec := keyed("http://127.0.0.1:1")
	spec.Result.JSONPath = "$['{{ .remoteRef.namespace }}']"
	env.User = ""
	if _, err := (webhook.Provider{}).Open(t.Context(), config(spec), env); !strings.Contains(errText(err), "no namespace uses the store") {
		t.Errorf("got %v", err)
	}
}
