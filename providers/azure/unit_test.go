package azure

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

func TestALoginThatFailsHasTheClassOfItsCause(t *testing.T) {
	t.Parallel()
	l := login{store: "the store", spec: &stores.AzureKV{}}
	for name, tc := range map[string]struct {
		err   error
		class error
		says  string
	}{
		"no platform":                      {l.unmanaged(&recorder{}), providers.ErrUnavailable, "which only Azure has"},
		"a platform that breaks off":       {l.unmanaged(&recorder{status: 400, err: errors.New("reset")}), providers.ErrUnavailable, "which only Azure has"},
		"a platform without this identity": {l.unmanaged(&recorder{status: 400}), providers.ErrDenied, "identityId"},
		"a platform that knows nobody":     {l.unmanaged(&recorder{status: 401}), providers.ErrDenied, "identityId"},
		"a platform that refuses":          {l.unmanaged(&recorder{status: 403}), providers.ErrDenied, "identityId"},
		"a platform that fails":            {l.unmanaged(&recorder{status: 500}), providers.ErrUnavailable, "500 Internal Server Error"},
		"a platform that redirects":        {l.unmanaged(&recorder{status: 302}), providers.ErrUnavailable, "302 Found"},
		"entra id says nothing":            {l.refused(&recorder{}), providers.ErrUnavailable, "did not answer in time"},
		"entra id is slow":                 {l.refused(&recorder{err: context.DeadlineExceeded}), providers.ErrUnavailable, "did not answer in time"},
		"nobody waits for entra id":        {l.refused(&recorder{err: context.Canceled}), providers.ErrUnavailable, "did not answer in time"},
		"what no tenant can be":            {l.usable(errors.New("canary")), providers.ErrInvalid, "not one that Entra ID can have"},
	} {
		if !errors.Is(tc.err, tc.class) || !strings.Contains(tc.err.Error(), tc.says) || !strings.Contains(tc.err.Error(), "the store") || strings.Contains(tc.err.Error(), "canary") {
			t.Errorf("%s: %v", name, tc.err)
		}
	}
	for name, err := range map[string]error{"the platform": l.unmanaged(&recorder{status: 429, after: 7 * time.Second}), "entra id": l.refused(&recorder{status: 429, after: 7 * time.Second})} {
		var throttled *providers.ThrottledError
		if !errors.As(err, &throttled) || throttled.After != 7*time.Second {
			t.Errorf("%s throttles: %v", name, err)
		}
	}
	if err := l.usable(nil); err != nil {
		t.Error(err)
	}
}

// A tag whose value is null is an empty one, as External Secrets Operator reads it.
func TestATagWithoutAValueIsEmpty(t *testing.T) {
	t.Parallel()
	json := `{"a":"b"}`
	m := newMetadata("it", "k", object{kind: kindSecret, name: "n"}, map[string]*string{"none": nil, "json": &json}, attributes{})
	for property, want := range map[string]string{"none": "", "none.part": "", "json.a": "b", "json": json, "json.": json, "": `{"json":"{\"a\":\"b\"}"}`} {
		if got, err := m.Value(property); err != nil || string(got.Bytes()) != want {
			t.Errorf("%q is %q, %v", property, got.Bytes(), err)
		}
	}
	for _, property := range []string{"nothing", "nothing.part", "json.c", ".part"} {
		if _, err := m.Value(property); !errors.Is(err, providers.ErrPropertyNotFound) {
			t.Errorf("%q: %v", property, err)
		}
	}
}

func TestOfAPartOfATagAndATagOfItsNameTheTagIsExtracted(t *testing.T) {
	t.Parallel()
	json, plain := `{"b":"part"}`, "tag"
	m := newMetadata("it", "k", object{kind: kindSecret, name: "n"}, map[string]*string{"a": &json, "a_b": &plain}, attributes{})
	for range 50 { // a map has another order each time
		if got, err := m.Fields(""); err != nil || len(got) != 1 || string(got["n_a_b"].Bytes()) != plain {
			t.Fatalf("%d fields, %q, %v", len(got), got["n_a_b"].Bytes(), err)
		}
	}
}

func TestWhatAStoreSaysIsCheckedBeforeAnybodyIsAsked(t *testing.T) {
	t.Parallel()
	const vault = "https://a.vault.azure.net"
	sel := &stores.SecretKeySelector{Name: "s", Key: "k"}
	full := &stores.AzureAuthSecretRef{ClientID: sel, ClientSecret: sel}
	for name, tc := range map[string]struct {
		spec stores.AzureKV
		want string
	}{
		"a secret":                        {stores.AzureKV{VaultURL: vault, TenantID: "AZaz09.-", AuthSecretRef: full}, ""},
		"no tenant":                       {stores.AzureKV{VaultURL: vault, AuthSecretRef: full}, "tenantId"},
		"a tenant with a sign":            {stores.AzureKV{VaultURL: vault, TenantID: "a[", AuthSecretRef: full}, "tenantId"},
		"a secret and a certificate":      {stores.AzureKV{VaultURL: vault, TenantID: "t", AuthSecretRef: &stores.AzureAuthSecretRef{ClientID: sel, ClientSecret: sel, ClientCertificate: sel}}, "authSecretRef"},
		"neither":                         {stores.AzureKV{VaultURL: vault, TenantID: "t", AuthSecretRef: &stores.AzureAuthSecretRef{ClientID: sel}}, "authSecretRef.clientSecret"},
		"a certificate without key":       {stores.AzureKV{VaultURL: vault, TenantID: "t", AuthSecretRef: &stores.AzureAuthSecretRef{ClientID: sel, ClientCertificate: &stores.SecretKeySelector{Name: "s"}}}, "authSecretRef.clientCertificate.key"},
		"no client":                       {stores.AzureKV{VaultURL: vault, TenantID: "t", AuthSecretRef: &stores.AzureAuthSecretRef{ClientSecret: sel}}, "authSecretRef.clientId"},
		"an account without client":       {stores.AzureKV{VaultURL: vault, AuthType: stores.AzureWorkloadIdentity, ServiceAccountRef: &stores.ServiceAccountSelector{Name: "a"}, AuthSecretRef: &stores.AzureAuthSecretRef{}}, "authSecretRef.clientId"},
		"one of the current SDK":          {stores.AzureKV{VaultURL: vault, AuthType: stores.AzureWorkloadIdentity, ServiceAccountRef: &stores.ServiceAccountSelector{Name: "a"}, AuthSecretRef: &stores.AzureAuthSecretRef{}, UseAzureSDK: new(true)}, ""},
		"an account without a name":       {stores.AzureKV{VaultURL: vault, AuthType: stores.AzureWorkloadIdentity, ServiceAccountRef: &stores.ServiceAccountSelector{}}, "serviceAccountRef.name"},
		"an unknown cloud":                {stores.AzureKV{VaultURL: vault, TenantID: "t", AuthSecretRef: full, EnvironmentType: "Mars"}, "environmentType"},
		"an identity that cannot be sent": {stores.AzureKV{VaultURL: vault, AuthType: stores.AzureManagedIdentity, IdentityID: "a\nb"}, "identityId"},
		"an identity":                     {stores.AzureKV{VaultURL: vault, AuthType: stores.AzureManagedIdentity, IdentityID: "a"}, ""},
	} {
		problems := Provider{}.Validate(providers.Config{Spec: &tc.spec})
		if tc.want == "" && len(problems) > 0 || tc.want != "" && (len(problems) != 1 || problems[0].Field != tc.want) {
			t.Errorf("%s: %v, want %q", name, problems, tc.want)
		}
	}
}

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

// A store could name a host that shows the token to somebody else.
func TestTheControllersTokenIsShownToFewAuthorities(t *testing.T) {
	t.Parallel()
	const ofPod = "https://login.example.com/"
	for authority, want := range map[string]bool{
		"https://login.microsoftonline.com": true, "https://login.microsoftonline.us/": true, "https://LOGIN.chinacloudapi.cn/": true, ofPod: true, "https://login.example.com": true,
		"": false, "https://": false, "http://login.microsoftonline.com/": false, "http://login.example.com/": false, "https://login.microsoftonline.com.example.com/": false,
		"https://login.microsoftonline.com:8443/": false, "https://login.microsoftonline.com@example.com/": false, "https://[login.example.com/": false,
	} {
		if trustsAuthority(authority, ofPod) != want {
			t.Errorf("%q is trusted: %t", authority, !want)
		}
	}
	for _, nothing := range []string{"", "https://", "http://login.example.com/", "https://[login.example.com/"} { // what the environment may hold
		for _, authority := range []string{"", "https://", ofPod, nothing} {
			if trustsAuthority(authority, nothing) {
				t.Errorf("%q is trusted because of %q", authority, nothing)
			}
		}
	}
}
