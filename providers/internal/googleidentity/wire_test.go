package googleidentity

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/auth"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
	"github.com/sealbridge/sealbridge/providers/providertest"
)

func TestAWSGivesItsNodesCredentialsAtFewAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"http://169.254.169.254/latest/api/token": true, "http://[fd00:ec2::254]/latest/meta-data/": true,
		"https://169.254.169.254/latest/": false, "http://169.254.169.254:8080/latest/": false, "http://u@169.254.169.254/latest/": false,
		"http://169.254.169.254/computeMetadata/v1/": false, "http://169.254.169.254/": false, "http://100.100.100.200/latest/": false, "http://example.com/latest/": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if ofNode(u) != want {
			t.Errorf("%s is one of AWS's: %t", address, !want)
		}
	}
}

// A store that uses the identity which AWS gives to the node is let to AWS's addresses, and to no others of that kind.
func TestAStoreOfAWSsIdentityReachesNoOtherMetadata(t *testing.T) {
	t.Parallel()
	w := newWire()
	defer w.close()
	w.aws = true
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://100.100.100.200/latest/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	var refused *jsonhttp.UnreachableError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "metadata addresses are refused") || w.last.host != "100.100.100.200" {
		t.Errorf("%v of %q", err, w.last.host)
	}
}

// Who gives the controller its own identity may be anywhere, and is not named.
func TestWhatTheEnvironmentNamesIsAskedPlainly(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		if r.URL.Path == "/half" {
			w.Header().Set("Content-Length", "1000")
		}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "body")
	}))
	defer server.Close()
	w := newWire()
	defer w.close()
	w.trusted = true
	ask := func(address string) (string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := w.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}
	if body, err := ask(server.URL + "/whole"); err != nil || body != "body" || w.last.status != http.StatusTeapot || w.last.after != 7*time.Second {
		t.Errorf("%q, %v, %+v", body, err, w.last)
	}
	if body, err := ask(server.URL + "/half"); !errors.Is(err, errNode) {
		t.Errorf("an answer that breaks off: %q, %v", body, err)
	}
	server.Close()
	if body, err := ask(server.URL); !errors.Is(err, errNode) || !errors.Is(w.last.err, errNode) {
		t.Errorf("nobody is there: %q, %v", body, err)
	}
}

func TestACodeOfOAuthIsShownWhenItIsKnown(t *testing.T) {
	t.Parallel()
	for code := range strings.FieldsSeq("invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type invalid_scope invalid_target") {
		if got := oauthCode([]byte(`{"error":"` + code + `"}`)); got != " ("+code+")" {
			t.Errorf("%s is shown as %q", code, got)
		}
	}
	for _, body := range []string{"", "{}", `{"error":"x"}`, `{"error":{"status":"invalid_grant"}}`, `"invalid_grant"`, `{"error":"invalid_grant"`} {
		if got := oauthCode([]byte(body)); got != "" {
			t.Errorf("%s is shown as %q", body, got)
		}
	}
}

func TestARefusedLoginSaysByWhom(t *testing.T) {
	t.Parallel()
	l := New(credential.Reader{Store: "SecretStore a/b", Env: &providertest.Env{}}, "auth")
	defer l.Close()
	for says, tc := range map[string]struct {
		last  answered
		class error
	}{
		"no access token: the server that gives":                           {answered{err: errNode}, providers.ErrUnavailable},
		"oauth2.googleapis.com answered 500 without":                       {answered{host: "oauth2.googleapis.com", status: 500}, providers.ErrUnavailable},
		"oauth2.googleapis.com answered 302 without":                       {answered{host: "oauth2.googleapis.com", status: 302}, providers.ErrUnavailable},
		"iamcredentials.googleapis.com answered 503 without":               {answered{host: "iamcredentials.googleapis.com", status: 503}, providers.ErrUnavailable},
		"who does not exist; correct its name":                             {answered{host: "iamcredentials.googleapis.com", status: 404}, providers.ErrDenied},
		"act as who: grant it roles/iam.workloadIdentityUser":              {answered{host: "iamcredentials.googleapis.com", status: 403}, providers.ErrDenied},
		"Security Token Service refuses the identity of the store (x)":     {answered{host: "sts.googleapis.com", status: 400, code: " (x)"}, providers.ErrDenied},
		"oauth2.googleapis.com refuses the credentials of who (x)":         {answered{host: "oauth2.googleapis.com", status: 400, code: " (x)"}, providers.ErrDenied},
		"oauth2.googleapis.com refuses the credentials of who: they are r": {answered{host: "oauth2.googleapis.com", status: 404}, providers.ErrDenied},
	} {
		if err := l.refused(tc.last, "who"); !errors.Is(err, tc.class) || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
	var throttled *providers.ThrottledError
	if err := l.refused(answered{host: "iamcredentials.googleapis.com", status: 429, after: 7 * time.Second}, "who"); !errors.As(err, &throttled) || throttled.After != 7*time.Second {
		t.Errorf("it asks to be left alone: %v", err)
	}
}

// gives is who gives one token, or none.
type gives struct {
	token *auth.Token
	err   error
}

func (g gives) Token(context.Context) (*auth.Token, error) { return g.token, g.err }

func TestATokenIsOneOrNone(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	unasked := providers.Errorf(providers.ErrInvalid, "nobody was asked")
	for name, tc := range map[string]struct {
		ctx  context.Context
		from gives
		last answered
		says string
	}{
		"a token":              {t.Context(), gives{token: &auth.Token{Value: "x", Expiry: time.Unix(1, 0)}}, answered{status: 200}, ""},
		"a token that is late": {ended, gives{token: &auth.Token{Value: "x", Expiry: time.Unix(1, 0)}}, answered{status: 200}, ""},
		"no token":             {t.Context(), gives{}, answered{status: 200}, "not an access token of Google's"},
		"no text":              {t.Context(), gives{token: &auth.Token{Value: "x\n"}}, answered{status: 200}, "not an access token of Google's"},
		"out of time":          {ended, gives{err: errNode}, answered{err: errNode}, "did not give an access token in time"},
		"not asked":            {t.Context(), gives{err: errNode}, answered{}, "nobody was asked"},
		"not answered":         {t.Context(), gives{err: errNode}, answered{err: errNode}, "no access token: the server"},
	} {
		l := New(credential.Reader{Store: "SecretStore a/b", Env: &providertest.Env{}}, "auth")
		l.wire.last = tc.last
		id, err := l.obtain(tc.ctx, tc.from, "who", unasked)
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) || err == nil && (id.Token != "x" || id.Who != "who" || !id.Expires.Equal(time.Unix(1, 0))) {
			t.Errorf("%s: %v", name, err)
		}
		l.Close()
	}
}
