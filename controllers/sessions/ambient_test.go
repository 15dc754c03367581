package sessions

import (
	"errors"
	"testing"

	"github.com/sealbridge/sealbridge/providers"
)

func TestWhichStoresMayUseTheControllersOwnIdentity(t *testing.T) {
	t.Parallel()
	none, own := (*providers.Ambient)(nil), &providers.Ambient{Field: "auth", Instead: "set auth.secretRef"}
	const tenant = "SecretStore a/s: spec.provider.backend.auth leaves the identity to the controller, and no SecretStore may use the controller's own " +
		"(--secret-store-ambient-credentials=false): set auth.secretRef"
	const platform = "ClusterSecretStore/s: spec.provider.backend.auth leaves the identity to the controller, and no ClusterSecretStore may use the controller's own " +
		"(--cluster-secret-store-ambient-credentials=false): set auth.secretRef"
	for name, tc := range map[string]struct {
		refused   NoAmbient
		namespace string
		own       *providers.Ambient
		want      string
	}{
		"nobody is refused, SecretStore":              {NoAmbient{}, "a", own, ""},
		"nobody is refused, ClusterSecretStore":       {NoAmbient{}, "", own, ""},
		"tenants are refused, SecretStore":            {NoAmbient{SecretStores: true}, "a", own, tenant + ", or have an administrator make a ClusterSecretStore"},
		"tenants are refused, ClusterSecretStore":     {NoAmbient{SecretStores: true}, "", own, ""},
		"tenants are refused, who name an identity":   {NoAmbient{SecretStores: true}, "a", none, ""},
		"all are refused, SecretStore":                {NoAmbient{SecretStores: true, ClusterSecretStores: true}, "a", own, tenant},
		"all are refused, ClusterSecretStore":         {NoAmbient{SecretStores: true, ClusterSecretStores: true}, "", own, platform},
		"all are refused, who name an identity":       {NoAmbient{SecretStores: true, ClusterSecretStores: true}, "", none, ""},
		"the platform is refused, SecretStore":        {NoAmbient{ClusterSecretStores: true}, "a", own, ""},
		"the platform is refused, ClusterSecretStore": {NoAmbient{ClusterSecretStores: true}, "", own, platform},
	} {
		s := storeOf(&backend{}, tc.namespace, "s", 1)
		err := tc.refused.refusal(s, tc.own)
		switch {
		case tc.want == "" && err == nil:
		case tc.want == "" || err == nil || err.Error() != tc.want:
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		case !errors.Is(err, ErrAmbient) || !errors.Is(err, providers.ErrInvalid):
			t.Errorf("%s: the error is of another class", name)
		}
	}
}

// TestNothingIsAskedAsTheControllerForAStoreThatMayNot looks at each way to a backend.
func TestNothingIsAskedAsTheControllerForAStoreThatMayNot(t *testing.T) {
	t.Parallel()
	c := cluster()
	own := &providers.Ambient{Field: "auth", Instead: "set auth.secretRef"}
	for name, b := range map[string]*backend{"said by the configuration": {ambient: own}, "found when it is opened": {found: own}} {
		p := New(Deps{Reader: c, Tokens: c, NoAmbient: NoAmbient{SecretStores: true}, Limits: Limits{Pause: 1}})
		tenant, platform := storeOf(b, "a", name, 1), storeOf(b, "", name, 1)
		_, fetched := p.Fetch(t.Context(), request(tenant, "a", "k"))
		_, found := p.Find(t.Context(), Finding{Store: tenant, Namespace: "a"})
		_, checked := p.Check(t.Context(), tenant, 0)
		for what, err := range map[string]error{"Fetch": fetched, "Find": found, "Check": checked} {
			if !errors.Is(err, ErrAmbient) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		if opens := b.opens.Load(); b.ambient != nil && opens > 0 {
			t.Errorf("%s: the provider was asked to open a session %d times", name, opens)
		}
		if err := p.Refused(tenant); errors.Is(err, ErrAmbient) != (b.ambient != nil) {
			t.Errorf("%s: before anybody asks: %v", name, err)
		}
		if got := mustFetch(t, p, request(platform, "a", "k")); got[0] != "none/k" {
			t.Errorf("%s: a ClusterSecretStore reads %q", name, got)
		}
		p.close()
	}
}
