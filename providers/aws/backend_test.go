package aws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/aws"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/test/harness/moto"
)

func TestMain(m *testing.M) { os.Exit(moto.Run(m)) }

const (
	canary = providertest.Canary
	region = moto.Region
	store  = "SecretStore team-a/aws"
)

// at is the provider with all services at one address.
func at(url string) aws.Provider {
	return aws.Provider{Environment: aws.Environment{Endpoints: aws.Endpoints{SecretsManager: url, ParameterStore: url, CertificateManager: url, STS: url}}}
}

func config(spec *stores.AWS) providers.Config { return providers.Config{Store: store, Spec: spec} }

func selector(key string) *stores.SecretKeySelector {
	return &stores.SecretKeySelector{Name: "aws-keys", Key: key}
}

// keyStore is a store with the access key of keyEnv.
func keyStore(service stores.AWSService) *stores.AWS {
	return &stores.AWS{Service: service, Region: region, Auth: stores.AWSAuth{SecretRef: &stores.AWSAuthSecretRef{
		AccessKeyID: selector("id"), SecretAccessKey: selector("key"), SessionToken: selector("token"),
	}}}
}

func keyEnv(keys sdk.Credentials) *providertest.Env {
	ref := func(key string) providers.ObjectRef { return providers.ObjectRef{Name: "aws-keys", Key: key} }
	return &providertest.Env{Secrets: map[providers.ObjectRef][]byte{
		ref("id"): []byte(keys.AccessKeyID + "\n"), ref("key"): []byte(keys.SecretAccessKey), ref("token"): []byte(keys.SessionToken),
	}}
}

func fakeKeys() sdk.Credentials {
	return sdk.Credentials{AccessKeyID: "AKIA" + canary, SecretAccessKey: canary + "-key", SessionToken: canary + "-token"}
}

// keysOf are the credentials of an account.
func keysOf(c moto.Credentials) sdk.Credentials {
	return sdk.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}
}

// reader declares a role of an account and returns its credentials, by which the requests are known that a test makes.
func reader(t *testing.T, server *moto.Server, a *moto.Account, role moto.Role) (arn string, keys sdk.Credentials) {
	t.Helper()
	arn = a.Role("reader", role)
	client := sts.New(sts.Options{Region: region, BaseEndpoint: sdk.String(server.URL()), Credentials: credentials.StaticCredentialsProvider{Value: keysOf(a.Credentials)}})
	in := &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: sdk.String("test")}
	out, err := client.AssumeRole(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return arn, sdk.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}
}

// actions are what a role has asked the server for, one after the other.
func actions(server *moto.Server, role string) []string {
	var asked []string
	for _, r := range server.Requests() {
		if r.Role == role {
			asked = append(asked, r.Action)
		}
	}
	return asked
}

// open opens a session that is closed when the test ends.
func open(t *testing.T, p aws.Provider, spec *stores.AWS, env providers.Env) providers.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := p.Open(ctx, config(spec), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.(io.Closer).Close(); err != nil { //nolint:forcetypeassert // all sessions of this provider are
			t.Error(err)
		}
	})
	return session
}

// openIn opens a session with the access key of an account.
func openIn(t *testing.T, server *moto.Server, a *moto.Account, spec *stores.AWS) providers.Session {
	t.Helper()
	return open(t, at(server.URL()), spec, keyEnv(keysOf(a.Credentials)))
}

// do asks a service for an action as the account's administrator.
func do(t *testing.T, a *moto.Account, service, action string, in map[string]any, out any) {
	t.Helper()
	if err := a.Call(t.Context(), service, action, in, out); err != nil {
		t.Fatal(err)
	}
}

// fetch reads refs, and fails the test when that fails as a whole.
func fetch(t *testing.T, s providers.Session, refs ...providers.Ref) []providers.Result {
	t.Helper()
	results, err := s.Fetch(t.Context(), refs)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// value reads one property of one document.
func value(t *testing.T, s providers.Session, ref providers.Ref, property string) string {
	t.Helper()
	r := fetch(t, s, ref)[0]
	if r.Err != nil {
		t.Errorf("%+v: %v", ref, r.Err)
		return ""
	}
	v, err := r.Document.Value(property)
	if err != nil {
		t.Errorf("%+v, property %q: %v", ref, property, err)
	}
	return string(v.Bytes())
}

// call is one request that a server of our own was asked.
type call struct {
	// Action is the last part of X-Amz-Target, or the Action of a form.
	Action string
	Body   map[string]any
	Form   map[string][]string
	Header http.Header
	// Gone is closed when whoever asks has gone.
	Gone <-chan struct{}
}

// serve starts a server of our own, for what the real one does not show. It answers each call as do says.
func serve(t *testing.T, do func(w http.ResponseWriter, c call)) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := call{Header: r.Header, Gone: r.Context().Done()}
		if target := r.Header.Get("X-Amz-Target"); target != "" {
			c.Action = target[strings.LastIndex(target, ".")+1:]
			_ = json.NewDecoder(r.Body).Decode(&c.Body)
		} else {
			_ = r.ParseForm()
			c.Action, c.Form = r.PostForm.Get("Action"), r.PostForm
		}
		do(w, c)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// says answers with JSON.
func says(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// fails answers with an error of AWS.
func fails(w http.ResponseWriter, status int, code, message string) {
	says(w, status, map[string]string{"__type": code, "message": message + " " + canary})
}

// failsXML answers with an error of STS.
func failsXML(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s %s</Message></Error><RequestId>x</RequestId></ErrorResponse>`, code, message, canary)
}

// secretAnswer is what AWS answers for a secret.
func secretAnswer(name string) map[string]any {
	return map[string]any{
		"ARN": "arn:aws:secretsmanager:" + region + ":123456789012:secret:" + name + "-AbCdEf", "Name": name,
		"VersionId": "00000000-0000-0000-0000-000000000001", "SecretString": `{"k":"` + canary + name + `"}`,
	}
}
