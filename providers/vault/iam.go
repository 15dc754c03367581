package vault

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

const (
	// usualRegion is that of AWS STS when auth.iam names none, as in External Secrets Operator.
	usualRegion = "us-east-1"
	// iamSession is what External Secrets Operator names the sessions of ServiceAccounts' roles.
	iamSession = "external-secrets-provider-vault"
	// headerServerID says which Vault a signed request is for (Vault 1.13, "AWS auth method").
	headerServerID = "X-Vault-AWS-IAM-Server-ID"
	// whoAmI is the body of the request that is signed, whose answer says who has signed it.
	whoAmI = "Action=GetCallerIdentity&Version=2011-06-15"
)

// loginIAM logs in with a request to AWS STS that is signed here and sent there by Vault. For a quarter of an hour that request
// is as good as a password.
func (a api) loginIAM(ctx context.Context, auth *stores.VaultIAMAuth, creds credential.Reader, environment awsidentity.Environment) (login, error) {
	who, err := a.identityOf(ctx, auth, creds, environment)
	if err != nil {
		return login{}, err
	}
	region := cmp.Or(auth.Region, usualRegion)
	address, err := addressOfSTS(ctx, region, environment)
	if err != nil {
		return login{}, a.errorf(providers.ErrInvalid, "auth.iam.region: AWS STS has no address in %s of the kind that the controller's environment asks for", region)
	}
	body, err := signedLogin(ctx, address, region, auth, who.Credentials, time.Now())
	if err != nil {
		return login{}, a.errorf(providers.ErrInvalid, "auth.iam: the request to AWS STS cannot be signed as %s", who.Who)
	}
	return a.loginAt(ctx, mountOr(auth.Path, "aws"), "login", body, func(path string, r *reply) error {
		return a.refusedIAM(path, r, auth, who.Who)
	})
}

// identityOf obtains the identity of AWS that auth names.
func (a api) identityOf(ctx context.Context, auth *stores.VaultIAMAuth, creds credential.Reader, environment awsidentity.Environment) (awsidentity.Identity, error) {
	client, err := environment.Connect(a.store)
	if err != nil {
		return awsidentity.Identity{}, err
	}
	defer client.Close()
	l := awsidentity.Login{
		Caller: awsidentity.Caller{Store: a.store, Region: cmp.Or(auth.Region, usualRegion), HTTP: client, Environment: environment},
		Creds:  creds, Session: iamSession, Field: "auth.iam", Instead: "auth.iam.jwt or auth.iam.secretRef",
	}
	who, err := l.Base(ctx, auth.JWT, auth.SecretRef)
	if err != nil || auth.AWSRole == "" {
		return who, err
	}
	in := &sts.AssumeRoleInput{RoleArn: aws.String(auth.AWSRole)}
	if auth.ExternalID != "" {
		in.ExternalId = aws.String(auth.ExternalID)
	}
	return l.Assume(ctx, who, "auth.iam.role", in)
}

// addressOfSTS is what the signed request is addressed to: always AWS itself, because it is Vault that sends it, to the
// sts_endpoint that it is configured with. Without one that is the global address, which is the one of the usual region.
func addressOfSTS(ctx context.Context, region string, environment awsidentity.Environment) (string, error) {
	endpoint, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sts.EndpointParameters{
		Region: aws.String(region), UseGlobalEndpoint: aws.Bool(region == usualRegion),
		UseFIPS: aws.Bool(environment.FIPS), UseDualStack: aws.Bool(environment.DualStack),
	})
	if err != nil {
		return "", fmt.Errorf("find AWS STS in region %s: %w", region, err)
	}
	return endpoint.URI.Scheme + "://" + endpoint.URI.Host + "/", nil
}

// signedLogin returns the body of a login with a request to the address that is signed at the time.
func signedLogin(ctx context.Context, address, region string, auth *stores.VaultIAMAuth, creds aws.Credentials, at time.Time) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader([]byte(whoAmI)))
	if err != nil {
		return nil, fmt.Errorf("build the request to AWS STS: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if auth.ServerID != "" {
		req.Header.Set(headerServerID, auth.ServerID)
	}
	digest := sha256.Sum256([]byte(whoAmI))
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(digest[:]), "sts", region, at); err != nil {
		return nil, fmt.Errorf("sign the request to AWS STS: %w", err)
	}
	header, err := json.Marshal(req.Header)
	if err != nil {
		return nil, fmt.Errorf("encode the request to AWS STS: %w", err)
	}
	body := map[string]string{
		"iam_http_request_method": req.Method,
		"iam_request_url":         base64.StdEncoding.EncodeToString([]byte(address)),
		"iam_request_body":        base64.StdEncoding.EncodeToString([]byte(whoAmI)),
		"iam_request_headers":     base64.StdEncoding.EncodeToString(header),
	}
	if auth.Role != "" {
		body["role"] = auth.Role
	}
	return body, nil
}

// refusedIAM explains why Vault gives no token for a signed request.
func (a api) refusedIAM(path string, r *reply, auth *stores.VaultIAMAuth, who string) error {
	role, conf := iamRole(auth), path+"/config/client"
	switch {
	case r.says("entry for role"):
		return a.errorf(providers.ErrInvalid, "vault has no %s at %s; create it or correct auth.iam.vaultRole", role, path)
	case r.says("auth method iam not allowed"):
		return a.errorf(providers.ErrInvalid, "vault %s at %s is not for logins by iam; create it with auth_type=iam or correct auth.iam.vaultRole", role, path)
	case r.says("error validating " + headerServerID):
		return a.errorf(providers.ErrDenied,
			"vault at %s is not the server that auth.iam.vaultAwsIamServerID names; set it to iam_server_id_header_value of %s", path, conf)
	case r.says("error making upstream request: received error code") && r.says("<Code>Throttling"):
		return fmt.Errorf("%s: vault: AWS STS: %w", a.store, &providers.ThrottledError{})
	case r.says("error making upstream request: received error code"):
		return a.errorf(providers.ErrDenied, "AWS STS, which vault asks at %s, does not accept what %s has signed: check that these credentials are valid, "+
			"that auth.iam.region is the region of sts_endpoint in %s, and the clock of the controller's node", path, who, conf)
	case r.says("error making upstream request"):
		return a.errorf(providers.ErrUnavailable, "vault cannot reach AWS STS, or what answers it is something else; check sts_endpoint in %s", conf)
	case r.status == http.StatusForbidden:
		return a.errorf(providers.ErrDenied, "vault refuses the login of %s at %s: nothing is mounted there, or %s is bound to other addresses; "+
			"correct auth.iam.path or the role's token_bound_cidrs", who, path, role)
	default:
		return a.errorf(providers.ErrDenied, "vault %s at %s refuses %s; check the role's bound_iam_principal_arn (where that ends with * vault must be "+
			"able to ask AWS IAM; where it was resolved to a unique id the principal may be a new one of the same name), and the mount path", role, path, who)
	}
}

// iamRole names the role to log in as; Vault takes the one that is called as the principal when auth names none.
func iamRole(auth *stores.VaultIAMAuth) string {
	if auth.Role == "" {
		return "role of the principal's name"
	}
	return "role " + strconv.Quote(auth.Role)
}
