package googleidentity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"cloud.google.com/go/auth/credentials/externalaccount"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
)

// byFederation exchanges an identity of another cloud, or of a cluster that a pool trusts, for one of Google.
func (l *Login) byFederation(ctx context.Context, wif *stores.GCPWorkloadIdentityFederation) (Identity, error) {
	field := l.field + ".workloadIdentityFederation."
	switch {
	case wif.ServiceAccountRef != nil:
		return l.exchange(ctx, field+"serviceAccountRef", *wif.ServiceAccountRef, wif.GCPServiceAccountEmail, &externalaccount.Options{Audience: wif.Audience})
	case wif.AWSSecurityCredentials != nil:
		return l.byAWS(ctx, wif)
	}
	ref := providers.ObjectRef{Namespace: wif.CredConfig.Namespace, Name: wif.CredConfig.Name, Key: wif.CredConfig.Key}
	raw, err := l.creds.ConfigMap(ctx, field+"credConfig", ref)
	if err != nil {
		return Identity{}, err
	}
	options, problem := readCredConfig(raw, wif)
	if problem != "" {
		return Identity{}, l.errorf(providers.ErrInvalid, "%scredConfig: key %q of ConfigMap %s: %s", field, ref.Key, ref.Name, problem)
	}
	if l.wire.aws = options.CredentialSource.EnvironmentID != ""; l.wire.aws { // what the library takes is in the controller's variables, too
		if err := l.creds.Env.Ambient(providers.Ambient{Field: field + "credConfig", Instead: "use awsSecurityCredentials or serviceAccountRef"}); err != nil {
			return Identity{}, err
		}
	}
	return l.external(ctx, options, whose(options.ServiceAccountImpersonationURL))
}

// whose names the identity that comes of an exchange.
func whose(impersonationURL string) string {
	if m := impersonationURLs.FindStringSubmatch(impersonationURL); m != nil {
		return named(m[1])
	}
	return "the identity that the pool gives"
}

// credConfig is an external account configuration (Google, "Workload identity federation", credential configuration files). What
// is not here is not read: a configuration cannot ask for it.
type credConfig struct {
	Type             string `json:"type"`
	Audience         string `json:"audience"`
	SubjectTokenType string `json:"subject_token_type"`
	TokenURL         string `json:"token_url"`
	UniverseDomain   string `json:"universe_domain"`
	ClientID         string `json:"client_id"`
	ClientSecret     string `json:"client_secret"`
	ImpersonationURL string `json:"service_account_impersonation_url"`
	Impersonation    struct {
		Lifetime int `json:"token_lifetime_seconds"`
	} `json:"service_account_impersonation"`
	Source *credSource `json:"credential_source"`
}

// credSource says where the foreign identity comes from.
type credSource struct {
	File          string            `json:"file"`
	Executable    json.RawMessage   `json:"executable"`
	Certificate   json.RawMessage   `json:"certificate"`
	URL           string            `json:"url"`
	Headers       map[string]string `json:"headers"`
	EnvironmentID string            `json:"environment_id"`
	RegionURL     string            `json:"region_url"`
	VerifyURL     string            `json:"regional_cred_verification_url"`
	SessionURL    string            `json:"imdsv2_session_token_url"`
	Format        *struct {
		Type  string `json:"type"`
		Field string `json:"subject_token_field_name"`
	} `json:"format"`
}

var (
	tokenURLs         = regexp.MustCompile(`^https://sts\.([a-z0-9-]+\.)*googleapis\.com/v1/token$`)
	impersonationURLs = regexp.MustCompile(`^https://iamcredentials\.(?:[a-z0-9-]+\.)*googleapis\.com/v1/projects/[a-z0-9.:-]+/serviceAccounts/` +
		`([a-z0-9-]+@(?:[a-z0-9-]+\.)+gserviceaccount\.com):generateAccessToken$`)
	verifyURLs = regexp.MustCompile(`^https://sts\.(\{region\}|[a-z0-9-]+)\.amazonaws\.com(\.cn)?/?\?Action=GetCallerIdentity&Version=2011-06-15$`)
)

// readCredConfig turns a configuration into options of the library, or says what it may not ask for. Whoever writes a store writes the
// configuration: the token goes to Google alone, and no file is read and no program run in the controller.
func readCredConfig(raw []byte, wif *stores.GCPWorkloadIdentityFederation) (*externalaccount.Options, string) {
	var c credConfig
	if err := json.Unmarshal(raw, &c); err != nil { // its error would quote the configuration
		return nil, "it is not JSON of an external account"
	}
	if wif.Audience != "" {
		c.Audience = wif.Audience
	}
	if wif.GCPServiceAccountEmail != "" {
		c.ImpersonationURL = impersonation(wif.GCPServiceAccountEmail)
	}
	switch {
	case c.Type != "external_account":
		return nil, "type must be external_account"
	case c.UniverseDomain != "" && c.UniverseDomain != "googleapis.com":
		return nil, "universe_domain must be googleapis.com"
	case c.Audience == "":
		return nil, "audience is required, here or in the store"
	case c.TokenURL != "" && !tokenURLs.MatchString(c.TokenURL):
		return nil, "token_url must be " + tokenService
	case c.ImpersonationURL != "" && !impersonationURLs.MatchString(c.ImpersonationURL):
		return nil, "service_account_impersonation_url must be one of https://iamcredentials.googleapis.com for generateAccessToken of a service account"
	case c.Source == nil:
		return nil, "credential_source is required"
	}
	if err := c.Source.check(wif.ExternalTokenEndpoint); err != nil {
		return nil, err.Error()
	}
	options := &externalaccount.Options{
		Audience: c.Audience, SubjectTokenType: c.SubjectTokenType, TokenURL: c.TokenURL, ClientID: c.ClientID, ClientSecret: c.ClientSecret,
		ServiceAccountImpersonationURL: c.ImpersonationURL, ServiceAccountImpersonationLifetimeSeconds: c.Impersonation.Lifetime,
		CredentialSource: &externalaccount.CredentialSource{
			URL: c.Source.URL, Headers: c.Source.Headers, EnvironmentID: c.Source.EnvironmentID, RegionURL: c.Source.RegionURL,
			RegionalCredVerificationURL: c.Source.VerifyURL, IMDSv2SessionTokenURL: c.Source.SessionURL,
		},
	}
	if options.SubjectTokenType == "" {
		options.SubjectTokenType = typeJWT
	}
	if f := c.Source.Format; f != nil {
		options.CredentialSource.Format = &externalaccount.Format{Type: f.Type, SubjectTokenFieldName: f.Field}
	}
	return options, ""
}

func (s *credSource) check(endpoint string) error {
	switch {
	case set(s.Executable):
		return errors.New("credential_source.executable is not allowed: no program is run")
	case s.File != "" || set(s.Certificate):
		return errors.New("credential_source.file and certificate are not allowed: no file of the controller is read; use serviceAccountRef for the token of a ServiceAccount")
	case s.EnvironmentID != "":
		return s.checkAWS()
	case s.URL == "":
		return errors.New("credential_source must hold url or environment_id")
	case s.URL != endpoint:
		return errors.New("credential_source.url must be the same as externalTokenEndpoint in the store")
	default:
		return nil
	}
}

// set reports whether a field of JSON holds anything.
func set(field json.RawMessage) bool { return len(field) > 0 && string(field) != "null" }

func (s *credSource) checkAWS() error {
	at := func(address, path string) bool {
		u, err := url.Parse(address)
		return err == nil && ofNode(u) && u.Path == path && u.RawQuery == "" && u.Fragment == ""
	}
	switch {
	case s.EnvironmentID != "aws1":
		return errors.New("credential_source.environment_id must be aws1")
	case !at(s.URL, "/latest/meta-data/iam/security-credentials"):
		return errors.New("credential_source.url must be http://169.254.169.254/latest/meta-data/iam/security-credentials")
	case !at(s.RegionURL, "/latest/meta-data/placement/availability-zone"):
		return errors.New("credential_source.region_url must be http://169.254.169.254/latest/meta-data/placement/availability-zone")
	case s.SessionURL != "" && !at(s.SessionURL, "/latest/api/token"):
		return errors.New("credential_source.imdsv2_session_token_url must be http://169.254.169.254/latest/api/token")
	case s.VerifyURL != "" && !verifyURLs.MatchString(s.VerifyURL):
		return errors.New("credential_source.regional_cred_verification_url must ask the STS of AWS for GetCallerIdentity")
	default:
		return nil
	}
}

// withoutQuery returns an address up to its query.
func withoutQuery(address string) string {
	before, _, _ := strings.Cut(address, "?")
	return before
}

// awsKeys are credentials of AWS that are there already.
type awsKeys struct {
	region string
	keys   externalaccount.AwsSecurityCredentials
}

// AwsRegion implements externalaccount.AwsSecurityCredentialsProvider.
func (a *awsKeys) AwsRegion(context.Context, *externalaccount.RequestOptions) (string, error) {
	return a.region, nil
}

// AwsSecurityCredentials implements externalaccount.AwsSecurityCredentialsProvider.
func (a *awsKeys) AwsSecurityCredentials(context.Context, *externalaccount.RequestOptions) (*externalaccount.AwsSecurityCredentials, error) {
	return &a.keys, nil
}

// byAWS signs a request of AWS, by which Google's Security Token Service sees who signed it.
func (l *Login) byAWS(ctx context.Context, wif *stores.GCPWorkloadIdentityFederation) (Identity, error) {
	field := l.field + ".workloadIdentityFederation.awsSecurityCredentials.awsCredentialsSecretRef"
	aws := wif.AWSSecurityCredentials
	read := func(key string) (string, error) {
		sel := stores.SecretKeySelector{Namespace: aws.AWSCredentialsSecretRef.Namespace, Name: aws.AWSCredentialsSecretRef.Name, Key: key}
		return l.creds.Text(ctx, field, sel, "")
	}
	a := &awsKeys{region: aws.Region}
	var err error
	if a.keys.AccessKeyID, err = read("aws_access_key_id"); err != nil {
		return Identity{}, err
	}
	if a.keys.SecretAccessKey, err = read("aws_secret_access_key"); err != nil {
		return Identity{}, err
	}
	ref := providers.ObjectRef{Namespace: aws.AWSCredentialsSecretRef.Namespace, Name: aws.AWSCredentialsSecretRef.Name, Key: "aws_session_token"}
	switch token, err := l.creds.Env.Secret(ctx, ref); {
	case err == nil:
		a.keys.SessionToken = strings.TrimSpace(string(token))
	case !errors.Is(err, providers.ErrNotFound): // keys that last have none
		return Identity{}, fmt.Errorf("%s: %s: %w", l.store, field, err)
	}
	options := &externalaccount.Options{Audience: wif.Audience, SubjectTokenType: typeAWS, AwsSecurityCredentialsProvider: a}
	if wif.GCPServiceAccountEmail != "" {
		options.ServiceAccountImpersonationURL = impersonation(wif.GCPServiceAccountEmail)
	}
	return l.external(ctx, options, whose(options.ServiceAccountImpersonationURL))
}
