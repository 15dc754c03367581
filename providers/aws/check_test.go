package aws_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/aws"
)

func TestACheckShowsKeysThatAWSDoesNotAcceptAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		code   string
		denied bool
	}{
		"a key that does not exist":          {403, "InvalidClientTokenId", true},
		"a key that is wrong":                {403, "SignatureDoesNotMatch", true},
		"a token that has expired":           {403, "ExpiredToken", true},
		"an STS that is out of order":        {503, "ServiceUnavailable", false},
		"an STS that asks to be left alone":  {400, "Throttling", false},
		"a proxy that refuses what it hears": {403, "", false},
	} {
		url := serve(t, func(w http.ResponseWriter, c call) {
			if signed := c.Header.Get("Authorization"); !strings.Contains(signed, "/"+region+"/sts/aws4_request") {
				t.Errorf("%s: the request is not signed for STS in the region of the store", name)
			}
			if tc.code == "" {
				w.WriteHeader(tc.status)
				return
			}
			failsXML(w, tc.status, tc.code, "")
		})
		s := open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys()))
		checker, _ := providers.As[providers.Checker](s)
		err := checker.Check(t.Context())
		if errors.Is(err, providers.ErrDenied) != tc.denied || err != nil && (!tc.denied || strings.Contains(err.Error(), canary)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An STS that is out of reach keeps no check waiting, and makes no store that works a broken one.
func TestACheckWaitsForSTSAWhileAndNoLonger(t *testing.T) {
	t.Parallel()
	url := serve(t, func(_ http.ResponseWriter, c call) { <-c.Gone })
	checker, _ := providers.As[providers.Checker](open(t, at(url), keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys())))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := checker.Check(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("%v, as long as there was time: %v", err, ctx.Err())
	}
}

func TestACheckAsksNothingAboutCredentialsThatAWSGave(t *testing.T) {
	t.Parallel()
	forms := make(chan map[string][]string, 2)
	spec := keyStore(stores.AWSParameterStore)
	spec.Role = "arn:aws:iam::1:role/app"
	s := open(t, at(serve(t, stsAnswers(forms))), spec, keyEnv(fakeKeys()))
	checker, _ := providers.As[providers.Checker](s)
	if err := checker.Check(t.Context()); err != nil || len(forms) != 1 {
		t.Errorf("%v after %d requests", err, len(forms))
	}
}

func TestTheEnvironmentSaysWhereAWSIs(t *testing.T) {
	t.Parallel()
	lookup := func(set map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) {
			v, ok := set[name]
			return v, ok
		}
	}
	for name, tc := range map[string]struct {
		set  map[string]string
		want aws.Environment
	}{
		"nothing": {nil, aws.Environment{Ambient: true}},
		"one for all": {map[string]string{"AWS_ENDPOINT_URL": "a"},
			aws.Environment{Ambient: true, Endpoints: aws.Endpoints{SecretsManager: "a", ParameterStore: "a", CertificateManager: "a", STS: "a"}}},
		"those of the SDK": {map[string]string{"AWS_ENDPOINT_URL": "a", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "b", "AWS_ENDPOINT_URL_SSM": "c", "AWS_ENDPOINT_URL_ACM": "d", "AWS_ENDPOINT_URL_STS": "e"},
			aws.Environment{Ambient: true, Endpoints: aws.Endpoints{SecretsManager: "b", ParameterStore: "c", CertificateManager: "d", STS: "e"}}},
		"those of the operator": {map[string]string{"AWS_ENDPOINT_URL": "a", "AWS_SECRETSMANAGER_ENDPOINT": "b", "AWS_SSM_ENDPOINT": "c", "AWS_ACM_ENDPOINT": "d", "AWS_STS_ENDPOINT": "e", "AWS_ENDPOINT_URL_STS": "f"},
			aws.Environment{Ambient: true, Endpoints: aws.Endpoints{SecretsManager: "b", ParameterStore: "c", CertificateManager: "d", STS: "e"}}},
		"ignored": {map[string]string{"AWS_ENDPOINT_URL": "a", "AWS_STS_ENDPOINT": "e", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
			aws.Environment{Ambient: true, Endpoints: aws.Endpoints{STS: "e"}}},
		"the kind of AWS's own": {map[string]string{"AWS_USE_FIPS_ENDPOINT": "TRUE", "AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_CA_BUNDLE": "/ca"},
			aws.Environment{Ambient: true, FIPS: true, DualStack: true, CABundle: "/ca"}},
	} {
		if got := aws.ReadEnvironment(lookup(tc.set)); got != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAnEndpointOrBundleThatCannotBeOneOpensNothing(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(none, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	opens := func(environment aws.Environment, says string) {
		t.Helper()
		_, err := aws.Provider{Environment: environment}.Open(t.Context(), config(keyStore(stores.AWSSecretsManager)), keyEnv(fakeKeys()))
		if !errors.Is(err, providers.ErrInvalid) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), canary) {
			t.Errorf("%+v: %v", environment, err)
		}
	}
	for _, address := range []string{
		"localhost:4566", "https://", "https://:443", "ftp://localhost", "https://[::1", "https://" + canary + "@localhost", "https://localhost?" + canary, "https://localhost#" + canary,
	} {
		opens(aws.Environment{Endpoints: aws.Endpoints{SecretsManager: address}}, "AWS_..._ENDPOINT")
		opens(aws.Environment{Endpoints: aws.Endpoints{STS: address}}, "AWS_..._ENDPOINT")
	}
	opens(aws.Environment{CABundle: "/nowhere/ca.pem"}, "AWS_CA_BUNDLE of the controller cannot be read")
	opens(aws.Environment{CABundle: none}, none+", holds no PEM certificate")
}

func TestAWSIsWhoeverHasACertificateOfTheBundle(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { says(w, http.StatusOK, secretAnswer("db")) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	p := at(server.URL)
	_, err := open(t, p, keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys())).Fetch(t.Context(), []providers.Ref{{Key: "db"}})
	if !errors.Is(err, providers.ErrUnavailable) || !strings.Contains(err.Error(), "set AWS_CA_BUNDLE for the controller") {
		t.Errorf("of an authority that nobody knows: %v", err)
	}
	p.Environment.CABundle = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(p.Environment.CABundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := value(t, open(t, p, keyStore(stores.AWSSecretsManager), keyEnv(fakeKeys())), providers.Ref{Key: "db"}, "k"); got != canary+"db" {
		t.Errorf("the value is %q", got)
	}
}
