package azure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
	"github.com/sealbridge/sealbridge/providers/providertest"
)

func TestAnAnswerOfAVaultHasTheClassOfWhatItSays(t *testing.T) {
	t.Parallel()
	r := refusals{store: "the store", vault: "https://v.vault.azure.net"}
	secret, version := object{kindSecret, "a", ""}, object{kindSecret, "a", "1"}
	for _, tc := range []struct {
		answer answer
		of     object
		class  error
		says   string
		right  bool // whether it is a right that is missing
	}{
		{answer{status: 403, code: "Forbidden"}, secret, providers.ErrDenied, "refuses to read secret \"a\": the identity needs secrets/get", true},
		{answer{status: 403, code: "Forbidden"}, object{kind: kindList}, providers.ErrDenied, "refuses to list secrets: the identity needs secrets/list", true},
		{answer{status: 403, code: "Forbidden", inner: "ForbiddenByRbac"}, object{kindKey, "a", ""}, providers.ErrDenied, "the identity needs keys/get", true},
		{answer{status: 403, code: "Forbidden", inner: "ForbiddenByFirewall"}, secret, providers.ErrDenied, "network rules of https://v.vault.azure.net", false},
		{answer{status: 403, code: "Forbidden", inner: "ForbiddenByConnection"}, secret, providers.ErrDenied, "network rules", false},
		{answer{status: 403, code: "Forbidden", inner: "SecretDisabled"}, version, providers.ErrInvalid, `version "1" of secret "a" is disabled; enable it`, false},
		{answer{status: 403, code: "Forbidden", inner: "CertificateExpired"}, object{kindCertificate, "a", ""}, providers.ErrInvalid, `certificate "a" has expired`, false},
		{answer{status: 403, code: "Forbidden", inner: "KeyNotYetValid"}, object{kindKey, "a", ""}, providers.ErrInvalid, `key "a" is not valid yet`, false},
		{answer{status: 403}, secret, providers.ErrUnavailable, "the answer (status 403) is not one of key vault's", false},
		{answer{status: 401, code: "Unauthorized"}, secret, providers.ErrDenied, "does not accept the token", false},
		{answer{status: 404, code: "SecretNotFound"}, secret, providers.ErrNotFound, `has no secret "a"`, false},
		{answer{status: 404, code: "CertificateNotFound"}, object{kindCertificate, "a", "1"}, providers.ErrNotFound, `has no version "1" of certificate "a"`, false},
		{answer{status: 404, code: "KeyNotFound"}, object{kindKey, "a", ""}, providers.ErrNotFound, `has no key "a"`, false},
		{answer{status: 404, code: "VaultNotFound"}, version, providers.ErrUnavailable, "the answer (status 404) is not one of key vault's", false},
		{answer{status: 409, code: "SecretNotFound"}, version, providers.ErrUnavailable, "the answer (status 409)", false},
		{answer{status: 400, code: "BadParameter"}, secret, providers.ErrInvalid, "cannot read secret \"a\" (status 400)", false},
		{answer{status: 500, code: "InternalError"}, secret, providers.ErrUnavailable, "key vault answered 500", false},
		{answer{status: 499, code: "x"}, secret, providers.ErrUnavailable, "the answer (status 499)", false},
	} {
		if err := r.judge(tc.answer, tc.of); !errors.Is(err, tc.class) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%+v: %v", tc.answer, err)
		}
		if tc.answer.lacksRight() != tc.right {
			t.Errorf("%+v: a right is missing: %v", tc.answer, !tc.right)
		}
	}
	var throttled *providers.ThrottledError
	if err := r.judge(answer{status: 429, after: 7 * time.Second}, secret); !errors.As(err, &throttled) || throttled.After != 7*time.Second {
		t.Error(err)
	}
}

func TestAVaultThatDoesNotSayWhichTokensItTakesHasItsReason(t *testing.T) {
	t.Parallel()
	r := refusals{store: "the store", vault: "https://v.vault.azure.net"}
	answered := func(status int, body string) error {
		return &azcore.ResponseError{StatusCode: status, RawResponse: &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}}
	}
	for name, tc := range map[string]struct {
		err   error
		class error
		says  string
	}{
		"no challenge":       {answered(401, `{"error":{"code":"Unauthorized"}}`), providers.ErrUnavailable, "the answer (status 401) is not one of key vault's"},
		"a firewall":         {answered(403, `{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByFirewall"}}}`), providers.ErrDenied, "network rules"},
		"a page":             {answered(403, "<html>"), providers.ErrUnavailable, "the answer (status 403)"},
		"an error":           {answered(503, ""), providers.ErrUnavailable, "key vault answered 503"},
		"too much":           {fmt.Errorf("x: %w", jsonhttp.ErrTooLarge), providers.ErrInvalid, "larger than 4 MiB"},
		"another host":       {errForeign, providers.ErrUnavailable, "is not one of key vault's"},
		"what is no text":    {errGarbled, providers.ErrUnavailable, "is not one of key vault's"},
		"another audience":   {errOtherAudience, providers.ErrDenied, "another audience"},
		"nobody waits":       {context.Canceled, providers.ErrUnavailable, "cannot reach https://v.vault.azure.net: it did not answer in time"},
		"it takes too long":  {context.DeadlineExceeded, providers.ErrUnavailable, "did not answer in time"},
		"a domain of others": {errors.New("challenge resource does not match"), providers.ErrInvalid, "vaultUrl: the vault asks for tokens of another domain"},
		"an answer":          {nil, providers.ErrUnavailable, "the answer (status 200) is not one of key vault's"},
	} {
		if err := r.closed(tc.err); !errors.Is(err, tc.class) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatEntraIDSaysMostIsExplained(t *testing.T) {
	t.Parallel()
	for number, want := range map[int]string{
		90002: "no such tenant", 900021: "no such tenant", 900023: "no such tenant", 500011: "does not know the vault's audience", 700016: "no application with this client id",
		7000215: "the client secret is wrong", 7000222: "the client secret has expired", 7000112: "the application is disabled", 700027: "is not registered",
		70021: "no federated credential", 700211: "no federated credential", 700212: "no federated credential", 700213: "no federated credential",
		50146: "does not accept the assertion", 700024: "does not accept the assertion", 50027: "does not accept the assertion", 1: "",
	} {
		class := providers.ErrDenied
		if strings.Contains(want, "tenant") || strings.Contains(want, "audience") {
			class = providers.ErrInvalid
		}
		if cure, got := judgeLogin(oauthError{Numbers: []int{2, number}}); number != 1 && (!errors.Is(got, class) || !strings.Contains(cure, want) || !strings.HasSuffix(cure, fmt.Sprintf(" (AADSTS%d)", number))) {
			t.Errorf("%d: %s, %v", number, cure, got)
		}
	}
	if cure, class := judgeLogin(oauthError{Numbers: []int{2, 1}}); cure != "AADSTS2" || !errors.Is(class, providers.ErrDenied) {
		t.Errorf("one that is not known: %s, %v", cure, class)
	}
	if cure, class := judgeLogin(oauthError{}); cure != "check the credentials of the store" || !errors.Is(class, providers.ErrDenied) {
		t.Errorf("none: %s, %v", cure, class)
	}
}

func TestNamesAndVersionsHaveAsManyCharactersAsAreAllowed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		key, version string
		good         bool
	}{
		{strings.Repeat("a", 127), "", true}, {strings.Repeat("a", 128), "", false}, {"azAZ09-", "azAZ09", true}, {"cert/z", "Z", true},
		{"a", strings.Repeat("1", 127), true}, {"a", strings.Repeat("1", 128), false}, {"a", "1-2", false}, {"a", "1/2", false}, {"cert/a", "1/2", false},
		{"a[", "", false}, {"a{", "", false}, {"a@", "", false}, {"a:", "", false},
	} {
		if o, ok := objectOf(tc.key, tc.version); ok != tc.good {
			t.Errorf("%q, %q: %v", tc.key, tc.version, o)
		}
	}
}

func TestWhatAServiceAccountLacksToStandForAnIdentityIsNamed(t *testing.T) {
	t.Parallel()
	none, there := &stores.SecretKeySelector{Name: "none", Key: "k"}, &stores.SecretKeySelector{Name: "azure", Key: "id"}
	bound := map[string]string{annotationClient: "c", annotationTenant: "t"}
	for want, tc := range map[string]struct {
		annotations map[string]string
		refs        *stores.AzureAuthSecretRef
	}{
		"the store: serviceAccountRef: ServiceAccount app does not exist":        {bound, nil},
		"the store: serviceAccountRef: ServiceAccount app: its client id is not": {nil, nil},
		"the store: authSecretRef.clientId: Secret none":                         {bound, &stores.AzureAuthSecretRef{ClientID: none}},
		"the store: authSecretRef.tenantId: Secret none":                         {nil, &stores.AzureAuthSecretRef{ClientID: there, TenantID: none}},
	} {
		env := &providertest.Env{
			Accounts: map[providers.AccountRef]map[string]string{{Name: "app"}: tc.annotations},
			Secrets:  map[providers.ObjectRef][]byte{{Name: "azure", Key: "id"}: []byte("id")},
		}
		l := login{store: "the store", creds: credential.Reader{Store: "the store", Env: env}, spec: &stores.AzureKV{
			AuthType: stores.AzureWorkloadIdentity, ServiceAccountRef: &stores.ServiceAccountSelector{Name: "app"}, AuthSecretRef: tc.refs,
		}}
		if _, err := l.federated(t.Context(), ""); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestAChallengeIsTakenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	const authority, resource = "https://login.microsoftonline.com/t", "https://vault.azure.net"
	for challenge, good := range map[string]bool{
		`Bearer authorization="` + authority + `", resource="` + resource + `"`:                  true,
		`bearer AUTHORIZATION=` + authority + ` scope=` + resource:                               true,
		`Basic authorization="` + authority + `", resource="` + resource + `"`:                   false,
		`Bearer authorization="` + authority + `"`:                                               false,
		`Bearer resource="` + resource + `"`:                                                     false,
		`Bearer authorization="https://login.microsoftonline.com/", resource="` + resource + `"`: false,
		`Bearer authorization="/t", resource="` + resource + `"`:                                 false,
		`Bearer authorization="https://a/%zz", resource="` + resource + `"`:                      false,
		`Bearer authorization="` + authority + `=x", resource="` + resource + `"`:                false,
		`Bearer authorization="` + authority + `", resource="http://vault.azure.net"`:            false,
		`Bearer authorization="` + authority + `", resource="https:///x"`:                        false,
		`Bearer authorization="` + authority + `", resource="https://x/%zz"`:                     false,
		`Bearer authorization="` + authority + `", resource="` + resource + `/a=b"`:              false,
	} {
		if a, r, ok := parseChallenge(challenge); ok != good || good && (a != authority || r != resource) || !good && a+r != "" {
			t.Errorf("%s: %q, %q, %v", challenge, a, r, ok)
		}
	}
}
