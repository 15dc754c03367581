package aws

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// What External Secrets Operator 2.9 sends when it assumes roles, and where EKS says which role a ServiceAccount has.
const (
	sessionName        = "external-secrets-provider-aws"
	roleSeconds        = 900
	annotationRole     = "eks.amazonaws.com/role-arn"
	annotationAudience = "eks.amazonaws.com/audience"
	defaultAudience    = "sts.amazonaws.com"
)

// login obtains the credentials of one store.
type login struct {
	api   api
	spec  *stores.AWS
	creds credential.Reader
}

// obtain returns the credentials of the store's auth, or of the roles that are assumed with them.
func (l login) obtain(ctx context.Context) (identity, error) {
	who, err := l.base(ctx)
	if err != nil {
		return identity{}, err
	}
	for _, role := range l.spec.AdditionalRoles {
		if who, err = l.assume(ctx, who, "additionalRoles", &sts.AssumeRoleInput{RoleArn: aws.String(role)}); err != nil {
			return identity{}, err
		}
	}
	if l.spec.Role == "" {
		return who, nil
	}
	in, err := l.roleInput()
	if err != nil {
		return identity{}, err
	}
	return l.assume(ctx, who, "role", in)
}

// base returns the credentials of auth.
func (l login) base(ctx context.Context) (identity, error) {
	switch auth := l.spec.Auth; {
	case auth.JWT != nil:
		return l.webIdentity(ctx, *auth.JWT.ServiceAccountRef)
	case auth.SecretRef != nil:
		return l.static(ctx, auth.SecretRef)
	default:
		return l.ambient(ctx)
	}
}

// static reads access keys. Whether AWS accepts them shows when they are used.
func (l login) static(ctx context.Context, ref *stores.AWSAuthSecretRef) (identity, error) {
	const field = "auth.secretRef."
	id, err := l.creds.Text(ctx, field+"accessKeyIDSecretRef", *ref.AccessKeyID, "")
	if err != nil {
		return identity{}, err
	}
	key, err := l.creds.Text(ctx, field+"secretAccessKeySecretRef", *ref.SecretAccessKey, "")
	if err != nil {
		return identity{}, err
	}
	token := ""
	if ref.SessionToken != nil {
		if token, err = l.creds.Text(ctx, field+"sessionTokenSecretRef", *ref.SessionToken, ""); err != nil {
			return identity{}, err
		}
	}
	return identity{
		credentials: aws.Credentials{AccessKeyID: id, SecretAccessKey: key, SessionToken: token},
		who:         "the access key in Secret " + ref.AccessKeyID.Name,
	}, nil
}

// webIdentity exchanges a token of a ServiceAccount for credentials of the role that the account is annotated with.
func (l login) webIdentity(ctx context.Context, sel stores.ServiceAccountSelector) (identity, error) {
	const field = "auth.jwt.serviceAccountRef"
	annotations, err := l.creds.Annotations(ctx, field, sel)
	if err != nil {
		return identity{}, err
	}
	role := annotations[annotationRole]
	if role == "" {
		return identity{}, l.api.errorf(providers.ErrInvalid,
			"%s: ServiceAccount %s has no IAM role; annotate it with %s", field, sel.Name, annotationRole)
	}
	sel.Audiences = append([]string{cmp.Or(annotations[annotationAudience], defaultAudience)}, sel.Audiences...)
	token, err := l.creds.Token(ctx, field, sel)
	if err != nil {
		return identity{}, err
	}
	out, err := l.api.sts().AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(role), RoleSessionName: aws.String(sessionName), WebIdentityToken: aws.String(string(token.Value.Bytes())),
	})
	if err != nil {
		return identity{}, l.refused(err, "sts:AssumeRoleWithWebIdentity", role, field, "ServiceAccount "+sel.Name,
			"its trust policy must name the cluster's OIDC provider, the subject of the ServiceAccount and the audience of the token")
	}
	return l.assumed(out.Credentials, role)
}

// roleInput is the request for spec.role, which alone is assumed with the external id and tags.
func (l login) roleInput() (*sts.AssumeRoleInput, error) {
	in := &sts.AssumeRoleInput{RoleArn: aws.String(l.spec.Role), TransitiveTagKeys: slices.Clone(l.spec.TransitiveTagKeys)}
	if l.spec.ExternalID != "" {
		in.ExternalId = aws.String(l.spec.ExternalID)
	}
	namespace := ""
	if tagged(l.spec) {
		var err error
		if namespace, err = l.creds.Env.Namespace(); err != nil {
			return nil, err
		}
	}
	for _, tag := range sessionTags(l.spec, l.api.store, namespace) {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(tag.Key), Value: aws.String(tag.Value)})
	}
	return in, nil
}

// assume assumes a role with the credentials of who.
func (l login) assume(ctx context.Context, who identity, field string, in *sts.AssumeRoleInput) (identity, error) {
	in.RoleSessionName, in.DurationSeconds = aws.String(sessionName), aws.Int32(roleSeconds)
	as := l.api
	as.identity = who
	out, err := as.sts().AssumeRole(ctx, in)
	role := aws.ToString(in.RoleArn)
	if err != nil {
		action, hint := "sts:AssumeRole", "grant it to that identity, and let the role's trust policy name it (and the external id, if it demands one)"
		if len(in.Tags) > 0 {
			action, hint = "sts:AssumeRole with session tags", "grant sts:AssumeRole and sts:TagSession to that identity, and let the role's trust policy allow both"
		}
		return identity{}, l.refused(err, action, role, field, who.who, hint)
	}
	return l.assumed(out.Credentials, role)
}

// assumed is the identity that STS gave.
func (l login) assumed(c *types.Credentials, role string) (identity, error) {
	if c == nil || aws.ToString(c.AccessKeyId) == "" || aws.ToString(c.SecretAccessKey) == "" || aws.ToString(c.SessionToken) == "" || c.Expiration == nil {
		return identity{}, l.api.strange()
	}
	return identity{proven: true, who: "role " + role, credentials: aws.Credentials{
		AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken, CanExpire: true, Expires: *c.Expiration,
	}}, nil
}

// refused explains why STS gave no credentials for a role.
func (l login) refused(err error, action, role, field, who, hint string) error {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		switch code := answer.ErrorCode(); {
		case code == "IDPCommunicationError":
			return l.api.errorf(providers.ErrUnavailable, "AWS STS cannot reach the cluster's OIDC provider")
		case isRejected(code):
			return l.api.errorf(providers.ErrDenied, "%s: AWS STS does not accept the token of %s for role %s: %s", field, who, role, hint)
		case code == "PackedPolicyTooLarge" || code == "PackedPolicyTooLargeException":
			return l.api.errorf(providers.ErrInvalid, "%s: the session tags for role %s are too large; use fewer or shorter ones", field, role)
		case code == "RegionDisabledException":
			return l.api.errorf(providers.ErrInvalid, "AWS STS is not active in region %s for the account of role %s; activate it", l.api.region, role)
		case isDenied(code):
			return l.api.errorf(providers.ErrDenied, "%s: AWS refuses %s on role %s to %s: %s", field, action, role, who, hint)
		}
	}
	err = l.api.explain(err, operation{action: action, on: "role " + role, cure: "its ARN, the external id or the session tags"})
	if errors.Is(err, providers.ErrNotFound) { // that is for documents alone
		return l.api.errorf(providers.ErrInvalid, "%s: AWS has no role %s", field, role)
	}
	return err
}

// ambient returns the credentials of the controller itself, where the SDK looks for them.
func (l login) ambient(ctx context.Context) (identity, error) {
	if !l.api.environment.Ambient {
		return identity{}, l.api.errorf(providers.ErrInvalid, "auth is required: there is no identity of the controller's own here")
	}
	// Connections are not kept, so that none is left when the session ends.
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DisableKeepAlives = true })
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(l.spec.Region), config.WithHTTPClient(client), config.WithLogger(logging.Nop{}),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = client }),
		config.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) {
			o.Client, o.RoleSessionName = l.api.sts(), cmp.Or(o.RoleSessionName, sessionName)
		}),
	)
	if err != nil {
		return identity{}, l.api.errorf(providers.ErrInvalid, "the AWS configuration in the controller's environment cannot be read; check its AWS_... variables and shared files")
	}
	found, err := cfg.Credentials.Retrieve(ctx)
	var answer smithy.APIError
	switch {
	case err == nil:
		return identity{credentials: found, who: "the controller's identity", proven: found.CanExpire}, nil
	case ctx.Err() == nil && errors.As(err, &answer) && (isDenied(answer.ErrorCode()) || isRejected(answer.ErrorCode())):
		return identity{}, l.api.errorf(providers.ErrDenied,
			"AWS refuses the controller's own identity: check the role's trust policy and the controller's AWS_... variables, or set auth in the store")
	default:
		return identity{}, l.api.errorf(providers.ErrUnavailable,
			"the controller has no AWS identity of its own now: give it one (EKS Pod Identity, an annotated ServiceAccount, an instance role, AWS_... variables), or set auth in the store")
	}
}

// isRejected reports whether an error code of STS is about the token of a web identity.
func isRejected(code string) bool {
	return code == "InvalidIdentityToken" || code == "IDPRejectedClaim"
}

// provider makes what the SDK takes of the credentials.
func (i identity) provider() aws.CredentialsProvider {
	if i.credentials.AccessKeyID == "" {
		return aws.AnonymousCredentials{}
	}
	return credentials.StaticCredentialsProvider{Value: i.credentials}
}

// isDenied reports whether an error code says that AWS does not let the identity do something, or does not know it.
func isDenied(code string) bool {
	return code == "AccessDeniedException" || code == "AccessDenied" || code == "UnauthorizedOperation" || strings.HasPrefix(code, "NotAuthorized") || badCredentials(code)
}
