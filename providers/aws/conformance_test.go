package aws_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/aws"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/moto"
)

// fixed is a provider whose stores have their own endpoints: the suite has one provider for all of them.
type fixed struct{ aws.Provider }

// somewhere are the configurations of the suite, with the address of their service.
type somewhere struct {
	*stores.AWS
	url string
}

func unwrap(cfg providers.Config) (aws.Provider, providers.Config) {
	s, ok := cfg.Spec.(somewhere)
	if !ok {
		return aws.Provider{}, cfg
	}
	cfg.Spec = s.AWS
	return at(s.url), cfg
}

func TestSecretsManagerConforms(t *testing.T) {
	conform(t, stores.AWSSecretsManager, (*moto.Account).PutSecret)
}

func TestParameterStoreConforms(t *testing.T) {
	conform(t, stores.AWSParameterStore, (*moto.Account).PutParameter)
}

// conform runs the suite with access keys in one account and a role of another.
func conform(t *testing.T, service stores.AWSService, put func(a *moto.Account, ctx context.Context, name, value string) error) {
	t.Helper()
	server := moto.New(t)
	both := [2]*moto.Account{server.Account(t), server.Account(t)}
	own := func(url string, spec *stores.AWS, keys sdk.Credentials) (providers.Config, providers.Env) {
		return providers.Config{Store: store, Spec: somewhere{spec, url}}, keyEnv(keys)
	}
	handled := func(t *testing.T, handler http.HandlerFunc) (providers.Config, providers.Env) {
		t.Helper()
		url := serve(t, func(w http.ResponseWriter, c call) {
			if c.Action == "GetCallerIdentity" {
				failsXML(w, http.StatusServiceUnavailable, "ServiceUnavailable", "")
				return
			}
			handler(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
		})
		return own(url, keyStore(service), fakeKeys())
	}
	providertest.Run(t, providertest.Harness{
		Provider: fixed{},
		Configs: [2]func(*testing.T) (providers.Config, providers.Env){
			func(*testing.T) (providers.Config, providers.Env) {
				return own(server.URL(), keyStore(service), keysOf(both[0].Credentials))
			},
			func(*testing.T) (providers.Config, providers.Env) {
				spec := keyStore(service)
				spec.Role = both[1].Role("app", moto.Role{})
				return own(server.URL(), spec, keysOf(both[0].Credentials))
			},
		},
		Put: func(t *testing.T, i int, name string, fields map[string]string) providers.Ref {
			t.Helper()
			content, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			if err := put(both[i], t.Context(), name, string(content)); err != nil {
				t.Fatal(err)
			}
			return providers.Ref{Key: name}
		},
		Missing: providers.Ref{Key: "nowhere"},
		Hang: func(t *testing.T) (providers.Config, providers.Env) {
			t.Helper()
			return own(hanging(t), keyStore(service), fakeKeys())
		},
		HTTP:   handled,
		Faults: faults(service, own),
		Ambient: map[string]func(*testing.T) (providers.Config, providers.Env){
			"without auth": func(*testing.T) (providers.Config, providers.Env) {
				return own(server.URL(), &stores.AWS{Service: service, Region: region}, fakeKeys())
			},
			"without auth, with roles": func(*testing.T) (providers.Config, providers.Env) {
				role := both[0].Role("app", moto.Role{})
				return own(server.URL(), &stores.AWS{Service: service, Region: region, Role: role, AdditionalRoles: []string{role}}, fakeKeys())
			},
		},
		Invalid: map[string]providers.Config{
			"aws":     {Store: store},
			"service": config(&stores.AWS{Service: canary, Region: region}),
			"region":  config(&stores.AWS{Service: service, Region: "eu-west-1.example.com/" + canary}),
		},
	})
}

// hanging is a server that takes requests and answers none.
func hanging(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // until then the server does not notice that the client has gone
		<-r.Context().Done()
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// faults are what AWS, or something between, can answer.
func faults(service stores.AWSService, own func(string, *stores.AWS, sdk.Credentials) (providers.Config, providers.Env)) map[string]providertest.Fault {
	answering := func(do func(w http.ResponseWriter)) func(*testing.T) (providers.Config, providers.Env) {
		return func(t *testing.T) (providers.Config, providers.Env) {
			t.Helper()
			return own(serve(t, func(w http.ResponseWriter, _ call) { do(w) }), keyStore(service), fakeKeys())
		}
	}
	failing := func(status int, code, message string) func(*testing.T) (providers.Config, providers.Env) {
		return answering(func(w http.ResponseWriter) { fails(w, status, code, message) })
	}
	raw := func(status int, body string) func(*testing.T) (providers.Config, providers.Env) {
		return answering(func(w http.ResponseWriter) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
	action := map[stores.AWSService]string{stores.AWSSecretsManager: "secretsmanager:GetSecretValue", stores.AWSParameterStore: "ssm:GetParameter"}[service]
	return map[string]providertest.Fault{
		"nothing listens": {Class: providers.ErrUnavailable, Says: []string{store, "http://127.0.0.1:1", "refuses connections"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return own("http://127.0.0.1:1", keyStore(service), fakeKeys())
			}},
		"the name does not resolve": {Class: providers.ErrUnavailable, Says: []string{"cannot be resolved"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return own("https://aws.invalid", keyStore(service), fakeKeys())
			}},
		"the address is link-local": {Class: providers.ErrUnavailable, Says: []string{"link-local"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return own("http://169.254.169.254", keyStore(service), fakeKeys())
			}},
		"the Secret with the key is missing": {Class: providers.ErrUnavailable, Says: []string{"auth.secretRef.accessKeyIDSecretRef", "aws-keys"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				cfg, _ := own("http://127.0.0.1:1", keyStore(service), fakeKeys())
				return cfg, &providertest.Env{}
			}},
		"the token is no text": {Class: providers.ErrInvalid, Says: []string{"auth.secretRef.sessionTokenSecretRef"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return own("http://127.0.0.1:1", keyStore(service), sdk.Credentials{AccessKeyID: "AKIA", SecretAccessKey: canary, SessionToken: canary + "\x00"})
			}},
		"the key is no text": {Class: providers.ErrInvalid, Says: []string{"auth.secretRef.secretAccessKeySecretRef"},
			Open: func(*testing.T) (providers.Config, providers.Env) {
				return own("http://127.0.0.1:1", keyStore(service), sdk.Credentials{AccessKeyID: "AKIA", SecretAccessKey: canary + "\x00", SessionToken: "x"})
			}},
		"a role that is refused": {Class: providers.ErrDenied, Says: []string{"role: AWS refuses sts:AssumeRole on role x"},
			Open: func(t *testing.T) (providers.Config, providers.Env) {
				t.Helper()
				spec := keyStore(service)
				spec.Role = "x"
				return own(serve(t, func(w http.ResponseWriter, _ call) { failsXML(w, http.StatusForbidden, "AccessDenied", "") }), spec, fakeKeys())
			}},
		"throttled": {Throttled: true, Says: []string{"throttled by the store"}, Open: failing(400, "ThrottlingException", "Rate exceeded")},
		"an unknown key": {Class: providers.ErrDenied, Says: []string{"does not accept the credentials", "the access key in Secret aws-keys"},
			Open: failing(400, "UnrecognizedClientException", "The security token included in the request is invalid.")},
		"a wrong key": {Class: providers.ErrDenied, Says: []string{"does not accept the credentials"},
			Open: failing(400, "InvalidSignatureException", "The request signature we calculated does not match")},
		"a clock that is wrong": {Class: providers.ErrDenied, Says: []string{"set the clock"},
			Open: failing(400, "InvalidSignatureException", "Signature expired: 20261126T000000Z is now earlier than")},
		"an expired token": {Class: providers.ErrDenied, Says: []string{"have expired"}, Open: failing(400, "ExpiredTokenException", "The security token included in the request is expired")},
		"no right": {Class: providers.ErrDenied, Says: []string{action, `"nowhere"`, "the access key in Secret aws-keys", "grant it"},
			Open: failing(400, "AccessDeniedException", "User: arn:aws:iam::123456789012:user/x is not authorized to perform: "+action)},
		"no right to the key": {Class: providers.ErrDenied, Says: []string{"kms:Decrypt", `"nowhere"`}, Open: failing(400, "AccessDeniedException", "Access to KMS is not allowed")},
		"no right to decrypt": {Class: providers.ErrDenied, Says: []string{"kms:Decrypt"},
			Open: failing(400, "AccessDeniedException", "User: x is not authorized to perform: kms:Decrypt on resource: y")},
		"an invalid request":          {Class: providers.ErrInvalid, Says: []string{"ValidationException", `"nowhere"`}, Open: failing(400, "ValidationException", "Invalid name")},
		"an internal error":           {Class: providers.ErrUnavailable, Says: []string{"500"}, Open: failing(500, "InternalServiceError", "")},
		"an outage":                   {Class: providers.ErrUnavailable, Says: []string{"503"}, Open: failing(503, "ServiceUnavailable", "")},
		"another service":             {Class: providers.ErrUnavailable, Says: []string{"does not know " + action}, Open: failing(400, "UnknownOperationException", "")},
		"a page instead of an answer": {Class: providers.ErrUnavailable, Says: []string{"not one of AWS's"}, Open: raw(200, "<html>"+canary)},
		"a page that was not found":   {Class: providers.ErrUnavailable, Says: []string{"not one of AWS's"}, Open: raw(404, "<html>"+canary)},
		"JSON that was not found":     {Class: providers.ErrUnavailable, Says: []string{"not one of AWS's"}, Open: raw(404, `{"detail":"`+canary+`"}`)},
		"a refusal by a proxy":        {Class: providers.ErrUnavailable, Says: []string{"not one of AWS's"}, Open: raw(403, "<html>"+canary)},
		"JSON of something else":      {Class: providers.ErrUnavailable, Says: []string{"not one of AWS's"}, Open: raw(200, `{"k":"`+canary+`"}`)},
		"an answer that is cut off":   {Class: providers.ErrUnavailable, Says: []string{"not one of AWS's"}, Open: raw(200, `{"ARN":"a","Name":"nowhere","SecretString":"`+canary)},
		"an answer that is not UTF-8": {Class: providers.ErrUnavailable, Says: []string{"not one of AWS's"}, Open: raw(200, "{\"ARN\":\"a\",\"Name\":\"nowhere\",\"SecretString\":\"\xff"+canary+"\"}")},
		"an answer of 5 MiB": {Class: providers.ErrInvalid, Says: []string{"larger than 4 MiB", `"nowhere"`},
			Open: raw(200, `{"ARN":"a","Name":"nowhere","SecretString":"`+strings.Repeat(canary, 5<<20/len(canary))+`"}`)},
	}
}

// Validate implements providers.Provider.
func (fixed) Validate(cfg providers.Config) []providers.Problem {
	p, cfg := unwrap(cfg)
	return p.Validate(cfg)
}

// Ambient implements providers.Provider.
func (fixed) Ambient(cfg providers.Config) *providers.Ambient {
	p, cfg := unwrap(cfg)
	return p.Ambient(cfg)
}

// Batches implements providers.Batching.
func (fixed) Batches(cfg providers.Config) bool {
	p, cfg := unwrap(cfg)
	return p.Batches(cfg)
}

// Open implements providers.Provider.
func (fixed) Open(ctx context.Context, cfg providers.Config, env providers.Env) (providers.Session, error) {
	p, cfg := unwrap(cfg)
	return p.Open(ctx, cfg, env)
}
