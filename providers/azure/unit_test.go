package azure

import (
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

func TestAnIdentityIsSaidOnce(t *testing.T) {
	t.Parallel()
	annotated := func(client, tenant string) map[string]string {
		out := map[string]string{}
		if client != "" {
			out[annotationClient] = client
		}
		if tenant != "" {
			out[annotationTenant] = tenant
		}
		return out
	}
	for name, tc := range map[string]struct {
		binding
		// want is client and tenant, or a part of the error.
		want string
	}{
		"by annotations":                           {binding{annotations: annotated("c", "t")}, "c t"},
		"the store's tenant":                       {binding{annotations: annotated("c", ""), tenant: "s"}, "c s"},
		"the Secret's tenant before the store's":   {binding{secretClient: "x", secretTenant: "y", tenant: "s"}, "x y"},
		"the Secret's client and another's":        {binding{secretClient: "x", annotations: annotated("", "t")}, "x t"},
		"the controller's tenant":                  {binding{annotations: annotated("c", ""), podTenant: "p"}, "c p"},
		"the controller's tenant comes last":       {binding{annotations: annotated("c", "t"), podTenant: "p"}, "c t"},
		"two clients":                              {binding{secretClient: "x", annotations: annotated("c", "t")}, "authSecretRef.clientId and in the annotation"},
		"two tenants":                              {binding{tenant: "s", annotations: annotated("c", "t")}, "tenant id is in the store and in the annotation"},
		"two tenants, one in a Secret":             {binding{secretClient: "x", secretTenant: "y", annotations: annotated("", "t")}, "tenant id is in the store and in the annotation"},
		"two tenants with the current SDK":         {binding{tenant: "s", annotations: annotated("c", "t"), current: true}, "c s"},
		"the annotation's with the current SDK":    {binding{annotations: annotated("c", "t"), current: true}, "c t"},
		"no client":                                {binding{tenant: "s"}, "client id is not known"},
		"no tenant":                                {binding{annotations: annotated("c", "")}, "tenant id is not known"},
		"a tenant that leads elsewhere":            {binding{annotations: annotated("c", "t/../x")}, "cannot be one"},
		"a client that is no text":                 {binding{annotations: annotated("c\n", "t")}, "not printable"},
		"an annotation without a value is missing": {binding{annotations: map[string]string{annotationClient: "", annotationTenant: "t"}}, "client id is not known"},
	} {
		f, err := tc.identity()
		got := f.client + " " + f.tenant
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != tc.want || err != nil && !strings.Contains(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

func TestTheControllersTokenIsShownToKnownAuthoritiesAlone(t *testing.T) {
	t.Parallel()
	for authority, want := range map[string]bool{
		"https://login.microsoftonline.com/": true, "https://LOGIN.microsoftonline.us": true, "https://login.chinacloudapi.cn": true, "https://login.own.example": true,
		"https://login.microsoftonline.com.evil.example": false, "http://login.microsoftonline.com": false, "https://evil.example/login.microsoftonline.com": false,
		"https://login.microsoftonline.com@evil.example": false, "https://login.microsoftonline.com:444": false, "": false,
	} {
		if got := trustsAuthority(authority, "https://login.own.example/"); got != want {
			t.Errorf("%s: %v", authority, got)
		}
	}
	if trustsAuthority("", "") || trustsAuthority("https://x.example", "") {
		t.Error("no authority in the environment is one that everybody has")
	}
}

func TestKeysOfAllKindsAreNames(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]object{
		"a": {kindSecret, "a", ""}, "secret/a": {kindSecret, "a", ""}, "cert/a-B-1": {kindCertificate, "a-B-1", ""}, "key/a/b/c": {kindKey, "a", ""},
	} {
		if got, ok := objectOf(key, ""); !ok || got != want {
			t.Errorf("%s: %+v", key, got)
		}
	}
	for _, key := range []string{"", "/", "/a", "a/b", "secret//a", "secret/", "a.b", "a b", "ä", "Secret/a", strings.Repeat("a", 128)} {
		if got, ok := objectOf(key, ""); ok {
			t.Errorf("%q is taken for %+v", key, got)
		}
	}
}

// said answers every request with one challenge.
type said string

func (s said) Do(req *http.Request) (*http.Response, error) {
	header := http.Header{headerChallenge: nil}
	header.Set(headerChallenge, string(s))
	tidyChallenge(header)
	return &http.Response{StatusCode: http.StatusUnauthorized, Header: header, Body: http.NoBody, Request: req}, nil
}

// FuzzAChallengeOfAVaultIsNoDanger: the SDK's parser indexes what it splits. Tokens are asked for a domain of the vault's alone.
func FuzzAChallengeOfAVaultIsNoDanger(f *testing.F) {
	for _, seed := range []string{
		`Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net"`, `Bearer authorization="x", resource="https://vault.azure.net"`,
		`Bearer authorization="https://a", scope="https://vault.azure.net/.default"`, `Bearer authorization="",resource="https://evil.example"`, "Bearer", "", `Bearer authorization=https://a/b resource=https://azure.net`,
		`Bearer error="insufficient_claims", claims="e30="`, `bearer authorization="https://a/b/c", resource="https://net/x y"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, challenge string) {
		token := &token{}
		client, err := azsecrets.NewClient("https://a.vault.azure.net", token, &azsecrets.ClientOptions{ClientOptions: policy.ClientOptions{
			Transport: said(challenge), Retry: policy.RetryOptions{MaxRetries: -1}, Telemetry: policy.TelemetryOptions{Disabled: true},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.GetSecret(t.Context(), "x", "", nil); err == nil {
			t.Error("a challenge is an answer")
		}
		scope := strings.TrimSuffix(strings.TrimPrefix(token.wanted(), "https://"), "/.default")
		domain, _, _ := strings.Cut(scope, "/")
		if token.wanted() != "" && !strings.HasSuffix(".a.vault.azure.net", "."+domain) {
			t.Errorf("%q makes us ask for a token for %q", challenge, token.wanted())
		}
	})
}
