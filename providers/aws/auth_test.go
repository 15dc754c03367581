package aws_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/aws"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/goroutines"
	"github.com/sealbridge/sealbridge/test/harness/moto"
)

// annotated is an Env with a ServiceAccount whose tokens name it and their audiences.
func annotated(annotations map[string]string) *providertest.Env {
	ref := providers.AccountRef{Name: "app"}
	return &providertest.Env{
		Accounts: map[providers.AccountRef]map[string]string{ref: annotations},
		Token: func(_ context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
			return providers.Token{Value: providers.NewValue([]byte(canary + ":" + ref.Name + ":" + strings.Join(audiences, ","))), Expires: time.Now().Add(time.Hour)}, nil
		},
	}
}

// verify judges the tokens of annotated, as AWS judges those of a cluster.
func verify(audiences string) func(context.Context, string) (string, error) {
	return func(_ context.Context, token string) (string, error) {
		subject, found := strings.CutPrefix(token, canary+":")
		subject, held, _ := strings.Cut(subject, ":")
		if !found || held != audiences {
			return "", fmt.Errorf("a token for %q", held)
		}
		return subject, nil
	}
}

func accountStore(audiences ...string) *stores.AWS {
	return &stores.AWS{Service: stores.AWSSecretsManager, Region: region, Auth: stores.AWSAuth{JWT: &stores.AWSJWTAuth{
		ServiceAccountRef: &stores.ServiceAccountSelector{Name: "app", Audiences: audiences},
	}}}
}

func TestAServiceAccountReadsAsTheRoleThatItIsAnnotatedWith(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	if err := account.PutSecret(t.Context(), "db", canary); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		audience string
		more     []string
		want     string
	}{
		"usual":           {"", nil, "sts.amazonaws.com"},
		"annotated":       {"sts.example.com", nil, "sts.example.com"},
		"and those of it": {"", []string{"vault"}, "sts.amazonaws.com,vault"},
	} {
		role := account.Role(strings.ReplaceAll(name, " ", "-"), moto.Role{Verify: verify(tc.want), Subject: "app"})
		s := open(t, at(server.URL()), accountStore(tc.more...), annotated(map[string]string{"eks.amazonaws.com/role-arn": role, "eks.amazonaws.com/audience": tc.audience}))
		if got := value(t, s, providers.Ref{Key: "db"}, ""); got != canary {
			t.Errorf("%s: the value is %q", name, got)
		}
		if got := actions(server, role); !slices.Equal(got, []string{"AssumeRoleWithWebIdentity", "GetSecretValue"}) {
			t.Errorf("%s: the role asks %v", name, got)
		}
		expirer, _ := providers.As[providers.Expirer](s)
		if left := time.Until(expirer.Expires()); left < time.Minute || left > 13*time.Hour {
			t.Errorf("%s: it ends in %s", name, left)
		}
	}
}

func TestAServiceAccountWithoutItsRoleOpensNothing(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	closed := account.Role("closed", moto.Role{Verify: verify("sts.amazonaws.com"), Subject: "other"})
	picky := account.Role("picky", moto.Role{Verify: verify("somebody-else"), Subject: "app"})
	for name, tc := range map[string]struct {
		env   providers.Env
		class error
		says  []string
	}{
		"no annotation":            {annotated(nil), providers.ErrInvalid, []string{"auth.jwt.serviceAccountRef", "ServiceAccount app", "annotate it with eks.amazonaws.com/role-arn"}},
		"no account":               {&providertest.Env{}, providers.ErrUnavailable, []string{"ServiceAccount app does not exist"}},
		"a role that refuses it":   {annotated(map[string]string{"eks.amazonaws.com/role-arn": closed}), providers.ErrDenied, []string{"sts:AssumeRoleWithWebIdentity", closed, "ServiceAccount app", "trust policy"}},
		"a token that is not good": {annotated(map[string]string{"eks.amazonaws.com/role-arn": picky}), providers.ErrDenied, []string{"does not accept the token", "audience"}},
	} {
		_, err := at(server.URL()).Open(t.Context(), config(accountStore()), tc.env)
		if !errors.Is(err, tc.class) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, says := range tc.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v does not say %q", name, err, says)
			}
		}
	}
}

func TestRolesAreAssumedOneAfterTheOther(t *testing.T) {
	t.Parallel()
	server, account := secretsOf(t)
	if err := account.PutSecret(t.Context(), "db", canary); err != nil {
		t.Fatal(err)
	}
	base, keys := reader(t, server, account, moto.Role{})
	first, second := account.Role("first", moto.Role{}), account.Role("second", moto.Role{})
	last := account.Role("last", moto.Role{ExternalID: "only-us"})
	spec := keyStore(stores.AWSSecretsManager)
	spec.AdditionalRoles, spec.Role, spec.ExternalID = []string{first, second}, last, "only-us"
	s := open(t, at(server.URL()), spec, keyEnv(keys))
	if got := value(t, s, providers.Ref{Key: "db"}, ""); got != canary {
		t.Errorf("the value is %q", got)
	}
	for role, want := range map[string]string{base: "AssumeRole", first: "AssumeRole", second: "AssumeRole", last: "GetSecretValue"} {
		if got := actions(server, role); !slices.Equal(got, []string{want}) {
			t.Errorf("%s asks %v, want %s", role, got, want)
		}
	}
	spec.ExternalID = "others"
	_, err := at(server.URL()).Open(t.Context(), config(spec), keyEnv(keys))
	if !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "role: AWS refuses sts:AssumeRole on role "+last+" to role "+second) {
		t.Errorf("with another external id: %v", err)
	}
	spec.AdditionalRoles[1] = account.Role("x", moto.Role{}) + "-undeclared"
	_, err = at(server.URL()).Open(t.Context(), config(spec), keyEnv(keys))
	if !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "additionalRoles") {
		t.Errorf("with a role between that does not trust: %v", err)
	}
}

// stsAnswers answers as STS does and keeps the forms.
func stsAnswers(forms chan<- map[string][]string) func(http.ResponseWriter, call) {
	return func(w http.ResponseWriter, c call) {
		forms <- c.Form
		w.Header().Set("Content-Type", "text/xml")
		_, _ = fmt.Fprintf(w, `<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%sResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>2126-01-01T00:00:00Z</Expiration></Credentials></%sResult></%sResponse>`,
			c.Action, c.Action, canary, canary, c.Action, c.Action)
	}
}

func TestTheRoleIsAssumedWithTheTagsOfThePolicy(t *testing.T) {
	t.Parallel()
	own := []stores.AWSTag{{Key: "team", Value: "a"}}
	custom := map[string]string{"tier": "1", "": "x", "empty": ""}
	for name, tc := range map[string]struct {
		policy stores.AWSSessionTagsPolicy
		store  string
		want   string
	}{
		"no policy": {"", "SecretStore team-a/aws", "team=a"},
		"None":      {stores.AWSSessionTagsNone, "SecretStore team-a/aws", "team=a"},
		"Simple":    {stores.AWSSessionTagsSimple, "SecretStore team-a/aws", "esoNamespace=team-a esoStoreKind=SecretStore esoStoreName=aws"},
		"Custom":    {stores.AWSSessionTagsCustom, "ClusterSecretStore aws", "esoNamespace=team-a esoStoreKind=ClusterSecretStore esoStoreName=aws tier=1"},
	} {
		forms := make(chan map[string][]string, 3)
		url := serve(t, stsAnswers(forms))
		spec := keyStore(stores.AWSSecretsManager)
		spec.Role, spec.AdditionalRoles, spec.TransitiveTagKeys = "arn:aws:iam::1:role/last", []string{"arn:aws:iam::1:role/first"}, []string{"team"}
		spec.SessionTagsPolicy, spec.SessionTags, spec.CustomSessionTags = tc.policy, own, custom
		env := keyEnv(fakeKeys())
		env.User = "team-a"
		s, err := at(url).Open(t.Context(), providers.Config{Store: tc.store, Spec: spec}, env)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		closeNow(t, s)
		if first := <-forms; tagsOf(first) != "" || first["TransitiveTagKeys.member.1"] != nil || first["RoleSessionName"][0] != "external-secrets-provider-aws" {
			t.Errorf("%s: the first role is assumed with %v", name, first)
		}
		last := <-forms
		if got := tagsOf(last); got != tc.want || !slices.Equal(last["TransitiveTagKeys.member.1"], []string{"team"}) || last["DurationSeconds"][0] != "900" {
			t.Errorf("%s: the role is assumed with the tags %q, transitive %v, for %v", name, got, last["TransitiveTagKeys.member.1"], last["DurationSeconds"])
		}
	}
}

func tagsOf(form map[string][]string) string {
	var tags []string
	for i := 1; form[fmt.Sprintf("Tags.member.%d.Key", i)] != nil; i++ {
		tags = append(tags, form[fmt.Sprintf("Tags.member.%d.Key", i)][0]+"="+form[fmt.Sprintf("Tags.member.%d.Value", i)][0])
	}
	return strings.Join(tags, " ")
}

func TestWhatSTSAnswersIsSaidByItsClass(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		code   string
		class  error
		says   string
	}{
		"an ARN that is none":           {400, "ValidationError", providers.ErrInvalid, "(ValidationError); correct its ARN"},
		"tags that are too many":        {400, "PackedPolicyTooLarge", providers.ErrInvalid, "session tags"},
		"a region that is switched off": {403, "RegionDisabledException", providers.ErrInvalid, "not active in region"},
		"a key that does not exist":     {403, "InvalidClientTokenId", providers.ErrDenied, "the access key in Secret aws-keys"},
		"an outage":                     {503, "ServiceUnavailable", providers.ErrUnavailable, "503"},
		"too many requests":             {400, "Throttling", nil, "throttled by the store"},
		"a right that is missing":       {403, "AccessDenied", providers.ErrDenied, "refuses sts:AssumeRole on role"},
		"tags that are not granted":     {403, "AccessDenied", providers.ErrDenied, "sts:AssumeRole with session tags on role"},
		"a proxy":                       {403, "", providers.ErrUnavailable, "not one of AWS's"},
		"no credentials":                {200, "", providers.ErrUnavailable, "not one of AWS's"},
	} {
		url := serve(t, func(w http.ResponseWriter, c call) {
			switch {
			case tc.code != "":
				failsXML(w, tc.status, tc.code, "")
			case tc.status != 200:
				w.WriteHeader(tc.status)
				_, _ = fmt.Fprint(w, "<html>"+canary)
			default:
				_, _ = fmt.Fprintf(w, `<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%sResult></%sResult></%sResponse>`, c.Action, c.Action, c.Action, c.Action)
			}
		})
		spec := keyStore(stores.AWSSecretsManager)
		spec.Role = "arn:aws:iam::1:role/app"
		if name == "tags that are not granted" {
			spec.SessionTags = []stores.AWSTag{{Key: "team", Value: "a"}}
		}
		_, err := at(url).Open(t.Context(), config(spec), keyEnv(fakeKeys()))
		if err == nil || tc.class != nil && !errors.Is(err, tc.class) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOnlyARoleWithTagsAsksForTheNamespace(t *testing.T) {
	t.Parallel()
	spec := keyStore(stores.AWSSecretsManager)
	spec.SessionTagsPolicy = stores.AWSSessionTagsSimple
	s, err := at("http://127.0.0.1:1").Open(t.Context(), config(spec), keyEnv(fakeKeys()))
	if err != nil {
		t.Fatal(err)
	}
	closeNow(t, s)
	spec.Role = "arn:aws:iam::1:role/last"
	if _, err := at("http://127.0.0.1:1").Open(t.Context(), config(spec), keyEnv(fakeKeys())); !errors.Is(err, providers.ErrInvalid) {
		t.Errorf("nobody uses the store: %v", err)
	}
}

// ambient is the provider as the controller has it, with a process environment of the test.
func ambient(t *testing.T, url string, environment map[string]string) aws.Provider {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ENDPOINT_URL", url)
	for name, value := range environment {
		t.Setenv(name, value)
	}
	return aws.Provider{Environment: aws.ReadEnvironment(os.LookupEnv)}
}

func TestAStoreWithoutAuthReadsAsTheController(t *testing.T) {
	server, account := secretsOf(t)
	if err := account.PutSecret(t.Context(), "db", canary); err != nil {
		t.Fatal(err)
	}
	role := account.Role("controller", moto.Role{Verify: verify("sts.amazonaws.com"), Subject: "controller"})
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(canary+":controller:sts.amazonaws.com"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, keys := reader(t, server, account, moto.Role{})
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"AccessKeyId":%q,"SecretAccessKey":%q,"Token":%q,"Expiration":"2126-01-01T00:00:00Z"}`, keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken)
	}))
	defer agent.Close()
	spec := &stores.AWS{Service: stores.AWSSecretsManager, Region: region}
	for name, tc := range map[string]struct {
		environment map[string]string
		expires     bool
	}{
		"keys in the environment": {map[string]string{"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey, "AWS_SESSION_TOKEN": keys.SessionToken}, false},
		"a web identity (IRSA)":   {map[string]string{"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": token}, true},
		"EKS Pod Identity":        {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.URL + "/v1/credentials"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, ambient(t, server.URL(), tc.environment), spec, &providertest.Env{})
			if got := value(t, s, providers.Ref{Key: "db"}, ""); got != canary {
				t.Errorf("the value is %q", got)
			}
			if e, _ := providers.As[providers.Expirer](s); e.Expires().IsZero() == tc.expires {
				t.Errorf("it ends at %s", e.Expires())
			}
		})
	}
	t.Run("no identity", func(t *testing.T) {
		_, err := ambient(t, server.URL(), nil).Open(t.Context(), config(spec), &providertest.Env{})
		if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "set auth in the store") {
			t.Error(err)
		}
	})
	t.Run("a role that refuses", func(t *testing.T) {
		closed := account.Role("closed", moto.Role{Verify: verify("x"), Subject: "controller"})
		_, err := ambient(t, server.URL(), map[string]string{"AWS_ROLE_ARN": closed, "AWS_WEB_IDENTITY_TOKEN_FILE": token}).Open(t.Context(), config(spec), &providertest.Env{})
		if !errors.Is(err, providers.ErrDenied) || !strings.Contains(err.Error(), "trust policy") || strings.Contains(err.Error(), canary) {
			t.Error(err)
		}
	})
}

func TestTheIdentityOfTheControllerLeavesNoConnectionBehind(t *testing.T) {
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `{"AccessKeyId":"ASIA","SecretAccessKey":"x","Token":"y","Expiration":"2126-01-01T00:00:00Z"}`)
	}))
	defer agent.Close()
	forms := make(chan map[string][]string, 1)
	url := serve(t, stsAnswers(forms))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, environment := range map[string]map[string]string{
		"EKS Pod Identity": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.URL},
		"IRSA":             {"AWS_ROLE_ARN": "arn:aws:iam::1:role/controller", "AWS_WEB_IDENTITY_TOKEN_FILE": token},
	} {
		t.Run(name, func(t *testing.T) {
			p := ambient(t, url, environment)
			before := goleak.IgnoreCurrent()
			s, err := p.Open(t.Context(), config(&stores.AWS{Service: stores.AWSSecretsManager, Region: region}), &providertest.Env{})
			if err != nil {
				t.Fatal(err)
			}
			closeNow(t, s)
			goroutines.None(t, before)
		})
	}
	if form := <-forms; form["RoleSessionName"][0] != "external-secrets-provider-aws" {
		t.Errorf("the session's name is %v", form["RoleSessionName"])
	}
}

func TestOnlyTheProcessLendsItsIdentity(t *testing.T) {
	t.Parallel()
	_, err := at("http://127.0.0.1:1").Open(t.Context(), config(&stores.AWS{Service: stores.AWSSecretsManager, Region: region}), &providertest.Env{})
	if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), "auth is required") {
		t.Error(err)
	}
}

func closeNow(t *testing.T, s providers.Session) {
	t.Helper()
	if err := s.(interface{ Close() error }).Close(); err != nil { //nolint:forcetypeassert // all sessions of this provider are
		t.Error(err)
	}
}
