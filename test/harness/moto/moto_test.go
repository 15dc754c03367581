package moto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sealbridge/sealbridge/test/harness/moto"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

// starterEnv makes this test binary start a server, print its process id, and wait to be killed.
const starterEnv = "SEALBRIDGE_TEST_STARTER"

func TestMain(m *testing.M) {
	if os.Getenv(starterEnv) != "" {
		server, err := moto.Start(context.Background(), moto.Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(server.PID(), filepath.Dir(server.Log()))
		select {}
	}
	os.Exit(moto.Run(m))
}

func TestNothingIsLeftWhenTheStarterIsKilled(t *testing.T) {
	t.Parallel()
	process.Require(t, "moto")
	process.LeavesNothing(t, starterEnv, 1)
}

func TestAnAccountSeesNothingOfAnother(t *testing.T) {
	t.Parallel()
	server := moto.New(t)
	mine, other := server.Account(t), server.Account(t)
	for _, err := range []error{
		mine.PutSecret(t.Context(), "db", "first"), mine.PutSecret(t.Context(), "db", "second"), mine.PutParameter(t.Context(), "/db", "parameter"),
		other.PutSecret(t.Context(), "db", "theirs"), other.DeleteSecret(t.Context(), "db"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var secret struct{ SecretString string }
	if err := mine.Call(t.Context(), "secretsmanager", "GetSecretValue", map[string]any{"SecretId": "db"}, &secret); err != nil || secret.SecretString != "second" {
		t.Errorf("my secret is %q, %v; want second", secret.SecretString, err)
	}
	var parameter struct{ Parameter struct{ Value string } }
	if err := mine.Call(t.Context(), "ssm", "GetParameter", map[string]any{"Name": "/db", "WithDecryption": true}, &parameter); err != nil || parameter.Parameter.Value != "parameter" {
		t.Errorf("my parameter is %q, %v; want parameter", parameter.Parameter.Value, err)
	}
	for action, input := range map[[2]string]map[string]any{
		{"secretsmanager", "GetSecretValue"}: {"SecretId": "db"},
		{"ssm", "GetParameter"}:              {"Name": "/db"},
	} {
		if err := other.Call(t.Context(), action[0], action[1], input, nil); err == nil || !strings.Contains(err.Error(), "NotFound") {
			t.Errorf("%v of another account: %v, want not found", action, err)
		}
	}
}

func TestARoleIsAssumedByThoseWhomItTrusts(t *testing.T) {
	t.Parallel()
	server := moto.New(t)
	account := server.Account(t)
	verify := func(_ context.Context, token string) (string, error) {
		if subject, ok := strings.CutPrefix(token, "good-"); ok {
			return subject, nil
		}
		return "", errors.New("bad token")
	}
	trusting := account.Role("trusting", moto.Role{Verify: verify, Subject: "app"})
	closed := account.Role("closed", moto.Role{ExternalID: "only-us"})
	for name, test := range map[string]struct {
		form url.Values
		want string
	}{
		"the subject that it trusts":    {form("AssumeRoleWithWebIdentity", trusting, "WebIdentityToken", "good-app"), "<AccessKeyId>"},
		"another subject":               {form("AssumeRoleWithWebIdentity", trusting, "WebIdentityToken", "good-other"), "<Code>AccessDenied</Code>"},
		"a token that is not valid":     {form("AssumeRoleWithWebIdentity", trusting, "WebIdentityToken", "app"), "<Code>InvalidIdentityToken</Code>"},
		"a role without web identities": {form("AssumeRoleWithWebIdentity", closed, "WebIdentityToken", "good-app"), "<Code>AccessDenied</Code>"},
		"a role that nobody declared":   {form("AssumeRoleWithWebIdentity", trusting+"x", "WebIdentityToken", "good-app"), "<Code>AccessDenied</Code>"},
		"the external id":               {form("AssumeRole", closed, "ExternalId", "only-us"), "<AccessKeyId>"},
		"another external id":           {form("AssumeRole", closed, "ExternalId", "others"), "<Code>AccessDenied</Code>"},
	} {
		if got := post(t, server, test.form); !strings.Contains(got, test.want) {
			t.Errorf("%s: the answer is %s, want %s in it", name, got, test.want)
		}
	}
}

func TestRequestsAreListedWithTheirRoleAndWithoutValues(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3e19"
	server := moto.New(t)
	account := server.Account(t)
	if err := account.PutSecret(t.Context(), "db", canary); err != nil {
		t.Fatal(err)
	}
	requests := server.Requests()
	want := moto.Request{Service: "secretsmanager", Action: "CreateSecret", Role: "arn:aws:iam::" + account.ID + ":role/administrator", Region: moto.Region}
	if !slices.Contains(requests, want) {
		t.Errorf("%+v is not in %+v", want, requests)
	}
	for _, private := range append(server.Private(), canary) {
		if strings.Contains(fmt.Sprint(requests), private) {
			t.Error("the list holds a value")
		}
	}
	if !slices.Contains(server.Private(), account.Credentials.SecretAccessKey) {
		t.Error("the account's key is not among what nobody may see")
	}
}

func TestARoleIsRefusedWhatItIsDenied(t *testing.T) {
	t.Parallel()
	account := moto.New(t).Account(t)
	if err := account.PutSecret(t.Context(), "db", "value"); err != nil {
		t.Fatal(err)
	}
	account.Role("administrator", moto.Role{Deny: []string{"secretsmanager:BatchGetSecretValue"}})
	if err := account.Call(t.Context(), "secretsmanager", "BatchGetSecretValue", map[string]any{"SecretIdList": []string{"db"}}, nil); err == nil || !strings.Contains(err.Error(), "AccessDeniedException") {
		t.Errorf("the action that is denied: %v, want AccessDeniedException", err)
	}
	if err := account.Call(t.Context(), "secretsmanager", "GetSecretValue", map[string]any{"SecretId": "db"}, nil); err != nil {
		t.Errorf("another action: %v", err)
	}
}

func TestASecretThatIsMarkedForDeletionIsRefusedInAWSsWords(t *testing.T) {
	t.Parallel()
	account := moto.New(t).Account(t)
	if err := account.PutSecret(t.Context(), "db", "value"); err != nil {
		t.Fatal(err)
	}
	if err := account.Call(t.Context(), "secretsmanager", "DeleteSecret", map[string]any{"SecretId": "db", "RecoveryWindowInDays": 7}, nil); err != nil {
		t.Fatal(err)
	}
	err := account.Call(t.Context(), "secretsmanager", "GetSecretValue", map[string]any{"SecretId": "db"}, nil)
	if err == nil || !strings.Contains(err.Error(), "InvalidRequestException") || !strings.Contains(err.Error(), "was marked for deletion") {
		t.Errorf("%v", err)
	}
}

func form(action, role string, more ...string) url.Values {
	values := url.Values{"Action": {action}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {"test"}}
	for i := 0; i < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	return values
}

func post(t *testing.T, server *moto.Server, form url.Values) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL(), strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if form.Get("Action") == "AssumeRole" { // web identities do not sign
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=nobody/20260101/"+moto.Region+"/sts/aws4_request, SignedHeaders=host, Signature=0")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
