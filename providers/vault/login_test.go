package vault_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/providers/vault"
	"github.com/sealbridge/sealbridge/test/harness/controlplane"
	harness "github.com/sealbridge/sealbridge/test/harness/vault"
)

// cluster is a Vault that a real cluster's service accounts log in to, at a mount of its own.
type cluster struct {
	server    *harness.Server
	cp        *controlplane.ControlPlane
	namespace string
	mount     string
}

func newCluster(t *testing.T) cluster {
	t.Helper()
	cp := controlplane.New(t)
	c := cluster{server: harness.New(t), cp: cp, namespace: cp.Namespace(t)}
	c.mount = c.server.KV(t, 2)
	reviewer, err := cp.TokenReviewer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.server.EnableKubernetes(t.Context(), c.mount, harness.Cluster{Host: cp.URL(), CA: cp.CA(), ReviewerToken: reviewer}); err != nil {
		t.Fatal(err)
	}
	reader(t, c.server, c.mount)
	if err := c.server.KubernetesRole(t.Context(), c.mount, "app", harness.KubernetesRole{
		ServiceAccounts: []string{"app"}, Namespaces: []string{c.namespace}, Audience: "vault", Policies: []string{c.mount}, TTL: 20 * time.Minute,
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

// env mints tokens of the cluster as the session pool does.
func (c cluster) env(t *testing.T) *providertest.Env {
	t.Helper()
	return &providertest.Env{Token: func(ctx context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
		token, err := c.cp.ServiceAccountToken(ctx, ref.Namespace, ref.Name, audiences...)
		return providers.Token{Value: providers.NewValue([]byte(token)), Expires: time.Now().Add(time.Hour)}, err
	}}
}

func (c cluster) store(role, account string, audiences ...string) *stores.Vault {
	return &stores.Vault{Server: c.server.Address(), Path: c.mount, Auth: &stores.VaultAuth{Kubernetes: &stores.VaultKubernetesAuth{
		Path: c.mount, Role: role,
		ServiceAccountRef: &stores.ServiceAccountSelector{Namespace: c.namespace, Name: account, Audiences: audiences},
	}}}
}

func TestAServiceAccountLogsIn(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	if _, err := c.server.Put(t.Context(), c.mount, "app", map[string]any{"k": canary}); err != nil {
		t.Fatal(err)
	}
	session := open(t, c.store("app", "app", "vault"), c.env(t))
	if got := value(t, fetchOne(t, session, providers.Ref{Key: "app"}), "k"); got != canary {
		t.Error("the value was not read")
	}
	mustCheck(t, session, "")
	e, _ := providers.As[providers.Expirer](session)
	if left := time.Until(e.Expires()); left > 20*time.Minute || left < 19*time.Minute {
		t.Errorf("the login ends in %s, want that of the Vault token, not of the ServiceAccount's", left)
	}
	mustFail(t, fetchOne(t, session, providers.Ref{Key: "nope"}), "SecretStore team-a/vault: vault has nothing at "+c.mount+"/data/nope")
}

func TestATokenFromASecretLogsIn(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	if _, err := c.server.Put(t.Context(), c.mount, "app", map[string]any{"k": canary}); err != nil {
		t.Fatal(err)
	}
	jwt, err := c.cp.ServiceAccountToken(t.Context(), c.namespace, "app", "vault")
	if err != nil {
		t.Fatal(err)
	}
	spec := c.store("app", "app")
	spec.Auth.Kubernetes.ServiceAccountRef, spec.Auth.Kubernetes.SecretRef = nil, &stores.SecretKeySelector{Name: "jwt"}
	env := &providertest.Env{}
	env.SetSecret(providers.ObjectRef{Name: "jwt", Key: "token"}, []byte(jwt))
	if got := value(t, fetchOne(t, open(t, spec, env), providers.Ref{Key: "app"}), "k"); got != canary {
		t.Error("the value was not read")
	}
}

func TestARefusedServiceAccountIsToldWhatToCheck(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	for name, tc := range map[string]struct {
		spec  *stores.Vault
		class error
		want  string
	}{
		"another account":  {c.store("app", "stranger", "vault"), providers.ErrDenied, `vault role "app" at auth/` + c.mount + " refuses ServiceAccount " + c.namespace + "/stranger; check the role's bound_service_account_names"},
		"another audience": {c.store("app", "app", "elsewhere"), providers.ErrDenied, "audience"},
		"no such role":     {c.store("nope", "app", "vault"), providers.ErrInvalid, `vault has no role "nope" at auth/` + c.mount + "; create it or correct auth.kubernetes.role"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := vault.Provider{}.Open(t.Context(), config(tc.spec), c.env(t))
			if !errors.Is(err, tc.class) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := vault.Provider{}.Open(t.Context(), config(c.store("app", "app")), &providertest.Env{})
	if want := "SecretStore team-a/vault: auth.kubernetes.serviceAccountRef: ServiceAccount app does not exist"; errText(err) != want || !errors.Is(err, providers.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestAKubernetesRoleWithoutAClusterIsDenied(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	gone := c.mount + "-gone"
	reviewer, err := c.cp.TokenReviewer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.server.EnableKubernetes(t.Context(), gone, harness.Cluster{Host: "https://127.0.0.1:1", CA: c.cp.CA(), ReviewerToken: reviewer}); err != nil {
		t.Fatal(err)
	}
	if err := c.server.KubernetesRole(t.Context(), gone, "app", harness.KubernetesRole{ServiceAccounts: []string{"*"}, Namespaces: []string{c.namespace}, TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	spec := c.store("app", "app")
	spec.Auth.Kubernetes.Path = gone
	_, err = vault.Provider{}.Open(t.Context(), config(spec), c.env(t))
	if !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "reviewer may create tokenreviews") {
		t.Errorf("got %v", err)
	}
}

// What is not configured is as Vault has it without configuration.
func TestALoginIsWhereVaultHasItsMethodWithoutAnyOtherPlace(t *testing.T) {
	t.Parallel()
	sel := stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key}
	for want, auth := range map[string]*stores.VaultAuth{
		`/v1/auth/approle/login {"role_id":"r","secret_id":"` + canary + `"}`: {AppRole: &stores.VaultAppRole{RoleID: "r", SecretRef: sel}},
		`/v1/auth/kubernetes/login {"jwt":"` + canary + `","role":"r"}`:       {Kubernetes: &stores.VaultKubernetesAuth{Role: "r", SecretRef: &sel}},
		`/v1/auth/userpass/login/u {"password":"` + canary + `"}`:             {UserPass: &stores.VaultUserAuth{Username: "u", SecretRef: &sel}},
		`/v1/auth/jwt/login {"jwt":"` + canary + `"}`:                         {JWT: &stores.VaultJWTAuth{SecretRef: &sel}},
		`/v1/auth/jwt/login {"jwt":"` + canary + `","role":"r"}`:              {JWT: &stores.VaultJWTAuth{Role: " r ", SecretRef: &sel}},
	} {
		var asked string
		cfg, env := serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if asked == "" {
				asked = r.URL.Path + " " + string(body)
			}
			answer(w, http.StatusOK, `{"auth":{"client_token":"hvb.x","token_type":"batch"}}`)
		})
		cfg.Spec.(*stores.Vault).Auth = auth
		open(t, cfg.Spec.(*stores.Vault), env)
		if asked != want {
			t.Errorf("got %s\nwant %s", asked, want)
		}
	}
}

func TestACredentialThatIsMissingIsNamedByItsField(t *testing.T) {
	t.Parallel()
	there, none := stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key}, stores.SecretKeySelector{Name: "none", Key: "k"}
	for field, auth := range map[string]*stores.VaultAuth{
		"auth.tokenSecretRef":       {TokenSecretRef: &none},
		"auth.appRole.roleRef":      {AppRole: &stores.VaultAppRole{RoleRef: &none, SecretRef: there}},
		"auth.appRole.secretRef":    {AppRole: &stores.VaultAppRole{RoleID: "r", SecretRef: none}},
		"auth.kubernetes.secretRef": {Kubernetes: &stores.VaultKubernetesAuth{Role: "r", SecretRef: &none}},
		"auth.ldap.secretRef":       {LDAP: &stores.VaultUserAuth{Username: "u", SecretRef: &none}},
		"auth.userPass.secretRef":   {UserPass: &stores.VaultUserAuth{Username: "u", SecretRef: &none}},
		"auth.jwt.secretRef":        {JWT: &stores.VaultJWTAuth{SecretRef: &none}},
		"auth.jwt.kubernetesServiceAccountToken.serviceAccountRef": {JWT: &stores.VaultJWTAuth{KubernetesServiceAccountToken: &stores.VaultServiceAccountToken{
			ServiceAccountRef: stores.ServiceAccountSelector{Name: "none"},
		}}},
	} {
		cfg, env := serve(t, func(http.ResponseWriter, *http.Request) { t.Errorf("%s: vault is asked without it", field) })
		cfg.Spec.(*stores.Vault).Auth = auth
		refusedLogin(t, cfg.Spec.(*stores.Vault), env, providers.ErrUnavailable, "SecretStore team-a/vault: "+field+": ")
	}
}

func TestRightsOnTheMountAreWhatVaultItselfSays(t *testing.T) {
	t.Parallel()
	const mount = `{"data":{"type":"kv","options":{"version":"2"}}}`
	for name, tc := range map[string]struct {
		path   string
		status int
		body   string
		opens  bool
	}{
		"it has some": {"kv", 200, mount, true}, "no path": {"", 200, mount, false}, "another status": {"kv", 202, mount, false},
		"no data": {"kv", 200, `{"errors":[]}`, false}, "a page": {"kv", 200, "<html>", false}, "an error": {"kv", 502, mount, false},
	} {
		cfg, env := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/lookup-self") {
				answer(w, http.StatusForbidden, `{"errors":["permission denied"]}`)
				return
			}
			answer(w, tc.status, tc.body)
		})
		spec := cfg.Spec.(*stores.Vault)
		spec.Path = tc.path
		session, err := vault.Provider{}.Open(t.Context(), cfg, env)
		if (err == nil) != tc.opens || err != nil && !errors.Is(err, providers.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			closeNow(t, session)
		}
	}
}

// TestALoginThatGetsNoAnswerIsNoRefusal: the credentials are not at fault when the server, or what stands in between, is.
func TestALoginThatGetsNoAnswerIsNoRefusal(t *testing.T) {
	t.Parallel()
	credential := stores.SecretKeySelector{Name: tokenRef().Name, Key: tokenRef().Key}
	methods := map[string]*stores.VaultAuth{
		"a token":          {TokenSecretRef: &credential},
		"an AppRole":       {AppRole: &stores.VaultAppRole{RoleID: "r", SecretRef: credential}},
		"a ServiceAccount": {Kubernetes: &stores.VaultKubernetesAuth{Role: "r", SecretRef: &credential}},
		"a user":           {UserPass: &stores.VaultUserAuth{Username: "u", SecretRef: &credential}},
		"a JWT":            {JWT: &stores.VaultJWTAuth{SecretRef: &credential}},
	}
	type wrong struct {
		status     int
		body, wait string
		class      error // nil for one that throttles
	}
	for name, tc := range map[string]wrong{
		"nothing":             {200, "", "", providers.ErrUnavailable},
		"half of an answer":   {200, `{"auth":{"client_token":"` + canary, "", providers.ErrUnavailable},
		"what is not UTF-8":   {200, "{\"auth\":{\"client_token\":\"\xff" + canary + "\"}}", "", providers.ErrUnavailable},
		"5 MiB":               {200, `{"auth":{"client_token":"` + strings.Repeat(canary, 5<<20/len(canary)) + `"}}`, "", providers.ErrInvalid},
		"a page":              {404, "<html>" + canary, "", providers.ErrUnavailable},
		"an error":            {500, canary, "", providers.ErrUnavailable},
		"a proxy's":           {503, "<html>" + canary, "", providers.ErrUnavailable},
		"when to ask again":   {429, canary, "7", nil},
		"too many, no time":   {429, canary, "", nil},
		"another status":      {202, `{"data":{"expire_time":null},"auth":{"client_token":"hvs.x"}}`, "", providers.ErrUnavailable},
		"a refusal of others": {403, "<html>" + canary, "", providers.ErrUnavailable},
	} {
		for method, auth := range methods {
			t.Run(name+" to "+method, func(t *testing.T) {
				t.Parallel()
				cfg, env := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					if tc.wait != "" {
						w.Header().Set("Retry-After", tc.wait)
					}
					answer(w, tc.status, tc.body)
				})
				cfg.Spec.(*stores.Vault).Auth = auth
				session, err := vault.Provider{}.Open(t.Context(), cfg, env)
				if err == nil {
					closeNow(t, session)
					t.Fatal("it is taken for a login")
				}
				var throttled *providers.ThrottledError
				if errors.As(err, &throttled) != (tc.class == nil) || tc.class != nil && !errors.Is(err, tc.class) {
					t.Errorf("got %v, want class %v", err, tc.class)
				}
				if throttled != nil && (throttled.After == 7*time.Second) != (tc.wait != "") {
					t.Errorf("it asks to wait %s", throttled.After)
				}
				if strings.Contains(err.Error(), canary) {
					t.Error("the error shows what was answered")
				}
			})
		}
	}
}
