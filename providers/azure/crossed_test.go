package azure

import (
	"strings"
	"testing"
)

func TestAnIdentifierIsOfOneObjectOfOneVault(t *testing.T) {
	t.Parallel()
	const host = "team.vault.azure.net"
	secret, pinned := object{kindSecret, "db", ""}, object{kindSecret, "db", "a1"}
	for id, tc := range map[string]struct {
		host  string
		asked object
		want  bool
	}{
		"https://team.vault.azure.net/secrets/db/a1":     {host, pinned, true},
		"https://team.vault.azure.net:443/secrets/db/a1": {host, pinned, true},
		"https://TEAM.vault.azure.net/Secrets/DB/A1":     {host, pinned, true},
		"https://team.vault.azure.net/secrets/db/b2":     {host, secret, true},
		"https://kv.internal/secrets/db/b3":              {host, secret, true}, // what stands before it may have a name of its own
		"https://localhost:8443/secrets/db/b4":           {"localhost:8444", secret, true},
		"https://10.0.0.2/secrets/db/b5":                 {"11.0.0.2", secret, true},
		"https://x/certificates/db/1":                    {host, object{kindCertificate, "db", "1"}, true},
		"https://x/keys/db/1":                            {host, object{kindKey, "db", "1"}, true},
		// What is no identifier of an object in a version contradicts nothing.
		"": {host, pinned, true}, "db": {host, pinned, true}, "https://x/secrets/other": {host, pinned, true},
		"https://x/secrets/other/a1/more": {host, pinned, true}, "https://x/secrets/the%20value/a1": {host, pinned, true}, ":": {host, pinned, true},
		"https://x/secrets/db/" + strings.Repeat("1", 128): {host, secret, true},

		"https://team.vault.azure.net/secrets/other/a1":   {host, pinned, false},
		"https://team.vault.azure.net/secrets/db/b6":      {host, pinned, false},
		"https://team.vault.azure.net/secrets/db/":        {host, pinned, false},
		"https://team.vault.azure.net/keys/db/a1":         {host, secret, false},
		"https://team.vault.azure.net/certificates/db/a1": {host, secret, false},
		"https://others.vault.azure.net/secrets/db/a1":    {host, secret, false},
	} {
		if got := identifierOf(&id); got.of(tc.host, tc.asked) != tc.want {
			t.Errorf("%q, %+v, for %+v at %s: %v", id, got, tc.asked, tc.host, !tc.want)
		}
	}
	if !identifierOf[string](nil).of(host, pinned) {
		t.Error("no identifier contradicts what was asked for")
	}
}
