package externalsecrets_test

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/azurecloud"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
)

// certificateOfAzure is one that the key vault of the cases holds; nobody has its key.
const certificateOfAzure = "MIIDDzCCAfegAwIBAgIUKbFtqJdUEfEVtIu88xXXzGV7I1IwDQYJKoZIhvcNAQELBQAwFjEUMBIGA1UEAwwLY29uZm9ybWFuY2UwIBcNMjYxMTI2MTY0ODM3WhgPMjEyNjExMDIxNjQ4MzdaMBYxFDASBgNVBAMMC2NvbmZvcm1hbmNlMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyO9imKdF96Hszg1SKToPAdx6KGJN7lDXSJC+adqTvg26rDP3ezUlkpYvEhMnuhM0thqs8ppJOYTeB0yGFXupN0fZLxy6AntufB6iWWaltHeVWJ32yVU/yJkFePWFb3tyiGuBqDeSDAKS6cAgxaVnH260IQK86I++I5qBUgSmeyZIeI3ZQvodUKwN+JSjASSDzJkN5MeF4CxA2NvOrfgfWai3BxjIHfdbwrW+lIXdYMTAk8zUe5VXFgMMACQ+A+aizMZ8FpRMZoO9gkNqRCN9lEFRbFpb/B0bEN5P6mdGvlNS82Kewn6aYnToGybHJNHhNfxdK1k7iVHbhTCFtJUq5wIDAQABo1MwUTAdBgNVHQ4EFgQUqcQUSLGOD10zV0IWb1g+cX6RxiQwHwYDVR0jBBgwFoAUqcQUSLGOD10zV0IWb1g+cX6RxiQwDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEAMYWD5XUCvXRyQWYp+mBvdDRWrNIBGXN0+DrifRNOqyFDWax1ggzKylfbMbXfdqh6n+GRew1og3KJzLUMniyP4TyqHFy+rCY/hRetH0KZHTQ2Nc42L3r2hn2WkXMTl3KUH8qGq9vbrYBtSCaNLpzAVXfiJNNKqdSF07Sk7KOIFdjXS1kVuV3LHzji3CTMLc92+mDbko8HqBOvti4DUWHKgzgGO3FPFBsciOAB8yEXKsBt9lEL0D1IQYMWwv2n83bNpA2wSE/HYHjp7N2mUMTFJo4GaCRy4NJwBJ4/X6k0v0h3RRVnt3RnuCWfKbCAjW2arYVUwL56f6J/RxtRBD3a/g=="

// newAzure starts the Azure of the cases: a key vault that is the same each time, an application with a client secret, and one for
// which a ServiceAccount of the case azurekv stands.
func newAzure(t *testing.T, cp *controlplane.ControlPlane) *azurecloud.Cloud {
	t.Helper()
	cloud, err := azurecloud.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Stop(); err != nil {
			t.Error(err)
		}
	})
	cloud.AddApp(azurecloud.App{Client: "app-with-secret", Secrets: []string{"s3cret"}})
	cloud.AddApp(azurecloud.App{Client: "app-of-account", Federated: []azurecloud.Federated{{
		Issuer: controlplane.Issuer, Subject: "system:serviceaccount:azurekv:reader", Audience: "api://AzureADTokenExchange",
		Keys: cp.TokenKeys,
	}}})
	fill(t, cloud.Vault("conformance"))
	return cloud
}

func fill(t *testing.T, v *azurecloud.Vault) {
	t.Helper()
	for _, client := range []string{"app-with-secret", "app-of-account"} {
		v.Grant(client, azurecloud.GetSecrets, azurecloud.ListSecrets, azurecloud.GetCertificates, azurecloud.GetKeys)
	}
	at := func(day int) time.Time { return time.Date(2026, 1, day, 2, 3, 4, 0, time.UTC) }
	set := func(name, value string, edit func(*azurecloud.Object)) {
		o := azurecloud.Object{Value: value, Created: at(1), Updated: at(2)}
		if edit != nil {
			edit(&o)
		}
		v.SetSecret(name, o)
	}
	tags := func(tags map[string]string) func(*azurecloud.Object) {
		return func(o *azurecloud.Object) { o.Tags = tags }
	}
	set("plain", "old", nil)
	set("plain", "new", nil)
	set("doc", `{"a":{"b":"path","c":1.50},"a.b":"field","c.d":"dotted","list":[{"n":"x","v":1},{"n":"y","v":2}],"nil":null,"t":true,"long":12345678901234567890}`, nil)
	set("tagged", "x", func(o *azurecloud.Object) {
		o.Tags = map[string]string{"env": "prod", "json": `{"a":"1","b.c":"2"}`, "mixed": `{"a":1}`, "dotted.tag": "d", "nothing": "null", "html": "<&>"}
		o.NotBefore, o.Expires = at(3), at(4).AddDate(50, 0, 0)
	})
	set("bare", "x", nil)
	set("off", "x", func(o *azurecloud.Object) { o.Disabled = true })
	set("expired", "still there", func(o *azurecloud.Object) { o.Expires = at(3) })
	set("array", "[1]", nil)
	for i := range 30 { // two pages
		set(fmt.Sprintf("found-%02d", i), fmt.Sprint(i), tags(map[string]string{"of": "search", "third": fmt.Sprint(i % 3)}))
	}
	set("found-off", "x", func(o *azurecloud.Object) { o.Disabled, o.Tags = true, map[string]string{"of": "search", "third": "0"} })
	der, err := base64.StdEncoding.DecodeString(certificateOfAzure)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := cert.PublicKey.(*rsa.PublicKey)
	v.SetCertificate("web", azurecloud.Object{DER: der, Created: at(1), Updated: at(2), Tags: map[string]string{"of": "cert"}})
	v.SetKey("web", azurecloud.Object{Key: key, Created: at(1), Updated: at(2), Tags: map[string]string{"of": "key"}})
}
