package googleidentity

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"cloud.google.com/go/auth/credentials/externalaccount"
	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
	"github.com/sealbridge/sealbridge/providers/providertest"
)

const credURL = "https://tokens.example.com/token?audience=google"

// TestACredConfigMayAskForLittle: whoever may write a store may write its configuration, which must not read what the controller
// can read, run a program, or send a token to anybody but Google.
func TestACredConfigMayAskForLittle(t *testing.T) {
	t.Parallel()
	wif := &stores.GCPWorkloadIdentityFederation{ExternalTokenEndpoint: credURL}
	const url = `"credential_source":{"url":"` + credURL + `"}`
	const aws = `"environment_id":"aws1","region_url":"http://169.254.169.254/latest/meta-data/placement/availability-zone","url":"http://169.254.169.254/latest/meta-data/iam/security-credentials"`
	for name, tc := range map[string]struct{ config, problem string }{
		"what gcloud writes":        {`"token_url":"https://sts.googleapis.com/v1/token","service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:generateAccessToken",` + url, ""},
		"no token_url":              {url, ""},
		"one of a region":           {`"token_url":"https://sts.europe-west3.rep.googleapis.com/v1/token",` + url, ""},
		"the identity of an AWS VM": {`"credential_source":{` + aws + `,"imdsv2_session_token_url":"http://169.254.169.254/latest/api/token","regional_cred_verification_url":"https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}`, ""},
		"no request to sign":        {`"credential_source":{` + aws + `}`, ""},
		"nothing of a program":      {`"credential_source":{"executable":null,"certificate":null,"url":"` + credURL + `"}`, ""},
		"the universe of Google":    {`"universe_domain":"googleapis.com",` + url, ""},

		"no source":                                      {`"x":1`, "credential_source is required"},
		"an empty source":                                {`"credential_source":{}`, "must hold url or environment_id"},
		"a file":                                         {`"credential_source":{"file":"/etc/passwd"}`, "no file of the controller is read"},
		"a file beside an address":                       {`"credential_source":{"file":"/var/run/secrets/kubernetes.io/serviceaccount/token","url":"` + credURL + `"}`, "no file of the controller is read"},
		"a certificate":                                  {`"credential_source":{"certificate":{"use_default_certificate_config":true}}`, "no file of the controller is read"},
		"a program":                                      {`"credential_source":{"executable":{"command":"/bin/sh"}}`, "no program is run"},
		"a program beside an address":                    {`"credential_source":{"executable":{"command":"/bin/sh"},"url":"` + credURL + `"}`, "no program is run"},
		"an address that is not the store's":             {`"credential_source":{"url":"https://tokens.example.com/token"}`, "externalTokenEndpoint"},
		"a token service elsewhere":                      {`"token_url":"https://sts.example.com/v1/token",` + url, "token_url must be"},
		"one that looks like Google's":                   {`"token_url":"https://sts.googleapis.com.example.com/v1/token",` + url, "token_url must be"},
		"one with a user":                                {`"token_url":"https://sts.googleapis.com@example.com/v1/token",` + url, "token_url must be"},
		"one without TLS":                                {`"token_url":"http://sts.googleapis.com/v1/token",` + url, "token_url must be"},
		"impersonation elsewhere":                        {`"service_account_impersonation_url":"https://iamcredentials.example.com/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:generateAccessToken",` + url, "service_account_impersonation_url"},
		"another method of impersonation":                {`"service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:signBlob",` + url, "service_account_impersonation_url"},
		"another universe":                               {`"universe_domain":"example.com",` + url, "universe_domain"},
		"an environment that is not known":               {`"credential_source":{"environment_id":"azure1"}`, "environment_id"},
		"another version of AWS":                         {`"credential_source":{"environment_id":"aws2"}`, "environment_id"},
		"AWS's metadata server at an address of its own": {`"credential_source":{"environment_id":"aws1","url":"http://example.com/latest/meta-data/iam/security-credentials"}`, "credential_source.url"},
		"another path of it":                             {`"credential_source":{"environment_id":"aws1","url":"http://169.254.169.254/latest/user-data"}`, "credential_source.url"},
		"a query to it":                                  {`"credential_source":{"environment_id":"aws1","url":"http://169.254.169.254/latest/meta-data/iam/security-credentials?x"}`, "credential_source.url"},
		"a part of it":                                   {`"credential_source":{"environment_id":"aws1","url":"http://169.254.169.254/latest/meta-data/iam/security-credentials#x"}`, "credential_source.url"},
		"an address that is none":                        {`"credential_source":{"environment_id":"aws1","url":"http://[169.254.169.254/latest"}`, "credential_source.url"},
		"another place for the region":                   {`"credential_source":{"environment_id":"aws1","url":"http://169.254.169.254/latest/meta-data/iam/security-credentials","region_url":"http://example.com/latest/meta-data/placement/availability-zone"}`, "region_url"},
		"another signed request":                         {`"credential_source":{` + aws + `,"regional_cred_verification_url":"https://iam.amazonaws.com?Action=ListUsers"}`, "regional_cred_verification_url"},
		"another session endpoint":                       {`"credential_source":{` + aws + `,"imdsv2_session_token_url":"http://example.com/latest/api/token"}`, "imdsv2_session_token_url"},
	} {
		_, problem := readCredConfig([]byte(`{"type":"external_account","audience":"//iam.googleapis.com/x",`+tc.config+`}`), wif)
		if (problem == "") != (tc.problem == "") || !strings.Contains(problem, tc.problem) {
			t.Errorf("%s: %q, want %q", name, problem, tc.problem)
		}
	}
	for config, want := range map[string]string{
		`{"type":"authorized_user"}`:                       "type must be external_account",
		`{"type":"external_account"}`:                      "audience is required",
		`not JSON`:                                         "it is not JSON",
		`{"type":"external_account","audience":{"a":"b"}}`: "it is not JSON",
	} {
		if _, problem := readCredConfig([]byte(config), wif); !strings.Contains(problem, want) {
			t.Errorf("%s: %q, want %q", config, problem, want)
		}
	}
	options, problem := readCredConfig([]byte(`{"type":"external_account","audience":"theirs",`+url+`,"service_account_impersonation_url":"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/b@p.iam.gserviceaccount.com:generateAccessToken"}`),
		&stores.GCPWorkloadIdentityFederation{ExternalTokenEndpoint: credURL, Audience: "ours", GCPServiceAccountEmail: "a@p.iam.gserviceaccount.com"})
	if problem != "" || options.Audience != "ours" || options.ServiceAccountImpersonationURL != impersonation("a@p.iam.gserviceaccount.com") {
		t.Errorf("the store's audience and service account win: %+v, %q", options, problem)
	}
}

func TestWhatACredConfigAsksForIsAsked(t *testing.T) {
	t.Parallel()
	const account = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@p.iam.gserviceaccount.com:generateAccessToken"
	for name, tc := range map[string]struct {
		config string
		want   externalaccount.Options
	}{
		"of an address": {`"subject_token_type":"t","token_url":"https://sts.eu.googleapis.com/v1/token","client_id":"id","client_secret":"secret","service_account_impersonation_url":"` + account + `",
			"service_account_impersonation":{"token_lifetime_seconds":600},"credential_source":{"url":"` + credURL + `","headers":{"a":"b"},"format":{"type":"json","subject_token_field_name":"f"}}`,
			externalaccount.Options{
				SubjectTokenType: "t", TokenURL: "https://sts.eu.googleapis.com/v1/token", ClientID: "id", ClientSecret: "secret", ServiceAccountImpersonationURL: account, ServiceAccountImpersonationLifetimeSeconds: 600,
				CredentialSource: &externalaccount.CredentialSource{URL: credURL, Headers: map[string]string{"a": "b"}, Format: &externalaccount.Format{Type: "json", SubjectTokenFieldName: "f"}},
			}},
		"of AWS": {`"credential_source":{"environment_id":"aws1","region_url":"http://169.254.169.254/latest/meta-data/placement/availability-zone","url":"http://169.254.169.254/latest/meta-data/iam/security-credentials",
			"imdsv2_session_token_url":"http://169.254.169.254/latest/api/token","regional_cred_verification_url":"https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15"}`,
			externalaccount.Options{SubjectTokenType: typeJWT, CredentialSource: &externalaccount.CredentialSource{
				EnvironmentID: "aws1", URL: "http://169.254.169.254/latest/meta-data/iam/security-credentials", RegionURL: "http://169.254.169.254/latest/meta-data/placement/availability-zone",
				IMDSv2SessionTokenURL: "http://169.254.169.254/latest/api/token", RegionalCredVerificationURL: "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15",
			}}},
	} {
		tc.want.Audience = "a"
		got, problem := readCredConfig([]byte(`{"type":"external_account","audience":"a",`+tc.config+`}`), &stores.GCPWorkloadIdentityFederation{ExternalTokenEndpoint: credURL})
		if problem != "" || !cmp.Equal(got, &tc.want) {
			t.Errorf("%s: %+v, %q", name, got, problem)
		}
	}
	for address, want := range map[string]string{account: "the service account a@p.iam.gserviceaccount.com", "": "the identity that the pool gives", "https://example.com/" + account: "the identity that the pool gives"} {
		if got := whose(address); got != want {
			t.Errorf("%q is of %s", address, got)
		}
	}
}

// asked is an Env that keeps what it was asked for, and has nothing but a configuration for AWS.
type asked struct {
	providertest.Env
	ambient providers.Ambient
	secrets []providers.ObjectRef
}

func (a *asked) ConfigMap(_ context.Context, ref providers.ObjectRef) ([]byte, error) {
	if ref != (providers.ObjectRef{Namespace: "n", Name: "c", Key: "k"}) {
		return nil, providers.Errorf(providers.ErrNotFound, "no %v", ref)
	}
	return []byte(`{"type":"external_account","audience":"a","credential_source":{"environment_id":"aws1","region_url":"http://169.254.169.254/latest/meta-data/placement/availability-zone","url":"http://169.254.169.254/latest/meta-data/iam/security-credentials"}}`), nil
}

func (a *asked) Secret(_ context.Context, ref providers.ObjectRef) ([]byte, error) {
	if a.secrets = append(a.secrets, ref); ref.Key == "aws_session_token" {
		return nil, providers.Errorf(providers.ErrInvalid, "no more")
	}
	return []byte("x"), nil
}

func (a *asked) Ambient(own providers.Ambient) error {
	a.ambient = own
	return providers.Errorf(providers.ErrInvalid, "kept")
}

func TestWhatFederationNeedsIsAskedOfTheEnvByItsFullName(t *testing.T) {
	t.Parallel()
	env := &asked{}
	l := New(credential.Reader{Store: "SecretStore a/b", Env: env}, "auth")
	defer l.Close()
	_, err := l.byFederation(t.Context(), &stores.GCPWorkloadIdentityFederation{CredConfig: &stores.GCPConfigMapKey{Namespace: "n", Name: "c", Key: "k"}})
	if !errors.Is(err, providers.ErrInvalid) || env.ambient.Field != "auth.workloadIdentityFederation.credConfig" || !strings.Contains(env.ambient.Instead, "serviceAccountRef") {
		t.Errorf("the identity of AWS: %+v, %v", env.ambient, err)
	}
	_, err = l.byFederation(t.Context(), &stores.GCPWorkloadIdentityFederation{Audience: "a", AWSSecurityCredentials: &stores.GCPAWSCredentials{
		AWSCredentialsSecretRef: stores.GCPSecretName{Namespace: "n", Name: "keys"}, Region: "eu-west-1",
	}})
	var want []providers.ObjectRef
	for _, key := range []string{"aws_access_key_id", "aws_secret_access_key", "aws_session_token"} {
		want = append(want, providers.ObjectRef{Namespace: "n", Name: "keys", Key: key})
	}
	if !errors.Is(err, providers.ErrInvalid) || !cmp.Equal(env.secrets, want) {
		t.Errorf("keys of AWS: %v, %v", env.secrets, err)
	}
}

// FuzzACredConfigReachesGoogleAlone: whatever a configuration says, what is made of it sends tokens to Google, reads no file and
// runs nothing.
func FuzzACredConfigReachesGoogleAlone(f *testing.F) {
	f.Add([]byte(`{"type":"external_account","audience":"a","token_url":"https://sts.googleapis.com/v1/token","credential_source":{"url":"` + credURL + `","file":"x"}}`))
	f.Add([]byte(`{"type":"external_account","audience":"a","credential_source":{"environment_id":"aws1","EXECUTABLE":{}}}`))
	wif := &stores.GCPWorkloadIdentityFederation{ExternalTokenEndpoint: credURL}
	f.Fuzz(func(t *testing.T, raw []byte) {
		options, problem := readCredConfig(raw, wif)
		if problem != "" {
			return
		}
		source := options.CredentialSource
		if options.TokenURL != "" && !ofGoogle(options.TokenURL) || options.ServiceAccountImpersonationURL != "" && !ofGoogle(options.ServiceAccountImpersonationURL) {
			t.Errorf("tokens go to %q and %q", options.TokenURL, options.ServiceAccountImpersonationURL)
		}
		if source.File != "" || source.Executable != nil || source.Certificate != nil {
			t.Error("a file is read or a program run")
		}
		if source.EnvironmentID == "" && source.URL != credURL {
			t.Errorf("%q is asked", source.URL)
		}
	})
}

// halfAway gives the keys of AWS and fails for the token that may go with them.
type halfAway struct{ providertest.Env }

func (h *halfAway) Secret(_ context.Context, ref providers.ObjectRef) ([]byte, error) {
	if ref.Key == "aws_session_token" {
		return nil, providers.Errorf(providers.ErrUnavailable, "the API server does not answer")
	}
	return []byte("key"), nil
}

func TestASessionTokenThatCannotBeReadIsNotTakenForNone(t *testing.T) {
	t.Parallel()
	l := New(credential.Reader{Store: "SecretStore a/b", Env: &halfAway{}}, "auth")
	defer l.Close()
	wif := &stores.GCPWorkloadIdentityFederation{Audience: "a", AWSSecurityCredentials: &stores.GCPAWSCredentials{
		AWSCredentialsSecretRef: stores.GCPSecretName{Name: "keys"}, Region: "eu-west-1",
	}}
	const want = "SecretStore a/b: auth.workloadIdentityFederation.awsSecurityCredentials.awsCredentialsSecretRef: the API server does not answer"
	if _, err := l.byAWS(t.Context(), wif); !errors.Is(err, providers.ErrUnavailable) || err.Error() != want {
		t.Error(err)
	}
}

// TestOnlyTheControllersOwnIdentityMayComeFromItsNode is not parallel: it sets the environment.
func TestOnlyTheControllersOwnIdentityMayComeFromItsNode(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none"))
	for name, tc := range map[string]struct {
		spec    stores.GCPAuth
		trusted bool
	}{
		"its own": {stores.GCPAuth{}, true},
		"a key":   {stores.GCPAuth{SecretRef: &stores.GCPAuthSecretRef{SecretAccessKey: &stores.SecretKeySelector{Name: "x", Key: "k"}}}, false},
	} {
		l := New(credential.Reader{Store: "SecretStore a/b", Env: &providertest.Env{}}, "auth")
		if _, err := l.Of(t.Context(), tc.spec); err == nil || l.wire.trusted != tc.trusted {
			t.Errorf("%s: where nodes get their credentials is asked: %t, %v", name, l.wire.trusted, err)
		}
		l.Close()
	}
}
