package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheFlagsOfATransitKeyMakeOneOrSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := []string{"--transit-address=https://vault:8200", "--transit-key=a/transit/k", "--transit-role=r"}
	for address, noted := range map[string]bool{
		"https://vault:8200": false, "http://127.0.0.1:8200": false, "http://[::1]:8200": false, "http://localhost:8200": false, "http://vault.vault:8200": true,
	} {
		if o := (TransitOptions{Address: address}); (o.note() != "") != noted {
			t.Errorf("%s: %q", address, o.note())
		}
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"none":                           {nil, ""},
		"all":                            {good, ""},
		"no address":                     {good[1:], "--transit-address"},
		"no key":                         {[]string{good[0], good[2]}, "--transit-key"},
		"a key without a mount":          {append([]string{"--transit-key=k"}, good[0], good[2]), "--transit-key"},
		"a mount without a key":          {append([]string{"--transit-key=/"}, good[0], good[2]), "--transit-key"},
		"no role":                        {good[:2], "--transit-role"},
		"an authority that is not there": {append([]string{"--transit-ca-file=/none"}, good...), "--transit-ca-file"},
		"an authority that is none":      {append([]string{"--transit-ca-file=" + ca}, good...), "authority"},
		"the API server's token":         {append([]string{"--transit-token-file=/var/run/secrets/kubernetes.io/serviceaccount/token"}, good...), "that token is for the API server"},
	} {
		o, err := parse(t, nil, test.args...)
		if err != nil {
			t.Fatal(err)
		}
		c, err := o.Transit.client()
		switch {
		case test.want == "" && (err != nil || (c != nil) != (name == "all") || c != nil && c.Name() != "a/transit/k"):
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "canary")):
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhileAnObjectWaitsForVaultOthersHaveAWorker(t *testing.T) {
	t.Parallel()
	for concurrent, want := range map[int]int{1: 2, 2: 2, 10: 10} {
		if got := (&TransitOptions{Address: "https://vault:8200"}).workers(concurrent); got != want {
			t.Errorf("--concurrent=%d with Vault: %d workers", concurrent, got)
		}
		if got := (&TransitOptions{}).workers(concurrent); got != concurrent {
			t.Errorf("--concurrent=%d without Vault: %d workers", concurrent, got)
		}
	}
}
