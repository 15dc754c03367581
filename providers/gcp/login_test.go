package gcp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/gcp"
	"github.com/sealbridge/sealbridge/providers/providertest"
	harness "github.com/sealbridge/sealbridge/test/harness/gcp"
)

func throttledFor(err error) (time.Duration, bool) {
	var throttled *providers.ThrottledError
	if !errors.As(err, &throttled) {
		return 0, false
	}
	return throttled.After, true
}

// cluster is one of GKE, as far as it issues tokens of ServiceAccounts: it signs with a key of its own.
type cluster struct {
	project string
	signer  jose.Signer
	keys    jose.JSONWebKeySet
	// annotations are those of its one ServiceAccount, and asked the audiences that a token was wanted for.
	annotations map[string]string
	asked       *[]string
}

const issuerURL = "https://container.googleapis.com/v1/projects/c/locations/europe-west3/clusters/main"

// newCluster makes a cluster in the project whose ServiceAccount "app" may read the project's secrets.
func newCluster(t *testing.T, project string) cluster {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := cluster{project: project, asked: new([]string), keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}}}
	if c.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil); err != nil {
		t.Fatal(err)
	}
	cloud := harness.New(t)
	cloud.Trust(c.audience(), harness.Issuer{URL: issuerURL, Keys: c.keys, Audience: project + ".svc.id.goog"})
	cloud.Grant(c.principal(), "projects/"+project, harness.Reading()...)
	return c
}

func (c cluster) audience() string {
	return "identitynamespace:" + c.project + ".svc.id.goog:https://container.googleapis.com/v1/projects/" + c.project + "/locations/europe-west3/clusters/main"
}

func (c cluster) principal() string {
	return harness.Principal(c.audience(), "system:serviceaccount:team-a:app")
}

// store uses the ServiceAccount of the cluster.
func (c cluster) store() *stores.GCPSM {
	return &stores.GCPSM{ProjectID: c.project, Auth: stores.GCPAuth{WorkloadIdentity: &stores.GCPWorkloadIdentity{
		ServiceAccountRef: stores.ServiceAccountSelector{Name: "app"},
		ClusterProjectID:  c.project, ClusterLocation: "europe-west3", ClusterName: "main",
	}}}
}

func (c cluster) env() *providertest.Env {
	return &providertest.Env{
		Accounts: map[providers.AccountRef]map[string]string{{Name: "app"}: c.annotations},
		Token: func(_ context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
			*c.asked = slices.Clone(audiences)
			expires := time.Now().Add(time.Hour)
			raw, err := jwt.Signed(c.signer).Claims(jwt.Claims{
				Issuer: issuerURL, Subject: "system:serviceaccount:team-a:" + ref.Name, Audience: audiences, Expiry: jwt.NewNumericDate(expires),
			}).Serialize()
			return providers.Token{Value: providers.NewValue([]byte(raw)), Expires: expires}, err
		},
	}
}

// reads reports what the store reads of the secret "app" of a project, and the error that opening or reading gave.
func reads(t *testing.T, spec *stores.GCPSM, env providers.Env) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := gcp.Provider{}.Open(ctx, config(spec), env)
	if err != nil {
		return "", err
	}
	defer func() { _ = session.(io.Closer).Close() }()
	expires := session.(providers.Expirer).Expires()
	if left := time.Until(expires); left < 50*time.Minute || left > time.Hour {
		t.Errorf("the login ends in %s", left)
	}
	value, _, err := read(t, session, providers.Ref{Key: "app"}, "")
	return value, err
}

func TestAServiceAccountOfTheClusterReadsByItself(t *testing.T) {
	t.Parallel()
	cloud, project := harness.New(t), harness.Project()
	c := newCluster(t, project)
	cloud.Put("projects/"+project, "app", []byte("content"))
	spec := c.store()
	spec.Auth.WorkloadIdentity.ServiceAccountRef.Audiences = []string{"more"}
	if got, err := reads(t, spec, c.env()); got != "content" {
		t.Errorf("%q, %v", got, err)
	}
	if want := []string{project + ".svc.id.goog", "more"}; !slices.Equal(*c.asked, want) {
		t.Errorf("the token was for %q, want %q", *c.asked, want)
	}
	spec.ProjectID = "" // that of the cluster
	if got, err := reads(t, spec, c.env()); got != "content" {
		t.Errorf("without projectID: %q, %v", got, err)
	}
	cloud.Trust(c.audience(), harness.Issuer{})
	if _, err := reads(t, spec, c.env()); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "Security Token Service refuses the identity of the store (invalid_grant)") {
		t.Errorf("nobody trusts the cluster: %v", err)
	}
	if _, err := reads(t, spec, &providertest.Env{}); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "auth.workloadIdentity.serviceAccountRef") {
		t.Errorf("there is no ServiceAccount: %v", err)
	}
	minted := c.env() // but whose it is to be cannot be read
	minted.Accounts = nil
	if got, err := reads(t, c.store(), minted); !errors.Is(err, providers.ErrUnavailable) {
		t.Errorf("without its annotations: %q, %v", got, err)
	}
	annotated := c.env()
	annotated.Token = nil
	if _, err := reads(t, c.store(), annotated); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "ServiceAccount app does not exist") {
		t.Errorf("without a token: %v", err)
	}
}

func TestAnAnnotatedServiceAccountActsAsItsGoogleServiceAccount(t *testing.T) {
	t.Parallel()
	cloud, project := harness.New(t), harness.Project()
	c := newCluster(t, project)
	cloud.Put("projects/"+project, "app", []byte("content"))
	cloud.Revoke(c.principal(), "projects/"+project, harness.Reading()...)
	email := "app@" + project + ".iam.gserviceaccount.com"
	c.annotations = map[string]string{"iam.gke.io/gcp-service-account": email}
	cloud.Grant("serviceAccount:"+email, "projects/"+project, harness.Reading()...)
	if _, err := reads(t, c.store(), c.env()); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "act as the service account "+email) {
		t.Errorf("it may not act as it: %v", err)
	}
	cloud.LetActAs(c.principal(), email)
	if got, err := reads(t, c.store(), c.env()); got != "content" {
		t.Errorf("%q, %v", got, err)
	}
	c.annotations = map[string]string{"iam.gke.io/gcp-service-account": "a@p.iam.gserviceaccount.com:signBlob?x=" + canary}
	if _, err := reads(t, c.store(), c.env()); !errors.Is(err, providers.ErrInvalid) || strings.Contains(err.Error(), canary) {
		t.Errorf("an annotation that is no email address: %v", err)
	}
}

// TestTheMetadataServerTellsWhatAStoreLeavesOut is not parallel: there is one metadata server, and one node.
func TestTheMetadataServerTellsWhatAStoreLeavesOut(t *testing.T) {
	cloud, project := harness.New(t), harness.Project()
	c := newCluster(t, project)
	cloud.Put("projects/"+project, "app", []byte("content"))
	defer cloud.Cluster("", "", "", "")
	spec := c.store()
	spec.ProjectID, spec.Auth.WorkloadIdentity.ClusterProjectID = "", ""
	spec.Auth.WorkloadIdentity.ClusterLocation, spec.Auth.WorkloadIdentity.ClusterName = "", ""
	if _, err := reads(t, spec, c.env()); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "projectID is not set") {
		t.Errorf("it does not tell: %v", err)
	}
	for field, lose := range map[string]func(*stores.GCPWorkloadIdentity){
		"clusterProjectID": func(w *stores.GCPWorkloadIdentity) { w.ClusterProjectID = "" },
		"clusterLocation":  func(w *stores.GCPWorkloadIdentity) { w.ClusterLocation = "" },
		"clusterName":      func(w *stores.GCPWorkloadIdentity) { w.ClusterName = "" },
	} {
		without := c.store()
		lose(without.Auth.WorkloadIdentity)
		if _, err := reads(t, without, c.env()); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "auth.workloadIdentity."+field+" is not set") {
			t.Errorf("it does not tell %s: %v", field, err)
		}
	}
	node := "serviceAccount:node@" + project + ".iam.gserviceaccount.com"
	cloud.Cluster(project, "europe-west3", "main", node)
	if got, err := reads(t, spec, c.env()); got != "content" {
		t.Errorf("%q, %v", got, err)
	}
	cloud.Grant(node, "projects/"+project, harness.Reading()...)
	if got, err := reads(t, &stores.GCPSM{}, &providertest.Env{}); got != "content" {
		t.Errorf("Application Default Credentials of the node: %q, %v", got, err)
	}
}

// TestAStoreWithoutAuthUsesTheIdentityOfTheController is not parallel: it sets the environment.
func TestAStoreWithoutAuthUsesTheIdentityOfTheController(t *testing.T) {
	p := newPlace(t)
	p.Put(p.parent(), "app", []byte("content"))
	file := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(file, p.key, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	if got, err := reads(t, &stores.GCPSM{ProjectID: p.project}, &providertest.Env{}); got != "content" {
		t.Errorf("%q, %v", got, err)
	}
	p.DeleteKeys(p.email)
	if _, err := reads(t, &stores.GCPSM{ProjectID: p.project}, &providertest.Env{}); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "the controller's own identity") {
		t.Error(err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file+".none")
	if _, err := reads(t, &stores.GCPSM{ProjectID: p.project}, &providertest.Env{}); !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "set auth") {
		t.Error(err)
	}
}

// pool is the audience of a provider in a workload identity pool.
func pool(project string) string {
	return "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/" + project + "/providers/x"
}

func federated(project string, wif stores.GCPWorkloadIdentityFederation) *stores.GCPSM {
	return &stores.GCPSM{ProjectID: project, Auth: stores.GCPAuth{WorkloadIdentityFederation: &wif}}
}

func TestAPoolThatTrustsTheClusterTakesTheTokenOfAServiceAccount(t *testing.T) {
	t.Parallel()
	cloud, project := harness.New(t), harness.Project()
	c := newCluster(t, project)
	cloud.Put("projects/"+project, "app", []byte("content"))
	cloud.Trust(pool(project), harness.Issuer{URL: issuerURL, Keys: c.keys, Audience: "google"})
	principal := harness.Principal(pool(project), "system:serviceaccount:team-a:app")
	cloud.Grant(principal, "projects/"+project, harness.Reading()...)
	wif := stores.GCPWorkloadIdentityFederation{Audience: pool(project), ServiceAccountRef: &stores.ServiceAccountSelector{Name: "app", Audiences: []string{"google"}}}
	if got, err := reads(t, federated(project, wif), c.env()); got != "content" || !slices.Equal(*c.asked, []string{"google"}) {
		t.Errorf("%q for %q, %v", got, *c.asked, err)
	}
	cloud.Revoke(principal, "projects/"+project, harness.Reading()...)
	email := "app@" + project + ".iam.gserviceaccount.com"
	cloud.Grant("serviceAccount:"+email, "projects/"+project, harness.Reading()...)
	cloud.LetActAs(principal, email)
	wif.GCPServiceAccountEmail = email
	c.annotations = map[string]string{"iam.gke.io/gcp-service-account": "other@p.iam.gserviceaccount.com"}
	if got, err := reads(t, federated(project, wif), c.env()); got != "content" {
		t.Errorf("as the store's service account: %q, %v", got, err)
	}
	wif.GCPServiceAccountEmail, c.annotations = "", map[string]string{"iam.gke.io/gcp-service-account": email}
	if got, err := reads(t, federated(project, wif), c.env()); got != "content" {
		t.Errorf("as that of the annotation: %q, %v", got, err)
	}
	wif.Audience = pool("other")
	if _, err := reads(t, federated(project, wif), c.env()); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "(invalid_target)") {
		t.Errorf("a pool that does not exist: %v", err)
	}
}

func TestAPoolThatTrustsAWSTakesARequestThatItsKeysHaveSigned(t *testing.T) {
	t.Parallel()
	cloud, project := harness.New(t), harness.Project()
	cloud.Put("projects/"+project, "app", []byte("content"))
	for name, session := range map[string]string{"keys that last": "", "keys for a while": canary + "-session"} {
		id := harness.AWSIdentity{AccessKeyID: "AKIA" + strings.ToUpper(project[2:10]), SecretAccessKey: canary + "-aws", SessionToken: session, Region: "eu-central-1"}
		cloud.TrustAWS(pool(project), id)
		principal := "principal:" + pool(project) + "/subject/" + id.AccessKeyID
		cloud.Grant(principal, "projects/"+project, harness.Reading()...)
		ref := func(key string) providers.ObjectRef { return providers.ObjectRef{Name: "aws", Key: key} }
		env := &providertest.Env{Secrets: map[providers.ObjectRef][]byte{
			ref("aws_access_key_id"): []byte(id.AccessKeyID + "\n"), ref("aws_secret_access_key"): []byte(id.SecretAccessKey + "\n"),
		}}
		if session != "" {
			env.SetSecret(ref("aws_session_token"), []byte(session+"\n"))
		}
		spec := federated(project, stores.GCPWorkloadIdentityFederation{Audience: pool(project), AWSSecurityCredentials: &stores.GCPAWSCredentials{
			Region: "eu-central-1", AWSCredentialsSecretRef: stores.GCPSecretName{Name: "aws"},
		}})
		if got, err := reads(t, spec, env); got != "content" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		cloud.Revoke(principal, "projects/"+project, harness.Reading()...)
		email := "app@" + project + ".iam.gserviceaccount.com"
		cloud.Grant("serviceAccount:"+email, "projects/"+project, harness.Reading()...)
		cloud.LetActAs(principal, email)
		spec.Auth.WorkloadIdentityFederation.GCPServiceAccountEmail = email
		if got, err := reads(t, spec, env); got != "content" {
			t.Errorf("%s, as the store's service account: %q, %v", name, got, err)
		}
		env.SetSecret(ref("aws_secret_access_key"), []byte(canary+"-other"))
		if _, err := reads(t, spec, env); !errors.Is(err, providers.ErrDenied) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s, another key: %v", name, err)
		}
	}
}

// TestACredConfigForAWSReadsAsTheControllerWhereItMay is not parallel: it sets the environment.
func TestACredConfigForAWSReadsAsTheControllerWhereItMay(t *testing.T) {
	cloud, project := harness.New(t), harness.Project()
	cloud.Put("projects/"+project, "app", []byte("content"))
	id := harness.AWSIdentity{AccessKeyID: "AKIA" + strings.ToUpper(project[2:10]), SecretAccessKey: canary + "-node", Region: "eu-central-1"}
	cloud.TrustAWS(pool(project), id)
	cloud.Grant("principal:"+pool(project)+"/subject/"+id.AccessKeyID, "projects/"+project, harness.Reading()...)
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": id.AccessKeyID, "AWS_SECRET_ACCESS_KEY": id.SecretAccessKey, "AWS_SESSION_TOKEN": "", "AWS_REGION": id.Region, "AWS_DEFAULT_REGION": "",
	} {
		t.Setenv(name, value)
	}
	ref := providers.ObjectRef{Name: "federation", Key: "config.json"}
	spec := federated(project, stores.GCPWorkloadIdentityFederation{CredConfig: &stores.GCPConfigMapKey{Name: ref.Name, Key: ref.Key}})
	env := &providertest.Env{ConfigMaps: map[providers.ObjectRef][]byte{ref: []byte(`{"type":"external_account","audience":"` + pool(project) + `",
		"subject_token_type":"urn:ietf:params:aws:token-type:aws4_request","credential_source":{"environment_id":"aws1",
		"region_url":"http://169.254.169.254/latest/meta-data/placement/availability-zone","url":"http://169.254.169.254/latest/meta-data/iam/security-credentials",
		"regional_cred_verification_url":"https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}}`)}}
	if got, err := reads(t, spec, env); got != "content" {
		t.Errorf("with the keys of the controller's environment: %q, %v", got, err)
	}
	env.NoAmbient = providers.Errorf(providers.ErrInvalid, "kept")
	if got, err := reads(t, spec, env); !errors.Is(err, env.NoAmbient) {
		t.Errorf("where they are kept: %q, %v", got, err)
	}
}

func TestACredConfigFetchesATokenFromTheOneAddressOfTheStore(t *testing.T) {
	t.Parallel()
	cloud, project := harness.New(t), harness.Project()
	c := newCluster(t, project)
	cloud.Put("projects/"+project, "app", []byte("content"))
	cloud.Trust(pool(project), harness.Issuer{URL: issuerURL, Keys: c.keys, Audience: "google"})
	cloud.Grant(harness.Principal(pool(project), "system:serviceaccount:team-a:app"), "projects/"+project, harness.Reading()...)
	endpoint := "https://tokens-" + project + ".example.com/token?for=google"
	cloud.Serve("tokens-"+project+".example.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, err := c.env().Token(r.Context(), providers.AccountRef{Name: "app"}, "google")
		if err != nil || r.Header.Get("X-From") != "sealbridge" || r.URL.RawQuery != "for=google" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": string(token.Value.Bytes())})
	}))
	ref := providers.ObjectRef{Name: "federation", Key: "config.json"}
	written := func(config string) *providertest.Env {
		return &providertest.Env{ConfigMaps: map[providers.ObjectRef][]byte{ref: []byte(config)}}
	}
	from := func(url string) string {
		return `{"type":"external_account","audience":"` + pool(project) + `","credential_source":{"url":"` + url + `","headers":{"X-From":"sealbridge"},"format":{"type":"json","subject_token_field_name":"token"}}}`
	}
	spec := federated(project, stores.GCPWorkloadIdentityFederation{
		CredConfig: &stores.GCPConfigMapKey{Name: ref.Name, Key: ref.Key}, ExternalTokenEndpoint: endpoint,
	})
	if got, err := reads(t, spec, written(from(endpoint))); got != "content" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := reads(t, spec, written(from(endpoint+"&"+canary))); !errors.Is(err, providers.ErrInvalid) || strings.Contains(err.Error(), canary) ||
		!strings.Contains(err.Error(), "key \"config.json\" of ConfigMap federation: credential_source.url must be the same as externalTokenEndpoint") {
		t.Errorf("another address: %v", err)
	}
	region := "sts-" + project + ".googleapis.com"
	regional := strings.Replace(from(endpoint), `"credential_source"`, `"token_url":"https://sts.`+region+`/v1/token","credential_source"`, 1)
	cloud.Serve("sts."+region, says(http.StatusBadGateway, "text/html", canary))
	if _, err := reads(t, spec, written(regional)); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "sts."+region+" answered 502") {
		t.Errorf("the token service of the configuration: %v", err)
	}
	if _, err := reads(t, spec, &providertest.Env{}); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "credConfig") {
		t.Errorf("there is no ConfigMap: %v", err)
	}
	for _, address := range []string{"http://169.254.169.254/metadata/identity/oauth2/token", "http://[fd00:ec2::254]/latest/meta-data/iam/security-credentials"} {
		spec.Auth.WorkloadIdentityFederation.ExternalTokenEndpoint = address
		if _, err := reads(t, spec, written(from(address))); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "metadata addresses are refused") {
			t.Errorf("%s, where the credentials of nodes are: %v", address, err)
		}
	}
	cloud.Serve("tokens2-"+project+".example.com", http.RedirectHandler(endpoint, http.StatusFound))
	elsewhere := "https://tokens2-" + project + ".example.com/"
	spec.Auth.WorkloadIdentityFederation.ExternalTokenEndpoint = elsewhere
	if _, err := reads(t, spec, written(from(elsewhere))); !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "redirects elsewhere") {
		t.Errorf("a redirect: %v", err)
	}
}

// TestTheTokenServiceFails has hosts of their own answer instead of Google's Security Token Service.
func TestTheTokenServiceFails(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, tc := range map[string]struct {
		status int
		body   string
		class  error
		says   string
	}{
		"busy":         {http.StatusTooManyRequests, canary, nil, "throttled by the store"},
		"broken":       {http.StatusBadGateway, canary, providers.ErrUnavailable, "answered 502"},
		"no-token":     {http.StatusOK, `{"access_token":""}`, providers.ErrUnavailable, "not an access token"},
		"half":         {http.StatusOK, `{"access_token":"` + canary, providers.ErrUnavailable, "answered 200 without an access token"},
		"page":         {http.StatusOK, "<html>" + canary, providers.ErrUnavailable, "answered 200 without an access token"},
		"control":      {http.StatusOK, `{"access_token":"` + canary + `\n","expires_in":3600}`, providers.ErrUnavailable, "not an access token"},
		"known-code":   {http.StatusBadRequest, `{"error":"invalid_grant","error_description":"` + canary + `"}`, providers.ErrDenied, "(invalid_grant)"},
		"unknown-code": {http.StatusBadRequest, `{"error":"` + canary + `"}`, providers.ErrDenied, "refuses the credentials"},
		"refused":      {0, "", providers.ErrUnavailable, "no access token: cannot reach"},
	} {
		host := "oauth2-" + name + "-" + p.project + ".googleapis.com"
		if tc.status != 0 {
			p.Serve(host, says(tc.status, "application/json", tc.body))
		}
		key := bytes.Replace(p.key, []byte("oauth2.googleapis.com"), []byte(host), 1)
		_, err := reads(t, keyStore(p.project), keyEnv(key))
		if err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), tc.says) || tc.class != nil && !errors.Is(err, tc.class) {
			t.Errorf("%s: %v", name, err)
		}
		if _, throttled := throttledFor(err); throttled != (tc.class == nil) {
			t.Errorf("%s: throttled is %v", name, throttled)
		}
	}
}

// Whoever keeps the session opens another when it is denied what it asks.
func TestALoginWhoseEndGoogleDoesNotSayHasNone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, ends := range map[string]string{"missing": "", "null": `,"expires_in":null`, "zero": `,"expires_in":0`, "negative": `,"expires_in":-3600`} {
		host := "oauth2-" + name + "-" + p.project + ".googleapis.com"
		p.Serve(host, says(http.StatusOK, "application/json", `{"access_token":"x"`+ends+`}`))
		session := open(t, keyStore(p.project), keyEnv(bytes.Replace(p.key, []byte("oauth2.googleapis.com"), []byte(host), 1)))
		if expires := session.(providers.Expirer).Expires(); !expires.IsZero() {
			t.Errorf("%s: the login ends at %s", name, expires)
		}
	}
}

func TestASessionIsDeniedWhenItsTokenIsRevoked(t *testing.T) {
	p := newPlace(t) // not parallel: it revokes everybody's
	p.Put(p.parent(), "app", []byte("content"))
	session := open(t, keyStore(p.project), keyEnv(p.key))
	if got, _, err := read(t, session, providers.Ref{Key: "app"}, ""); got != "content" {
		t.Fatal(got, err)
	}
	p.RevokeTokens()
	if _, _, err := read(t, session, providers.Ref{Key: "app"}, ""); !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "refuses the access token") {
		t.Error(err)
	}
}
