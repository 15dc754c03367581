package awsidentity

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/internal/proxy"
	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/credential"
)

// What External Secrets Operator 2.9 asks for when it assumes roles, and where EKS says which role a ServiceAccount has.
const (
	roleSeconds        = 900
	annotationRole     = "eks.amazonaws.com/role-arn"
	annotationAudience = "eks.amazonaws.com/audience"
	defaultAudience    = "sts.amazonaws.com"
)

// Login obtains an identity of AWS for one store.
type Login struct {
	// Caller says where AWS is; its identity has no meaning.
	Caller Caller
	Creds  credential.Reader
	// Session is what the sessions of roles are named.
	Session string
	// Field is the path of the struct that has secretRef and jwt below spec.provider.<name>, for messages.
	Field string
	// Instead is what a store has to set that shall not use the controller's own identity, for messages.
	Instead string
}

// Base returns the identity that jwt names, else the one of ref, else the controller's own.
func (l Login) Base(ctx context.Context, jwt *stores.AWSJWTAuth, ref *stores.AWSAuthSecretRef) (Identity, error) {
	if own := Ambient(l.Field, jwt, ref); own != nil {
		return l.ambient(ctx, *own)
	}
	if jwt != nil {
		return l.webIdentity(ctx, *jwt.ServiceAccountRef)
	}
	return l.static(ctx, ref)
}

// static reads access keys. Whether AWS accepts them shows when they are used.
func (l Login) static(ctx context.Context, ref *stores.AWSAuthSecretRef) (Identity, error) {
	field := l.Field + ".secretRef."
	id, err := l.Creds.Text(ctx, field+"accessKeyIDSecretRef", *ref.AccessKeyID, "")
	if err != nil {
		return Identity{}, err
	}
	key, err := l.Creds.Text(ctx, field+"secretAccessKeySecretRef", *ref.SecretAccessKey, "")
	if err != nil {
		return Identity{}, err
	}
	token := ""
	if ref.SessionToken != nil {
		if token, err = l.Creds.Text(ctx, field+"sessionTokenSecretRef", *ref.SessionToken, ""); err != nil {
			return Identity{}, err
		}
	}
	return Identity{
		Credentials: aws.Credentials{AccessKeyID: id, SecretAccessKey: key, SessionToken: token},
		Who:         "the access key in Secret " + ref.AccessKeyID.Name,
	}, nil
}

// webIdentity exchanges a token of a ServiceAccount for credentials of the role that the account is annotated with.
func (l Login) webIdentity(ctx context.Context, sel stores.ServiceAccountSelector) (Identity, error) {
	field := l.Field + ".jwt.serviceAccountRef"
	annotations, err := l.Creds.Annotations(ctx, field, sel)
	if err != nil {
		return Identity{}, err
	}
	role := annotations[annotationRole]
	if role == "" {
		return Identity{}, l.Caller.Errorf(providers.ErrInvalid,
			"%s: ServiceAccount %s has no IAM role; annotate it with %s", field, sel.Name, annotationRole)
	}
	sel.Audiences = append([]string{cmp.Or(annotations[annotationAudience], defaultAudience)}, sel.Audiences...)
	token, err := l.Creds.Token(ctx, field, sel)
	if err != nil {
		return Identity{}, err
	}
	out, err := l.Caller.STS().AssumeRoleWithWebIdentity(ctx, &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String(role), RoleSessionName: aws.String(l.Session), WebIdentityToken: aws.String(string(token.Value.Bytes())),
	})
	if err != nil {
		return Identity{}, l.refused(err, "sts:AssumeRoleWithWebIdentity", role, field, "ServiceAccount "+sel.Name,
			"its trust policy must name the cluster's OIDC provider, the subject of the ServiceAccount and the audience of the token")
	}
	return l.assumed(out.Credentials, role)
}

// Assume assumes a role with the credentials of who; in holds its ARN and what goes along. field is where the store names it.
func (l Login) Assume(ctx context.Context, who Identity, field string, in *sts.AssumeRoleInput) (Identity, error) {
	in.RoleSessionName, in.DurationSeconds = aws.String(l.Session), aws.Int32(roleSeconds)
	as := l.Caller
	as.Identity = who
	out, err := as.STS().AssumeRole(ctx, in)
	role := aws.ToString(in.RoleArn)
	if err != nil {
		action, hint := "sts:AssumeRole", "grant it to that identity, and let the role's trust policy name it (and the external id, if it demands one)"
		if len(in.Tags) > 0 {
			action, hint = "sts:AssumeRole with session tags", "grant sts:AssumeRole and sts:TagSession to that identity, and let the role's trust policy allow both"
		}
		return Identity{}, l.refused(err, action, role, field, who.Who, hint)
	}
	return l.assumed(out.Credentials, role)
}

// assumed is the identity that STS gave.
func (l Login) assumed(c *types.Credentials, role string) (Identity, error) {
	if c == nil || aws.ToString(c.AccessKeyId) == "" || aws.ToString(c.SecretAccessKey) == "" || aws.ToString(c.SessionToken) == "" || c.Expiration == nil {
		return Identity{}, l.Caller.Strange()
	}
	return Identity{Proven: true, Who: "role " + role, Credentials: aws.Credentials{
		AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken, CanExpire: true, Expires: *c.Expiration,
	}}, nil
}

// refused explains why STS gave no credentials for a role.
func (l Login) refused(err error, action, role, field, who, hint string) error {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		switch code := answer.ErrorCode(); {
		case code == "IDPCommunicationError":
			return l.Caller.Errorf(providers.ErrUnavailable, "AWS STS cannot reach the cluster's OIDC provider")
		case isRejected(code):
			return l.Caller.Errorf(providers.ErrDenied, "%s: AWS STS does not accept the token of %s for role %s: %s", field, who, role, hint)
		case code == "PackedPolicyTooLarge" || code == "PackedPolicyTooLargeException":
			return l.Caller.Errorf(providers.ErrInvalid, "%s: the session tags for role %s are too large; use fewer or shorter ones", field, role)
		case code == "RegionDisabledException":
			return l.Caller.Errorf(providers.ErrInvalid, "AWS STS is not active in region %s for the account of role %s; activate it", l.Caller.Region, role)
		case isDenied(code):
			return l.Caller.Errorf(providers.ErrDenied, "%s: AWS refuses %s on role %s to %s: %s", field, action, role, who, hint)
		}
	}
	err = l.Caller.Explain(err, Operation{Action: action, On: "role " + role, Cure: "its ARN, the external id or the session tags"})
	if errors.Is(err, providers.ErrNotFound) { // that is for documents alone
		return l.Caller.Errorf(providers.ErrInvalid, "%s: AWS has no role %s", field, role)
	}
	return err
}

// ambient returns the credentials of the controller itself, where the SDK looks for them, if the store may use them.
func (l Login) ambient(ctx context.Context, own providers.Ambient) (Identity, error) {
	if err := l.Creds.Env.Ambient(own); err != nil {
		return Identity{}, err
	}
	if !l.Caller.Environment.Ambient {
		return Identity{}, l.Caller.Errorf(providers.ErrInvalid, "%s is required: there is no identity of the controller's own here", l.Instead)
	}
	// Connections are not kept, so that none is left when the session ends.
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DisableKeepAlives = true
		proxy.Use(t) // which lets no proxy give the credentials of a node
	})
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(l.Caller.Region), config.WithHTTPClient(client), config.WithLogger(logging.Nop{}),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithEndpointCredentialOptions(func(o *endpointcreds.Options) { o.HTTPClient = client }),
		config.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) {
			o.Client, o.RoleSessionName = l.Caller.STS(), cmp.Or(o.RoleSessionName, l.Session)
		}),
	)
	if err != nil {
		return Identity{}, l.Caller.Errorf(providers.ErrInvalid, "the AWS configuration in the controller's environment cannot be read; check its AWS_... variables and shared files")
	}
	found, err := cfg.Credentials.Retrieve(ctx)
	var answer smithy.APIError
	switch {
	case err == nil:
		return Identity{Credentials: found, Who: "the controller's identity", Proven: found.CanExpire}, nil
	case ctx.Err() == nil && errors.As(err, &answer) && (isDenied(answer.ErrorCode()) || isRejected(answer.ErrorCode())):
		return Identity{}, l.Caller.Errorf(providers.ErrDenied,
			"AWS refuses the controller's own identity: check the role's trust policy and the controller's AWS_... variables, or set %s in the store", l.Instead)
	default:
		return Identity{}, l.Caller.Errorf(providers.ErrUnavailable,
			"the controller has no AWS identity of its own now: give it one (EKS Pod Identity, an annotated ServiceAccount, an instance role, AWS_... variables), or set %s in the store", l.Instead)
	}
}

// isRejected reports whether an error code of STS is about the token of a web identity.
func isRejected(code string) bool {
	return code == "InvalidIdentityToken" || code == "IDPRejectedClaim"
}

// isDenied reports whether an error code says that AWS does not let the identity do something, or does not know it.
func isDenied(code string) bool {
	return code == "AccessDeniedException" || code == "AccessDenied" || code == "UnauthorizedOperation" || strings.HasPrefix(code, "NotAuthorized") || badCredentials(code)
}
