package azurecloud_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
	"github.com/sealbridge/sealbridge/test/harness/goroutines"
)

// client is one that the environment of a cloud leads into it.
func client(t *testing.T, c *azurecloud.Cloud) (*http.Client, string) {
	t.Helper()
	env := map[string]string{}
	for _, variable := range c.Env() {
		name, value, _ := strings.Cut(variable, "=")
		env[name] = value
	}
	proxy, err := url.Parse(env["HTTPS_PROXY"])
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(env["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: pool}}}, filepath.Dir(env["SSL_CERT_FILE"])
}

func ask(t *testing.T, c *http.Client, method, address, token string, form url.Values) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode
}

func TestACloudThatIsStoppedLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	c, err := azurecloud.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	http, dir := client(t, c)
	if status := ask(t, http, "GET", c.Vault("a").URL()+"/secrets/x?api-version=7.6", "", nil); status != 401 {
		t.Errorf("a vault answers %d without a token", status)
	}
	for range 2 { // whoever ends it early has a cleanup that does so, too
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	}
	http.CloseIdleConnections()
	goroutines.None(t, before)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("its folder is left: %v", err)
	}
}

func TestNobodyGetsInWithoutProof(t *testing.T) {
	c, err := azurecloud.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Stop() }()
	http, _ := client(t, c)
	defer http.CloseIdleConnections()
	c.AddApp(azurecloud.App{Client: "app", Secrets: []string{"right"}})
	token := "https://" + azurecloud.Authority + "/" + azurecloud.Tenant + "/oauth2/v2.0/token"
	login := func(edit func(url.Values)) url.Values {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"right"}, "scope": {"https://vault.azure.net/.default openid"}}
		edit(form)
		return form
	}
	for name, tc := range map[string]struct {
		edit func(url.Values)
		want int
	}{
		"right":            {func(url.Values) {}, 200},
		"a wrong secret":   {func(f url.Values) { f.Set("client_secret", "wrong") }, 401},
		"no secret":        {func(f url.Values) { f.Del("client_secret") }, 401},
		"another client":   {func(f url.Values) { f.Set("client_id", "x") }, 400},
		"another audience": {func(f url.Values) { f.Set("scope", "https://storage.azure.com/.default") }, 400},
		"another cloud":    {func(f url.Values) { f.Set("scope", "https://vault.usgovcloudapi.net/.default") }, 400},
		"another grant":    {func(f url.Values) { f.Set("grant_type", "password") }, 400},
		"an unsigned promise": {func(f url.Values) {
			f.Del("client_secret")
			f.Set("client_assertion", "e30.e30.")
			f.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		}, 401},
	} {
		if status := ask(t, http, "POST", token, "", login(tc.edit)); status != tc.want {
			t.Errorf("%s: %d, want %d", name, status, tc.want)
		}
	}
	for _, guess := range []string{"x", "token-canary-7f3e91c4-2"} {
		if status := ask(t, http, "GET", c.Vault("a").URL()+"/secrets/x?api-version=7.6", guess, nil); status != 401 {
			t.Errorf("a vault takes the token %q: %d", guess, status)
		}
	}
	if status := ask(t, http, "GET", c.Vault("a").URL()+"/secrets/x?api-version=7.6", "token-canary-7f3e91c4-1", nil); status != 403 {
		t.Errorf("an identity without rights gets %d", status)
	}
}
