package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
)

func TestEightRequestsGoAtOnceAndNoMore(t *testing.T) {
	t.Parallel()
	const together, all = 8, 20
	crowd := providertest.NewCrowd(together)
	cfg, env := serving(func(w http.ResponseWriter, r *http.Request) {
		crowd.Join(r.Context())
		_, _ = io.WriteString(w, "{}")
	})(t)
	refs := make([]providers.Ref, all)
	for i := range refs {
		refs[i].Key = fmt.Sprint(i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := open(t, cfg.Spec.(*stores.Webhook), env).Fetch(ctx, refs); err != nil || crowd.Most() != together {
		t.Errorf("%d requests are under way at once, %v", crowd.Most(), err)
	}
}

func TestAnAnswerHasAsManyPartsAsMayBe(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{manyParts(249_997): "", manyParts(249_998): "has more than 250000 values; split it"} {
		spec := answering(t, body)
		spec.Result.JSONPath = "$.k[0]"
		results, err := open(t, spec, lent("t")).Fetch(t.Context(), []providers.Ref{{Key: "k"}})
		if err != nil || (results[0].Err == nil) != (want == "") || !strings.Contains(errText(results[0].Err), want) {
			t.Error(err, results[0].Err)
		}
	}
}

// What is about one key alone is the error of that key; what is about everybody is that of the store.
func TestAnAnswerIsAboutAKeyOrAboutTheAPI(t *testing.T) {
	t.Parallel()
	cfg, env := serving(func(w http.ResponseWriter, r *http.Request) {
		_, key, _ := strings.Cut(r.URL.Path, "/doc/")
		if key == "broken" {
			panic(http.ErrAbortHandler)
		}
		code, _ := strconv.Atoi(key)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "{}")
	})(t)
	session := open(t, cfg.Spec.(*stores.Webhook), env)
	for key, tc := range map[string]struct {
		class error
		whole bool
	}{
		"299": {nil, false}, "400": {providers.ErrInvalid, false}, "409": {providers.ErrInvalid, false}, "499": {providers.ErrInvalid, false},
		"408": {providers.ErrUnavailable, false}, "425": {providers.ErrUnavailable, false}, "500": {providers.ErrUnavailable, false}, "501": {providers.ErrUnavailable, false},
		"502": {providers.ErrUnavailable, true}, "503": {providers.ErrUnavailable, true}, "504": {providers.ErrUnavailable, true}, "broken": {providers.ErrUnavailable, true},
	} {
		results, err := session.Fetch(t.Context(), []providers.Ref{{Key: key}})
		if (err != nil) != tc.whole || err != nil && !errors.Is(err, tc.class) || err == nil && !errors.Is(results[0].Err, tc.class) {
			t.Errorf("%s alone: %v, %v", key, results, err)
		}
		results, err = session.Fetch(t.Context(), []providers.Ref{{Key: "200"}, {Key: key}})
		if err != nil || results[0].Err != nil || !errors.Is(results[1].Err, tc.class) || (results[1].Document == nil) != (tc.class != nil) {
			t.Errorf("%s among others: %v, %v", key, results, err)
		}
	}
}

func TestHeadersAreWhatAServerCanTake(t *testing.T) {
	t.Parallel()
	var accept, custom, login string
	cfg, env := serving(func(w http.ResponseWriter, r *http.Request) {
		accept, custom, login = r.Header.Get("Accept"), r.Header.Get("X-Custom"), r.Header.Get("Authorization")
		_, _ = io.WriteString(w, "{}")
	})(t)
	spec := cfg.Spec.(*stores.Webhook)
	for value, good := range map[string]bool{"a\tb": true, "ü": true, "a\x7f": false, "a\x1f": false, "a\x00": false} {
		spec.Headers["X-Custom"] = "{{ " + strconv.Quote(value) + " }}"
		results, err := open(t, spec, env).Fetch(t.Context(), []providers.Ref{{Key: "k"}})
		if err != nil || (results[0].Err == nil) != good || good && (accept != "*/*" || custom != value || login != "Bearer "+canary) {
			t.Errorf("%q: accepts %q, %q, %v, %v", value, accept, custom, err, results)
		}
	}
}

func TestOfSeveralHeadersThatCannotBeTheSameOneIsNamed(t *testing.T) {
	t.Parallel()
	spec := answering(t, "v")
	spec.Headers = map[string]string{}
	for _, name := range []string{"C", "B", "D", "A"} {
		spec.Headers[name] = "{{ \"a\\nb\" }}"
	}
	session := open(t, spec, lent("t"))
	for range 20 { // a map has another order each time
		results, err := session.Fetch(t.Context(), []providers.Ref{{Key: "k"}})
		if err != nil || !errors.Is(results[0].Err, providers.ErrInvalid) || !strings.Contains(results[0].Err.Error(), "headers.A has characters that a header cannot have") {
			t.Fatal(err, results)
		}
	}
}

func TestBytesComeThroughWithoutAPath(t *testing.T) {
	t.Parallel()
	const body = "\x00\xff\xfe not text \x80"
	if got := value(t, fetchOne(t, open(t, answering(t, body), lent("t")), providers.Ref{Key: "k"}), ""); got != body {
		t.Errorf("got %q", got)
	}
}

func TestTwoSecretsOfOneNameAreLentTogether(t *testing.T) {
	t.Parallel()
	var got string
	cfg, lender := serving(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, "{}")
	})(t)
	spec, env := cfg.Spec.(*stores.Webhook), lender.(*providertest.Env)
	env.SetSecret(providers.ObjectRef{Name: "more", Key: "user"}, []byte("me"))
	env.Labels[providers.ObjectRef{Name: "more"}] = map[string]string{"external-secrets.io/type": "webhook"}
	spec.Secrets = append(spec.Secrets, stores.WebhookSecret{Name: "auth", SecretRef: stores.SecretKeySelector{Name: "more"}})
	spec.Headers["Authorization"] = "{{ .auth.user }}:{{ .auth.token }}"
	if fetchOne(t, open(t, spec, env), providers.Ref{Key: "k"}); got != "me:"+canary {
		t.Errorf("the API sees %q", got)
	}
}
