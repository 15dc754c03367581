package aws

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
)

// sessionName is what External Secrets Operator 2.9 names the sessions of roles.
const sessionName = "external-secrets-provider-aws"

// login obtains the credentials of one store.
type login struct {
	awsidentity.Login
	spec *stores.AWS
}

// obtain returns the credentials of the store's auth, or of the roles that are assumed with them.
func (l login) obtain(ctx context.Context) (awsidentity.Identity, error) {
	who, err := l.Base(ctx, l.spec.Auth.JWT, l.spec.Auth.SecretRef)
	if err != nil {
		return awsidentity.Identity{}, err
	}
	for _, role := range l.spec.AdditionalRoles {
		if who, err = l.Assume(ctx, who, "additionalRoles", &sts.AssumeRoleInput{RoleArn: aws.String(role)}); err != nil {
			return awsidentity.Identity{}, err
		}
	}
	if l.spec.Role == "" {
		return who, nil
	}
	in, err := l.roleInput()
	if err != nil {
		return awsidentity.Identity{}, err
	}
	return l.Assume(ctx, who, "role", in)
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
		if namespace, err = l.Creds.Env.Namespace(); err != nil {
			return nil, err
		}
	}
	for _, tag := range sessionTags(l.spec, l.Caller.Store, namespace) {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(tag.Key), Value: aws.String(tag.Value)})
	}
	return in, nil
}
