package credential_test

import (
	"testing"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// problem returns the field of the one problem that was found, "" when there is none.
func problem(t *testing.T, c credential.Checks) string {
	t.Helper()
	switch len(c.Problems) {
	case 0:
		return ""
	case 1:
		return c.Problems[0].Field
	default:
		t.Errorf("%v", c.Problems)
		return c.Problems[0].Field
	}
}

func TestASelectorNamesASecretAndItsKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		sel   *stores.SecretKeySelector
		usual bool
		field string
	}{
		{&stores.SecretKeySelector{Name: "x", Key: "k"}, false, ""},
		{&stores.SecretKeySelector{Name: "x"}, true, ""},
		{&stores.SecretKeySelector{Name: "x"}, false, "f.key"},
		{&stores.SecretKeySelector{Key: "k"}, true, "f.name"},
		{nil, true, "f"},
	} {
		var c credential.Checks
		if c.Selector("f", tc.sel, tc.usual); problem(t, c) != tc.field {
			t.Errorf("%+v: %v", tc.sel, c.Problems)
		}
	}
}

func TestABundleOfAnObjectNamesTheObjectAndItsKey(t *testing.T) {
	t.Parallel()
	for field, from := range map[string]*stores.CAProvider{
		"":                       {Type: stores.CAProviderSecret, Name: "x", Key: "k"},
		"server.caProvider.type": {Type: "File", Name: "x", Key: "k"},
		"server.caProvider.name": {Type: stores.CAProviderConfigMap, Key: "k"},
		"server.caProvider.key":  {Type: stores.CAProviderConfigMap, Name: "x"},
	} {
		var c credential.Checks
		if c.Bundle("server.", nil, from); problem(t, c) != field {
			t.Errorf("%+v: %v", from, c.Problems)
		}
	}
	var c credential.Checks
	if c.Bundle("", []byte("x"), &stores.CAProvider{}); problem(t, c) != "caBundle" {
		t.Errorf("caBundle comes first: %v", c.Problems)
	}
}

func TestAnAddressIsASchemeAHostAndAPath(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://a": "https://a", "http://a:1/b/": "http://a:1/b", "https://a//": "https://a", "https://a/b%2Fc/": "https://a/b/c", "https://[::1]:1": "https://[::1]:1",
		"": "", "a": "", "a:1": "", "https://": "", "https://:1": "", "https://[::1": "", "ftp://a": "", "https://u@a": "", "https://u:p@a": "", "https://a?": "", "https://a?b": "", "https://a#b": "",
	} {
		var c credential.Checks
		u := c.Address("f", address)
		if (u == nil) != (want == "") || (problem(t, c) == "") != (want != "") || u != nil && u.String() != want {
			t.Errorf("%q: %v, %v", address, u, c.Problems)
		}
	}
}
