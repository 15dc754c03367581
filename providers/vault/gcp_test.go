package vault_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/providers/vault"
	google "github.com/sealbridge/sealbridge/test/harness/gcp"
	harness "github.com/sealbridge/sealbridge/test/harness/vault"
)

// googleVault is a Vault that identities of a Google project log in to, at a mount of its own: the service account app with the roles
// "app", which is for service accounts, and "machines".
type googleVault struct {
	server  *harness.Server
	google  *google.Cloud
	project string
	mount   string
	// verifier is the service account as which Vault asks who logs in, and app the one that logs in.
	verifier, app string
	verifierKey   []byte
	// keyed holds the key of app.
	keyed *providertest.Env
}

// lookups are what Vault has to be allowed.
func (g googleVault) lookups() map[string]string {
	return map[string]string{"iam.serviceAccounts.get": "projects/-/serviceAccounts/" + g.app, "compute.instances.get": "projects/" + g.project}
}

func newGoogleVault(t *testing.T) googleVault {
	t.Helper()
	g := googleVault{server: harness.New(t), google: google.New(t), project: google.Project()}
	g.mount = readable(t, g.server)
	g.verifier, g.app = "vault@"+g.project+".iam.gserviceaccount.com", "app@"+g.project+".iam.gserviceaccount.com"
	var key []byte
	var err error
	if g.verifierKey, err = g.google.Key(g.verifier); err == nil {
		key, err = g.google.Key(g.app)
	}
	if err != nil {
		t.Fatal(err)
	}
	g.keyed = &providertest.Env{}
	g.keyed.SetSecret(providers.ObjectRef{Name: "google", Key: "key.json"}, key)
	for permission, on := range g.lookups() {
		g.google.Grant("serviceAccount:"+g.verifier, on, permission)
	}
	enable(t, g.server, g.mount, "gcp")
	g.configure(t, nil)
	g.role(t, "app", map[string]any{"type": "iam", "bound_service_accounts": g.app})
	g.role(t, "machines", map[string]any{"type": "gce", "bound_projects": g.project})
	return g
}

// configure gives Vault its own credentials, and has it find Google's services elsewhere.
func (g googleVault) configure(t *testing.T, endpoints map[string]string) {
	t.Helper()
	all := map[string]string{"api": "", "iam": ""} // what is not named stays as it was
	maps.Copy(all, endpoints)
	write(t, g.server, "auth/"+g.mount+"/config", map[string]any{"credentials": string(g.verifierKey), "custom_endpoint": all})
}

func (g googleVault) role(t *testing.T, name string, fields map[string]any) {
	t.Helper()
	fields["token_policies"], fields["token_ttl"] = g.mount, "10m"
	write(t, g.server, "auth/"+g.mount+"/role/"+name, fields)
}

func (g googleVault) store(role string, auth stores.VaultGCPAuth) *stores.Vault {
	auth.Path, auth.Role = g.mount, role
	return &stores.Vault{Server: g.server.Address(), Path: g.mount, Auth: &stores.VaultAuth{GCP: &auth}}
}

// withKey is a store that logs in with the key of keyed.
func (g googleVault) withKey(role string) *stores.Vault {
	return g.store(role, stores.VaultGCPAuth{SecretRef: googleKey()})
}

func googleKey() *stores.GCPAuthSecretRef {
	return &stores.GCPAuthSecretRef{SecretAccessKey: &stores.SecretKeySelector{Name: "google", Key: "key.json"}}
}

func (g googleVault) reads(t *testing.T, spec *stores.Vault, env providers.Env) {
	t.Helper()
	session, err := vault.Provider{}.Open(t.Context(), config(spec), env)
	if err != nil {
		t.Errorf("it does not log in: %v", err)
		return
	}
	mustRead(t, session)
	e, _ := providers.As[providers.Expirer](session)
	if left := time.Until(e.Expires()); left > 10*time.Minute || left < 9*time.Minute {
		t.Errorf("the session ends in %s, vault's token in ten minutes", left)
	}
	closeNow(t, session)
	if r := fetchOne(t, session, providers.Ref{Key: "app"}); !errors.Is(r.Err, providers.ErrDenied) {
		t.Errorf("the token is good after the session was closed: %v", r.Err)
	}
}

// refuses logs in, which must fail as one of the class, with the text and without a token or a key.
func (g googleVault) refuses(t *testing.T, spec *stores.Vault, env providers.Env, class error, want string) {
	t.Helper()
	session, err := vault.Provider{}.Open(t.Context(), config(spec), env)
	if err == nil {
		closeNow(t, session)
		t.Errorf("it logs in; want %q", want)
		return
	}
	if !errors.Is(err, class) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
	for _, private := range []string{canary, "eyJ", "ya29.", "PRIVATE KEY"} {
		if strings.Contains(err.Error(), private) {
			t.Errorf("the error shows a token or a key (%s)", private)
		}
	}
}

func TestAKeyOfAGoogleServiceAccountLogsIn(t *testing.T) {
	t.Parallel()
	g := newGoogleVault(t)
	g.reads(t, g.withKey("app"), g.keyed)
	first := g.withKey("app")
	first.Auth.GCP.WorkloadIdentity = &stores.GCPWorkloadIdentity{ServiceAccountRef: stores.ServiceAccountSelector{Name: "nobody"}}
	first.Auth.GCP.ServiceAccountRef = &stores.ServiceAccountSelector{Name: "nobody"}
	g.reads(t, first, g.keyed) // of several the key, as with External Secrets Operator
	write(t, g.server, "auth/"+g.mount+"/role/bare", map[string]any{"type": "iam", "bound_service_accounts": g.app})
	mustFail(t, fetchOne(t, open(t, g.withKey("bare"), g.keyed), providers.Ref{Key: "app"}),
		"SecretStore team-a/vault: vault refuses to read "+g.mount+`/data/app: the policies of role "bare" must grant "read" on that path`)
}

func TestALoginByGCPThatVaultRefusesSaysWhatToCheck(t *testing.T) {
	t.Parallel()
	g := newGoogleVault(t)
	at, who := "auth/"+g.mount, "the service account "+g.app
	g.role(t, "others", map[string]any{"type": "iam", "bound_service_accounts": "other-" + g.app})
	g.role(t, "projects", map[string]any{"type": "iam", "bound_service_accounts": g.app, "bound_projects": "other"})
	g.role(t, "short", map[string]any{"type": "iam", "bound_service_accounts": g.app, "max_jwt_exp": "5m"})
	g.role(t, "far", map[string]any{"type": "iam", "bound_service_accounts": g.app, "token_bound_cidrs": "10.0.0.0/8"})
	elsewhere := g.withKey("app")
	elsewhere.Auth.GCP.Path = g.mount + "-nowhere"
	for name, tc := range map[string]struct {
		spec  *stores.Vault
		class error
		want  string
	}{
		"a service account that is not bound": {g.withKey("others"), providers.ErrDenied,
			`vault role "others" at ` + at + " refuses " + who + "; check the role's bound_service_accounts and bound_projects"},
		"a project that is not bound": {g.withKey("projects"), providers.ErrDenied, `vault role "projects" at ` + at + " refuses " + who},
		"a role that does not exist":  {g.withKey("nope"), providers.ErrInvalid, `vault has no role "nope" at ` + at + "; create it or correct auth.gcp.role"},
		"a role of machines":          {g.withKey("machines"), providers.ErrInvalid, `vault role "machines" at ` + at + " is for machines alone; create it with type=iam or correct auth.gcp.role"},
		"a role for shorter tokens":   {g.withKey("short"), providers.ErrDenied, "raise its max_jwt_exp to 10m"},
		"other addresses":             {g.withKey("far"), providers.ErrDenied, `role "far" is bound to other addresses; correct auth.gcp.path or the role's token_bound_cidrs`},
		"a mount that is none":        {elsewhere, providers.ErrDenied, "vault refuses the login of " + who + " at " + at + "-nowhere: nothing is mounted there"},
	} {
		t.Run(name, func(t *testing.T) {
			g.refuses(t, tc.spec, g.keyed, tc.class, tc.want)
		})
	}
	for text, want := range map[string]string{
		canary:                          "auth.gcp.secretRef.secretAccessKeySecretRef: key \"key.json\" of Secret google does not hold the JSON key of a Google service account",
		`{"type":"authorized_user"}`:    "does not hold the JSON key",
		brokenKey("-----BEGIN x"):       "holds a private key that cannot be read",
		brokenKey(pemOf("PRIVATE KEY")): "holds a private key that cannot be read",
	} {
		broken := &providertest.Env{}
		broken.SetSecret(providers.ObjectRef{Name: "google", Key: "key.json"}, []byte(text))
		g.refuses(t, g.withKey("app"), broken, providers.ErrInvalid, want)
	}
	g.refuses(t, g.withKey("app"), &providertest.Env{}, providers.ErrUnavailable, "auth.gcp.secretRef.secretAccessKeySecretRef: ")
	g.google.DeleteKeys(g.app)
	g.refuses(t, g.withKey("app"), g.keyed, providers.ErrDenied, "google does not know the key with which the token of "+who+" is signed")
}

// pemOf returns a block that holds no key.
func pemOf(kind string) string {
	return "-----BEGIN " + kind + "-----\n" + base64.StdEncoding.EncodeToString([]byte(canary)) + "\n-----END " + kind + "-----\n"
}

// brokenKey is the key of a service account whose private key is none.
func brokenKey(private string) string {
	raw, _ := json.Marshal(map[string]string{"type": "service_account", "client_email": "a@p.iam.gserviceaccount.com", "private_key": private + canary})
	return string(raw)
}

// What Google answers when Vault asks who logs in is Vault's to see: each of its rights that is missing is named.
func TestWhatVaultMayNotAskGoogleIsNamed(t *testing.T) {
	t.Parallel()
	g := newGoogleVault(t)
	spec, at := g.withKey("app"), "auth/"+g.mount+"/config"
	answers := func(status int) map[string]string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, status, `{"error":{"message":"`+canary+`"}}`) }))
		t.Cleanup(server.Close)
		return map[string]string{"iam": server.URL}
	}
	g.google.Revoke("serviceAccount:"+g.verifier, g.lookups()["iam.serviceAccounts.get"], "iam.serviceAccounts.get")
	g.refuses(t, spec, g.keyed, providers.ErrDenied, "google does not let vault look up who logs in: grant iam.serviceAccounts.get (roles/iam.serviceAccountViewer) to the service account of the credentials in "+at)
	g.google.Grant("serviceAccount:"+g.verifier, g.lookups()["iam.serviceAccounts.get"], "iam.serviceAccounts.get")
	for _, endpoints := range []map[string]string{{"api": "http://127.0.0.1:1"}, {"iam": "http://127.0.0.1:1"}, answers(http.StatusBadGateway)} {
		g.configure(t, endpoints)
		g.refuses(t, spec, g.keyed, providers.ErrUnavailable, "vault does not learn from Google who logs in at auth/"+g.mount+"; let it reach Google, or check custom_endpoint in "+at)
	}
	g.configure(t, answers(http.StatusNotFound))
	g.refuses(t, spec, g.keyed, providers.ErrDenied, "google does not know the service account "+g.app+" any more")
	g.configure(t, answers(http.StatusTooManyRequests))
	_, err := vault.Provider{}.Open(t.Context(), config(spec), g.keyed)
	if throttled := new(providers.ThrottledError); !errors.As(err, &throttled) || strings.Contains(err.Error(), canary) {
		t.Errorf("a Google that asks to be left alone: %v", err)
	}
	g.configure(t, nil)
	g.reads(t, spec, g.keyed)
	g.google.DeleteKeys(g.verifier)
	g.configure(t, nil) // forgets the access token
	g.refuses(t, spec, g.keyed, providers.ErrDenied, "google does not accept vault's own credentials; renew those in "+at)
}

// gke is a cluster of GKE whose ServiceAccount "app" is bound as the annotation says.
type gke struct {
	env      *providertest.Env
	identity *stores.GCPWorkloadIdentity
	// principal is the ServiceAccount.
	principal string
}

func newGKE(t *testing.T, project, annotation string) gke {
	t.Helper()
	const issuer = "https://container.googleapis.com/v1/projects/c/locations/europe-west3/clusters/main"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pool := project + ".svc.id.goog"
	audience := "identitynamespace:" + pool + ":https://container.googleapis.com/v1/projects/" + project + "/locations/europe-west3/clusters/main"
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}}
	google.New(t).Trust(audience, google.Issuer{URL: issuer, Keys: keys, Audience: pool})
	annotations := map[string]string{}
	if annotation != "" {
		annotations["iam.gke.io/gcp-service-account"] = annotation
	}
	return gke{
		principal: google.Principal(audience, "system:serviceaccount:team-a:app"),
		identity: &stores.GCPWorkloadIdentity{
			ServiceAccountRef: stores.ServiceAccountSelector{Name: "app"}, ClusterProjectID: project, ClusterLocation: "europe-west3", ClusterName: "main",
		},
		env: &providertest.Env{
			Accounts: map[providers.AccountRef]map[string]string{{Name: "app"}: annotations},
			Token: func(_ context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
				expires := time.Now().Add(time.Hour)
				raw, err := jwt.Signed(signer).Claims(jwt.Claims{
					Issuer: issuer, Subject: "system:serviceaccount:team-a:" + ref.Name, Audience: audiences, Expiry: jwt.NewNumericDate(expires),
				}).Serialize()
				return providers.Token{Value: providers.NewValue([]byte(raw)), Expires: expires}, err
			},
		},
	}
}

func TestAServiceAccountOfGKELogsInAsItsGoogleServiceAccount(t *testing.T) {
	t.Parallel()
	g := newGoogleVault(t)
	cluster, unbound := newGKE(t, g.project, g.app), newGKE(t, google.Project(), "")
	who := "the service account " + g.app
	spec := g.store("app", stores.VaultGCPAuth{WorkloadIdentity: cluster.identity, ServiceAccountRef: &stores.ServiceAccountSelector{Name: "nobody"}})
	g.refuses(t, spec, cluster.env, providers.ErrDenied, "google does not let the identity of the store act as "+who+": grant it roles/iam.workloadIdentityUser on that")
	g.google.LetActAs(cluster.principal, g.app)
	g.refuses(t, spec, cluster.env, providers.ErrDenied, "google does not let "+who+" sign tokens: grant it iam.serviceAccounts.signJwt on itself (roles/iam.serviceAccountTokenCreator)")
	g.google.LetSign("serviceAccount:"+g.app, g.app)
	g.reads(t, spec, cluster.env)
	g.role(t, "short", map[string]any{"type": "iam", "bound_service_accounts": g.app, "max_jwt_exp": "5m"})
	g.refuses(t, g.store("short", stores.VaultGCPAuth{WorkloadIdentity: cluster.identity}), cluster.env, providers.ErrDenied, "raise its max_jwt_exp to 10m")
	g.refuses(t, g.store("app", stores.VaultGCPAuth{WorkloadIdentity: unbound.identity}), unbound.env, providers.ErrInvalid,
		"auth.gcp.workloadIdentity.serviceAccountRef: ServiceAccount app is bound to no Google service account, which alone can sign; annotate it with iam.gke.io/gcp-service-account")
	g.refuses(t, spec, &providertest.Env{}, providers.ErrUnavailable, "auth.gcp.workloadIdentity.serviceAccountRef: ")
	for _, tc := range []struct {
		status int
		body   string
		class  error
		want   string
	}{
		{http.StatusNotFound, canary, providers.ErrDenied, who + " does not exist"},
		{http.StatusBadGateway, canary, providers.ErrUnavailable, "iamcredentials.googleapis.com answered 502"},
		{http.StatusOK, canary, providers.ErrUnavailable, "the answer is not a signed token of Google's"},
		{http.StatusOK, `{"signedJwt":"a\nb` + canary + `"}`, providers.ErrUnavailable, "the answer is not a signed token of Google's"},
		{http.StatusOK, `{"signedJwt":"` + canary + `"}`, providers.ErrDenied, `vault role "app" at auth/` + g.mount + " refuses " + who},
		{http.StatusFound, "", providers.ErrUnavailable, "redirects elsewhere"},
	} {
		g.google.SignInstead(g.app, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://iamcredentials.googleapis.com/")
			answer(w, tc.status, tc.body)
		}))
		g.refuses(t, spec, cluster.env, tc.class, tc.want)
	}
	g.google.SignInstead(g.app, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		answer(w, http.StatusTooManyRequests, canary)
	}))
	_, err := vault.Provider{}.Open(t.Context(), config(spec), cluster.env)
	if throttled := new(providers.ThrottledError); !errors.As(err, &throttled) || throttled.After != 7*time.Second || strings.Contains(err.Error(), canary) {
		t.Errorf("a Google that asks to be left alone: %v", err)
	}
}

// TestTheControllersOwnIdentityOfGoogleLogsIn is not parallel: there is one metadata server.
func TestTheControllersOwnIdentityOfGoogleLogsIn(t *testing.T) {
	g := newGoogleVault(t)
	defer g.google.Cluster("", "", "", "")
	defer g.google.Boot(nil)
	at := "auth/" + g.mount
	g.role(t, "pods", map[string]any{"type": "iam", "bound_service_accounts": g.app, "max_jwt_exp": "1h"})
	g.role(t, "zones", map[string]any{"type": "gce", "bound_projects": g.project, "bound_zones": "europe-west4-a"})
	nobody := &providertest.Env{}
	as := func(role string) *stores.Vault { return g.store(role, stores.VaultGCPAuth{}) }

	g.google.Cluster("", "", "", "")
	g.refuses(t, as("pods"), nobody, providers.ErrUnavailable, "the controller has no service account of Google's: give one to its node or pod, or set auth.gcp.secretRef or auth.gcp.workloadIdentity in the store")

	// A pod of GKE, for which no machine is vouched.
	g.google.Cluster(g.project, "europe-west3", "main", "serviceAccount:"+g.app)
	g.google.Boot(nil)
	g.reads(t, as("pods"), nobody)
	g.reads(t, g.store("pods", stores.VaultGCPAuth{ServiceAccountRef: &stores.ServiceAccountSelector{Name: "nobody"}}), nobody) // whose part it has with External Secrets Operator
	g.refuses(t, as("app"), nobody, providers.ErrDenied, "raise its max_jwt_exp to 1h")
	g.refuses(t, as("machines"), nobody, providers.ErrInvalid, `vault role "machines" at `+at+" is for machines alone, and Google vouches for none where the controller runs")

	// A machine.
	g.google.Boot(&google.Machine{Project: g.project, Zone: "europe-west3-a", Name: "node-1"})
	g.reads(t, as("machines"), nobody)
	g.reads(t, as("pods"), nobody)
	g.refuses(t, as("zones"), nobody, providers.ErrDenied, `vault role "zones" at `+at+" refuses the controller's own identity; check the role's bound_service_accounts and bound_projects and, for machines, bound_zones")
	g.google.Revoke("serviceAccount:"+g.verifier, g.lookups()["compute.instances.get"], "compute.instances.get")
	g.refuses(t, as("machines"), nobody, providers.ErrDenied, "grant compute.instances.get (roles/compute.viewer) to the service account of the credentials in "+at+"/config")
	g.google.Grant("serviceAccount:"+g.verifier, g.lookups()["compute.instances.get"], "compute.instances.get")
	g.configure(t, map[string]string{"api": "http://127.0.0.1:1"})
	g.refuses(t, as("machines"), nobody, providers.ErrUnavailable, "vault does not learn from Google who logs in at "+at)
	g.configure(t, nil)
	g.google.RemoveAccount(g.app)
	g.refuses(t, as("machines"), nobody, providers.ErrDenied, "google does not know the controller's own identity any more")

	t.Setenv("GCE_METADATA_HOST", "127.0.0.1:1")
	g.refuses(t, as("pods"), nobody, providers.ErrUnavailable, "google's metadata server, which gives the controller its own identity on Google Cloud, gives none: set auth.gcp.secretRef or auth.gcp.workloadIdentity in the store")
}

// What Vault is sent is for one role of it, and for ten minutes; where it goes is where Vault has the method without any other place.
func TestALoginByGCPIsForOneRoleAndTenMinutes(t *testing.T) {
	t.Parallel()
	key, err := google.New(t).Key("app@p.iam.gserviceaccount.com")
	if err != nil {
		t.Fatal(err)
	}
	env := &providertest.Env{}
	env.SetSecret(providers.ObjectRef{Name: "google", Key: "key.json"}, key)
	cfg, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Role, JWT string }
		err := json.NewDecoder(r.Body).Decode(&body)
		switch {
		case strings.HasSuffix(r.URL.Path, "/revoke-self"):
			w.WriteHeader(http.StatusNoContent)
		case err != nil || r.URL.Path != "/v1/auth/gcp/login" || body.Role != "app" || !forTenMinutes(body.JWT, "vault/app", "app@p.iam.gserviceaccount.com"):
			answer(w, http.StatusBadRequest, `{"errors":["it is another login"]}`)
		default:
			answer(w, http.StatusOK, `{"auth":{"client_token":"hvs.x","lease_duration":60,"token_type":"service"}}`)
		}
	})
	spec := cfg.Spec.(*stores.Vault)
	spec.Auth = &stores.VaultAuth{GCP: &stores.VaultGCPAuth{Role: "app", SecretRef: googleKey()}}
	open(t, spec, env)
}

// TestTheMetadataServerVouchesForOneRoleOfOneServer is not parallel: it sets the environment.
func TestTheMetadataServerVouchesForOneRoleOfOneServer(t *testing.T) {
	var asked atomic.Pointer[url.URL]
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL)
		answer(w, http.StatusOK, canary+"\n")
	}))
	defer metadata.Close()
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(metadata.URL, "http://"))
	cfg, env := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		switch err := json.NewDecoder(r.Body).Decode(&body); {
		case strings.HasSuffix(r.URL.Path, "/revoke-self"):
			w.WriteHeader(http.StatusNoContent)
		case err != nil || !maps.Equal(body, map[string]string{"role": "a/b", "jwt": canary}):
			answer(w, http.StatusBadRequest, `{"errors":["it is another login"]}`)
		default:
			answer(w, http.StatusOK, `{"auth":{"client_token":"hvs.x","lease_duration":60,"token_type":"service"}}`)
		}
	})
	spec := cfg.Spec.(*stores.Vault)
	server := spec.Server
	spec.Server += "/"
	spec.Auth = &stores.VaultAuth{GCP: &stores.VaultGCPAuth{Role: "a/b"}}
	open(t, spec, env)
	want := url.Values{"audience": {server + "/vault/a/b"}, "format": {"full"}}
	if got := asked.Load(); got.Path != "/computeMetadata/v1/instance/service-accounts/default/identity" || got.Query().Encode() != want.Encode() {
		t.Errorf("the metadata server was asked for %s", got)
	}
}

// forTenMinutes reports whether a token says no more than who it is of, and for whom and how long.
func forTenMinutes(raw, audience, subject string) bool {
	token, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return false
	}
	var claims jwt.Claims
	if token.UnsafeClaimsWithoutVerification(&claims) != nil || claims.Expiry == nil {
		return false
	}
	left := time.Until(claims.Expiry.Time())
	return slices.Equal(claims.Audience, jwt.Audience{audience}) && claims.Subject == subject && left <= 10*time.Minute && left > 9*time.Minute
}

// TestWhatVaultSaysOfTokensOfGoogleIsExplained has the words of Vault 1.13 for what a real one cannot be made to say.
func TestWhatVaultSaysOfTokensOfGoogleIsExplained(t *testing.T) {
	t.Parallel()
	key, err := google.New(t).Key("app@p.iam.gserviceaccount.com")
	if err != nil {
		t.Fatal(err)
	}
	env := &providertest.Env{}
	env.SetSecret(providers.ObjectRef{Name: "google", Key: "key.json"}, key)
	for _, tc := range []struct {
		status int
		says   string
		class  error
		want   string
	}{
		{http.StatusBadRequest, "JWT is expired or does not have proper 'exp' claim", providers.ErrDenied, "set the clock of the controller's node, or of vault's"},
		{http.StatusBadRequest, "JWT must expire in 60 minutes, expires in 2h", providers.ErrDenied, "set the clock of the controller's node, or of vault's"},
		{http.StatusBadRequest, `Got GCE token but IAM role \"app\" does not allow GCE inference`, providers.ErrInvalid, "set allow_gce_inference in it or correct auth.gcp.role"},
		{http.StatusInternalServerError, "failed to create IAM client options: failed to create oauth2 http client: failed to get default credentials: google: could not find default credentials.", providers.ErrUnavailable,
			"vault has no usable credentials of its own for Google; write auth/gcp/config"},
		{http.StatusInternalServerError, "failed to create Compute client: no credentials", providers.ErrUnavailable, "vault has no usable credentials of its own for Google; write auth/gcp/config"},
		{http.StatusBadRequest, "failed to list instance groups for project " + canary + ": googleapi: Error 403: refused", providers.ErrDenied, "grant compute.instanceGroups.list (roles/compute.viewer)"},
		{http.StatusBadRequest, "error when attempting to find instance (" + canary + ") :unable to find instance associated with token: googleapi: Error 404: gone", providers.ErrDenied, "google does not know the machine of the controller any more"},
		{http.StatusBadRequest, "error when attempting to find instance (" + canary + ") :authenticating instance x found but has invalid status 'TERMINATED'", providers.ErrDenied, "the machine of the controller does not run any more"},
		{http.StatusInternalServerError, canary, providers.ErrUnavailable, "vault answered 500"},
	} {
		cfg, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, tc.status, `{"errors":["`+tc.says+`"]}`) })
		spec := cfg.Spec.(*stores.Vault)
		spec.Auth = &stores.VaultAuth{GCP: &stores.VaultGCPAuth{Role: "app", SecretRef: googleKey()}}
		googleVault{}.refuses(t, spec, env, tc.class, tc.want)
	}
}
