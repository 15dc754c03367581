package vault_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/providertest"
	"github.com/sealbridge/sealbridge/providers/vault"
	"github.com/sealbridge/sealbridge/test/harness/moto"
	harness "github.com/sealbridge/sealbridge/test/harness/vault"
)

// serverID is what the Vault of these tests wants to be called.
const serverID = "vault.example.com"

// cloud is a Vault that identities of an AWS account log in to, at a mount of its own, with the role "app" for some of them.
type cloud struct {
	server  *harness.Server
	aws     *moto.Server
	account *moto.Account
	mount   string
}

// newCloud lets the principals of an account log in that trusted returns.
func newCloud(t *testing.T, trusted func(*moto.Account) []string) cloud {
	t.Helper()
	c := cloud{server: harness.New(t), aws: moto.New(t)}
	c.account, c.mount = c.aws.Account(t), readable(t, c.server)
	enable(t, c.server, c.mount, "aws")
	c.configure(t, map[string]any{})
	write(t, c.server, "auth/"+c.mount+"/role/app", map[string]any{
		"auth_type": "iam", "bound_iam_principal_arn": trusted(c.account), "resolve_aws_unique_ids": false, "token_policies": c.mount, "token_ttl": "10m",
	})
	return c
}

// configure says to Vault where AWS STS is, and what else is to be different.
func (c cloud) configure(t *testing.T, other map[string]any) {
	t.Helper()
	client := map[string]any{"sts_endpoint": c.aws.URL(), "sts_region": moto.Region, "iam_server_id_header_value": serverID, "max_retries": 0}
	for name, value := range other {
		client[name] = value
	}
	write(t, c.server, "auth/"+c.mount+"/config/client", client)
}

// store is a store that logs in as auth says, to the role "app".
func (c cloud) store(auth stores.VaultIAMAuth) *stores.Vault {
	auth.Path, auth.Role, auth.ServerID, auth.Region = c.mount, "app", serverID, moto.Region
	return &stores.Vault{Server: c.server.Address(), Path: c.mount, Auth: &stores.VaultAuth{IAM: &auth}}
}

// withKeys is a store that logs in with the access key of keyed.
func (c cloud) withKeys(change func(*stores.VaultIAMAuth)) *stores.Vault {
	sel := func(key string) *stores.SecretKeySelector {
		return &stores.SecretKeySelector{Name: "aws-keys", Key: key}
	}
	spec := c.store(stores.VaultIAMAuth{SecretRef: &stores.AWSAuthSecretRef{AccessKeyID: sel("id"), SecretAccessKey: sel("key"), SessionToken: sel("token")}})
	change(spec.Auth.IAM)
	return spec
}

// keyed holds the access key of the account's administrator.
func (c cloud) keyed() *providertest.Env {
	ref := func(key string) providers.ObjectRef { return providers.ObjectRef{Name: "aws-keys", Key: key} }
	keys := c.account.Credentials
	return &providertest.Env{Secrets: map[providers.ObjectRef][]byte{
		ref("id"): []byte(keys.AccessKeyID + "\n"), ref("key"): []byte(keys.SecretAccessKey), ref("token"): []byte(keys.SessionToken),
	}}
}

// provider knows where the STS of these tests is.
func (c cloud) provider() vault.Provider {
	return vault.Provider{AWS: awsidentity.Environment{Endpoints: awsidentity.Endpoints{STS: c.aws.URL()}}}
}

// reads logs in and reads the secret.
func (c cloud) reads(t *testing.T, p vault.Provider, spec *stores.Vault, env providers.Env) {
	t.Helper()
	session, err := p.Open(t.Context(), config(spec), env)
	if err != nil {
		t.Errorf("it does not log in: %v", err)
		return
	}
	defer closeNow(t, session)
	mustRead(t, session)
	e, _ := providers.As[providers.Expirer](session)
	if left := time.Until(e.Expires()); left > 10*time.Minute || left < 9*time.Minute {
		t.Errorf("the session ends in %s, vault's token in ten minutes", left)
	}
}

// refuses logs in, which must fail as one of the class, with the text and without what was signed.
func (c cloud) refuses(t *testing.T, spec *stores.Vault, env providers.Env, class error, want string) {
	t.Helper()
	refusedBy(t, c.provider(), spec, env, class, want)
	_, err := c.provider().Open(t.Context(), config(spec), env)
	for _, private := range append(c.aws.Private(), c.account.Credentials.AccessKeyID, "AWS4-HMAC", "Signature=", "X-Amz-") {
		if err != nil && strings.Contains(err.Error(), private) {
			t.Errorf("the error shows what was signed: %d characters of it", len(private))
		}
	}
}

func administrator(a *moto.Account) []string {
	return []string{"arn:aws:iam::" + a.ID + ":role/administrator"}
}

func TestAnAccessKeyOfAWSLogsIn(t *testing.T) {
	t.Parallel()
	c := newCloud(t, administrator)
	c.reads(t, c.provider(), c.withKeys(func(*stores.VaultIAMAuth) {}), c.keyed())
	write(t, c.server, "auth/"+c.mount+"/role/administrator", map[string]any{
		"auth_type": "iam", "bound_iam_principal_arn": administrator(c.account), "resolve_aws_unique_ids": false, "token_policies": c.mount, "token_ttl": "10m",
	})
	c.reads(t, c.provider(), c.withKeys(func(a *stores.VaultIAMAuth) { a.Role = "" }), c.keyed()) // the role of the principal's name
	c.reads(t, c.provider(), c.withKeys(func(a *stores.VaultIAMAuth) { a.Region = "" }), c.keyed())
	for _, r := range c.aws.Requests() {
		if r.Role == "arn:aws:iam::"+c.account.ID+":role/administrator" && (r.Service != "sts" || r.Action != "GetCallerIdentity") {
			t.Errorf("the identity asks AWS for %s:%s", r.Service, r.Action)
		}
	}
}

// What is not configured is as Vault has it without configuration.
func TestALoginByIAMIsWhereVaultHasItWithoutAnyOtherPlace(t *testing.T) {
	t.Parallel()
	cfg, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		err := json.NewDecoder(r.Body).Decode(&body)
		switch {
		case strings.HasSuffix(r.URL.Path, "/revoke-self"):
			w.WriteHeader(http.StatusNoContent)
		case err != nil || r.URL.Path != "/v1/auth/aws/login" || body["role"] != "app" || body["iam_request_url"] != base64.StdEncoding.EncodeToString([]byte("https://sts.amazonaws.com/")):
			answer(w, http.StatusBadRequest, `{"errors":["it is another login"]}`)
		default:
			answer(w, http.StatusOK, `{"auth":{"client_token":"hvs.x","lease_duration":60,"token_type":"service"}}`)
		}
	})
	keys := cloud{account: &moto.Account{Credentials: moto.Credentials{AccessKeyID: "AKIA", SecretAccessKey: canary, SessionToken: canary}}}
	sel := func(key string) *stores.SecretKeySelector {
		return &stores.SecretKeySelector{Name: "aws-keys", Key: key}
	}
	spec := cfg.Spec.(*stores.Vault)
	spec.Auth = &stores.VaultAuth{IAM: &stores.VaultIAMAuth{Role: "app", SecretRef: &stores.AWSAuthSecretRef{AccessKeyID: sel("id"), SecretAccessKey: sel("key")}}}
	open(t, spec, keys.keyed())
}

func TestALoginByIAMThatVaultRefusesSaysWhatToCheck(t *testing.T) {
	t.Parallel()
	c := newCloud(t, administrator)
	at := "auth/" + c.mount
	write(t, c.server, at+"/role/others", map[string]any{
		"auth_type": "iam", "bound_iam_principal_arn": "arn:aws:iam::" + c.account.ID + ":role/other", "resolve_aws_unique_ids": false,
	})
	write(t, c.server, at+"/role/machines", map[string]any{"auth_type": "ec2", "bound_account_id": c.account.ID})
	for name, tc := range map[string]struct {
		change func(*stores.VaultIAMAuth)
		class  error
		want   string
	}{
		"a principal that is not bound": {func(a *stores.VaultIAMAuth) { a.Role = "others" }, providers.ErrDenied,
			`vault role "others" at ` + at + " refuses the access key in Secret aws-keys; check the role's bound_iam_principal_arn"},
		"a role that does not exist": {func(a *stores.VaultIAMAuth) { a.Role = "nope" }, providers.ErrInvalid,
			`vault has no role "nope" at ` + at + "; create it or correct auth.iam.vaultRole"},
		"no role, and none of the principal's name": {func(a *stores.VaultIAMAuth) { a.Role = "" }, providers.ErrInvalid,
			"vault has no role of the principal's name at " + at},
		"a role of machines": {func(a *stores.VaultIAMAuth) { a.Role = "machines" }, providers.ErrInvalid,
			`vault role "machines" at ` + at + " is not for logins by iam"},
		"no server id": {func(a *stores.VaultIAMAuth) { a.ServerID = "" }, providers.ErrDenied,
			"vault at " + at + " is not the server that auth.iam.vaultAwsIamServerID names; set it to iam_server_id_header_value of " + at + "/config/client"},
		"another server id": {func(a *stores.VaultIAMAuth) { a.ServerID = "other.example.com" }, providers.ErrDenied, "auth.iam.vaultAwsIamServerID"},
		"a mount that is none": {func(a *stores.VaultIAMAuth) { a.Path = c.mount + "-nowhere" }, providers.ErrDenied,
			"vault refuses the login of the access key in Secret aws-keys at " + at + "-nowhere: nothing is mounted there"},
		"half an access key": {func(a *stores.VaultIAMAuth) { a.SecretRef.SecretAccessKey.Key = "none" }, providers.ErrUnavailable,
			"auth.iam.secretRef.secretAccessKeySecretRef: "},
	} {
		t.Run(name, func(t *testing.T) {
			c.refuses(t, c.withKeys(tc.change), c.keyed(), tc.class, tc.want)
		})
	}
	c.reads(t, c.provider(), c.withKeys(func(*stores.VaultIAMAuth) {}), c.keyed())
	c.configure(t, map[string]any{"iam_server_id_header_value": ""})
	c.reads(t, c.provider(), c.withKeys(func(a *stores.VaultIAMAuth) { a.ServerID = "" }), c.keyed())
}

// Where AWS STS is out of reach is Vault's to know, and whether it accepts a signature AWS's.
func TestAnSTSThatVaultCannotUseIsNamed(t *testing.T) {
	t.Parallel()
	c := newCloud(t, administrator)
	spec := c.withKeys(func(*stores.VaultIAMAuth) {})
	answers := func(status int, kind, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			answer(w, status, body)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	says := func(code string) string {
		return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code + `</Code><Message>` + canary + `</Message></Error></ErrorResponse>`
	}
	for _, tc := range []struct {
		endpoint string
		class    error
		want     string
	}{
		{"http://127.0.0.1:1", providers.ErrUnavailable, "vault cannot reach AWS STS, or what answers it is something else; check sts_endpoint in auth/" + c.mount + "/config/client"},
		{answers(http.StatusOK, "text/html", "<Code>Throttling"), providers.ErrUnavailable, "check sts_endpoint"},
		{answers(http.StatusOK, "text/html", canary), providers.ErrUnavailable, "check sts_endpoint"},
		{answers(http.StatusOK, "text/xml", canary), providers.ErrUnavailable, "check sts_endpoint"},
		{answers(http.StatusForbidden, "text/xml", says("InvalidClientTokenId")), providers.ErrDenied,
			"AWS STS, which vault asks at auth/" + c.mount + ", does not accept what the access key in Secret aws-keys has signed: check that these credentials are valid, that auth.iam.region"},
		{answers(http.StatusForbidden, "text/xml", says("SignatureDoesNotMatch")), providers.ErrDenied, "sts_endpoint"},
	} {
		c.configure(t, map[string]any{"sts_endpoint": tc.endpoint})
		c.refuses(t, spec, c.keyed(), tc.class, tc.want)
	}
	c.configure(t, map[string]any{"sts_endpoint": answers(http.StatusBadRequest, "text/xml", says("Throttling"))})
	_, err := c.provider().Open(t.Context(), config(spec), c.keyed())
	if throttled := new(providers.ThrottledError); !errors.As(err, &throttled) || strings.Contains(err.Error(), canary) {
		t.Errorf("an STS that asks to be left alone: %v", err)
	}
}

// annotated is an Env with the ServiceAccount app, whose tokens name their audiences.
func annotated(role string) *providertest.Env {
	return &providertest.Env{
		Accounts: map[providers.AccountRef]map[string]string{{Name: "app"}: {"eks.amazonaws.com/role-arn": role}},
		Token: func(_ context.Context, ref providers.AccountRef, audiences ...string) (providers.Token, error) {
			return providers.Token{Value: providers.NewValue([]byte(canary + ":" + ref.Name + ":" + strings.Join(audiences, ","))), Expires: time.Now().Add(time.Hour)}, nil
		},
	}
}

// verify judges the tokens of annotated, as AWS judges those of a cluster.
func verify(_ context.Context, token string) (string, error) {
	subject, found := strings.CutPrefix(token, canary+":")
	subject, audiences, _ := strings.Cut(subject, ":")
	if !found || audiences != "sts.amazonaws.com" {
		return "", fmt.Errorf("a token for %q", audiences)
	}
	return subject, nil
}

func TestAServiceAccountLogsInAsItsRoleOfAWS(t *testing.T) {
	t.Parallel()
	var role, closed string
	c := newCloud(t, func(a *moto.Account) []string {
		role = a.Role("irsa", moto.Role{Verify: verify, Subject: "app"})
		closed = a.Role("closed", moto.Role{Verify: verify, Subject: "other"})
		return []string{role}
	})
	spec := c.store(stores.VaultIAMAuth{JWT: &stores.AWSJWTAuth{ServiceAccountRef: &stores.ServiceAccountSelector{Name: "app"}}})
	c.reads(t, c.provider(), spec, annotated(role))
	c.refuses(t, spec, annotated(closed), providers.ErrDenied, "auth.iam.jwt.serviceAccountRef: AWS refuses sts:AssumeRoleWithWebIdentity on role "+closed+" to ServiceAccount app")
	c.refuses(t, spec, annotated(""), providers.ErrInvalid, "auth.iam.jwt.serviceAccountRef: ServiceAccount app has no IAM role; annotate it with eks.amazonaws.com/role-arn")

	first := c.withKeys(func(a *stores.VaultIAMAuth) { a.JWT = spec.Auth.IAM.JWT })
	c.reads(t, c.provider(), first, annotated(role)) // of several the ServiceAccount, as with External Secrets Operator
}

func TestARoleOfAWSIsAssumedBeforeTheLogin(t *testing.T) {
	t.Parallel()
	var role string
	c := newCloud(t, func(a *moto.Account) []string {
		role = a.Role("vault-client", moto.Role{ExternalID: "only-us"})
		return []string{role}
	})
	as := func(id string) *stores.Vault {
		return c.withKeys(func(a *stores.VaultIAMAuth) { a.AWSRole, a.ExternalID = role, id })
	}
	c.reads(t, c.provider(), as("only-us"), c.keyed())
	c.refuses(t, as(""), c.keyed(), providers.ErrDenied, "auth.iam.role: AWS refuses sts:AssumeRole on role "+role+" to the access key in Secret aws-keys")
	c.refuses(t, as("others"), c.keyed(), providers.ErrDenied, "external id")
	c.refuses(t, c.withKeys(func(*stores.VaultIAMAuth) {}), c.keyed(), providers.ErrDenied, `vault role "app"`) // without it
}

func TestTheControllersIdentityOfAWSLogsInWhereTheProcessLendsIt(t *testing.T) {
	var role string
	c := newCloud(t, func(a *moto.Account) []string {
		role = a.Role("controller", moto.Role{Verify: verify, Subject: "controller"})
		return append(administrator(a), role)
	})
	spec := c.store(stores.VaultIAMAuth{})
	c.refuses(t, spec, &providertest.Env{}, providers.ErrInvalid, "auth.iam.jwt or auth.iam.secretRef is required")

	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(canary+":controller:sts.amazonaws.com"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := c.account.Credentials
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"AccessKeyId":%q,"SecretAccessKey":%q,"Token":%q,"Expiration":"2126-01-01T00:00:00Z"}`, keys.AccessKeyID, keys.SecretAccessKey, keys.SessionToken)
	}))
	defer agent.Close()
	for name, environment := range map[string]map[string]string{
		"EKS Pod Identity":        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.URL + "/v1/credentials"},
		"IRSA":                    {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": token},
		"keys in the environment": {"AWS_ACCESS_KEY_ID": keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY": keys.SecretAccessKey, "AWS_SESSION_TOKEN": keys.SessionToken},
	} {
		t.Run(name, func(t *testing.T) {
			c.reads(t, lent(t, c.aws, environment), spec, &providertest.Env{})
		})
	}
	t.Run("no identity", func(t *testing.T) {
		refusedBy(t, lent(t, c.aws, nil), spec, &providertest.Env{}, providers.ErrUnavailable, "or set auth.iam.jwt or auth.iam.secretRef in the store")
	})
}

// lent is the provider as the controller has it, with a process environment of the test.
func lent(t *testing.T, server *moto.Server, environment map[string]string) vault.Provider {
	t.Helper()
	for _, variable := range append(server.Environment(), "AWS_CONTAINER_CREDENTIALS_FULL_URI=") {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	for name, value := range environment {
		t.Setenv(name, value)
	}
	return vault.Provider{AWS: awsidentity.ReadEnvironment(os.LookupEnv)}
}
