package aws

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/google/go-cmp/cmp"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
)

func TestServicesAreAtAWSsOwnAddressesUnlessTheEnvironmentNamesOne(t *testing.T) {
	t.Parallel()
	for want, tc := range map[string]struct {
		region      string
		environment Environment
	}{
		"https://secretsmanager.eu-west-1.amazonaws.com":                 {"eu-west-1", Environment{}},
		"https://secretsmanager.cn-north-1.amazonaws.com.cn":             {"cn-north-1", Environment{}},
		"https://secretsmanager-fips.us-east-1.amazonaws.com":            {"us-east-1", Environment{FIPS: true}},
		"https://secretsmanager.eusc-de-east-1.api.amazonwebservices.eu": {"eusc-de-east-1", Environment{DualStack: true}},
		"https://secretsmanager.mars-north-9.amazonaws.com":              {"mars-north-9", Environment{}},
		"https://localhost:4566":                                         {"us-east-1", Environment{FIPS: true, Endpoints: Endpoints{SecretsManager: "https://localhost:4566"}}},
		"https://secretsmanager-fips.us-gov-west-1.amazonaws.com":        {"us-gov-west-1", Environment{FIPS: true, Endpoints: Endpoints{ParameterStore: "https://localhost:4566"}}},
	} {
		o := api{awsidentity.Caller{Region: tc.region, Environment: tc.environment}}.secretsManager().Options()
		got, err := secretsmanager.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), secretsmanager.EndpointParameters{
			Region: aws.String(o.Region), Endpoint: o.BaseEndpoint,
			UseFIPS:      aws.Bool(o.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
			UseDualStack: aws.Bool(o.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
		})
		if err != nil || got.URI.String() != want {
			t.Errorf("want %s, got %s, %v", want, got.URI.String(), err)
		}
	}
}

func TestRequestsAreAsFewAsTheirSizeAllows(t *testing.T) {
	t.Parallel()
	a, b, c := providers.Ref{Key: "a"}, providers.Ref{Key: "b"}, providers.Ref{Key: "c"}
	old, tags, none := providers.Ref{Key: "a", Version: "1"}, providers.Ref{Key: "a", Metadata: true}, providers.Ref{}
	for name, tc := range map[string]struct {
		refs []providers.Ref
		size int
		want [][]providers.Ref
	}{
		"nothing":                {nil, 2, nil},
		"each once":              {[]providers.Ref{a, a, a}, 2, [][]providers.Ref{{a}}},
		"some together":          {[]providers.Ref{a, b, c}, 2, [][]providers.Ref{{a, b}, {c}}},
		"one by one":             {[]providers.Ref{a, b}, 1, [][]providers.Ref{{a}, {b}}},
		"what is never together": {[]providers.Ref{a, old, b, tags, none}, 2, [][]providers.Ref{{old}, {tags}, {none}, {a, b}}},
	} {
		if got := plan(tc.refs, tc.size); !cmp.Equal(got, tc.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTheProviderKnowsWhichOfItsSessionsReadTogether(t *testing.T) {
	t.Parallel()
	for _, service := range []stores.AWSService{stores.AWSSecretsManager, stores.AWSParameterStore, stores.AWSCertificateManager} {
		spec := &stores.AWS{Service: service, Region: "eu-west-1"}
		b, ok := newSession(spec, api{awsidentity.Caller{Region: "eu-west-1"}}).(providers.Batcher)
		if want := ok && b.Batch() > 1; (Provider{}).Batches(providers.Config{Spec: spec}) != want {
			t.Errorf("%s reads together: %t", service, want)
		}
	}
	if (Provider{}).Batches(providers.Config{}) {
		t.Error("no configuration reads together")
	}
}

func TestTheARNOfASecretWithoutItsEndNamesIt(t *testing.T) {
	t.Parallel()
	for arn, want := range map[string]string{
		"arn:aws:secretsmanager:eu-west-1:1:secret:db-AbCdEf":  "arn:aws:secretsmanager:eu-west-1:1:secret:db",
		"arn:aws:secretsmanager:eu-west-1:1:secret:db2-AbCdEf": "",
		"arn:aws:secretsmanager:eu-west-1:1:secret:db":         "",
		"db": "", "": "",
	} {
		if got := partialARN("db", arn); got != want {
			t.Errorf("%s: %q", arn, got)
		}
	}
}

func TestAProblemNamesTheField(t *testing.T) {
	t.Parallel()
	sel := &stores.SecretKeySelector{Name: "keys", Key: "k"}
	for field, change := range map[string]func(*stores.AWS){
		"service":                    func(s *stores.AWS) { s.Service = "S3" },
		"region":                     func(s *stores.AWS) { s.Region = "" },
		"auth.jwt.serviceAccountRef": func(s *stores.AWS) { s.Auth.JWT = &stores.AWSJWTAuth{} },
		"auth.jwt.serviceAccountRef.name": func(s *stores.AWS) {
			s.Auth.JWT = &stores.AWSJWTAuth{ServiceAccountRef: &stores.ServiceAccountSelector{}}
		},
		"auth.secretRef.accessKeyIDSecretRef":     func(s *stores.AWS) { s.Auth.SecretRef = &stores.AWSAuthSecretRef{SecretAccessKey: sel} },
		"auth.secretRef.secretAccessKeySecretRef": func(s *stores.AWS) { s.Auth.SecretRef = &stores.AWSAuthSecretRef{AccessKeyID: sel} },
		"auth.secretRef.sessionTokenSecretRef.key": func(s *stores.AWS) {
			s.Auth.SecretRef = &stores.AWSAuthSecretRef{AccessKeyID: sel, SecretAccessKey: sel, SessionToken: &stores.SecretKeySelector{Name: "x"}}
		},
		"additionalRoles":                     func(s *stores.AWS) { s.AdditionalRoles = []string{""} },
		"sessionTagsPolicy":                   func(s *stores.AWS) { s.SessionTagsPolicy = "Some" },
		"secretsManager.recoveryWindowInDays": func(s *stores.AWS) { s.SecretsManager = &stores.AWSSecretsManagerOptions{RecoveryWindowInDays: 31} },
		"secretsManager.forceDeleteWithoutRecovery": func(s *stores.AWS) {
			s.SecretsManager = &stores.AWSSecretsManagerOptions{RecoveryWindowInDays: 7, ForceDeleteWithoutRecovery: true}
		},
	} {
		spec := &stores.AWS{Service: stores.AWSSecretsManager, Region: "eu-west-1"}
		if problems := (Provider{}).Validate(providers.Config{Spec: spec}); len(problems) != 0 {
			t.Fatalf("the valid one: %v", problems)
		}
		change(spec)
		if problems := (Provider{}).Validate(providers.Config{Spec: spec}); len(problems) != 1 || problems[0].Field != field {
			t.Errorf("want a problem with %s, got %v", field, problems)
		}
	}
}

func TestASearchFindsAThousandAndNoMore(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		matches, size int
		fits          bool
	}{{1000, 4 << 20, true}, {1001, 0, false}, {1, 4<<20 + 1, false}} {
		c := &collection{session: &session{}, noun: "secrets", size: tc.size}
		if err := c.fits(tc.matches); (err == nil) != tc.fits || err != nil && !errors.Is(err, providers.ErrInvalid) {
			t.Errorf("%d of %d bytes: %v", tc.matches, tc.size, err)
		}
	}
}
