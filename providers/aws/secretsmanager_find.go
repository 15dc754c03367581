package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
)

var _ providers.Finder = (*secretsManager)(nil)

// secretsInPage is how many secrets one page lists.
const secretsInPage = 100

// Find implements providers.Finder: the names are listed, and the secrets whose names match are read. The filters are those
// of External Secrets Operator, so AWS compares the beginnings of names, tag keys and tag values. The names that are found
// are whole: the prefix of the store has no meaning here, and they are read without it.
func (s *secretsManager) Find(ctx context.Context, q providers.Query) ([]providers.Found, error) {
	if err := s.checkQuery(q); err != nil {
		return nil, err
	}
	c := &collection{session: &s.session, noun: "secrets"}
	names, err := s.list(ctx, q, c)
	if err != nil {
		return nil, err
	}
	if err := c.read(ctx, names, s); err != nil {
		return nil, err
	}
	return c.sorted(), nil
}

// filters are what AWS looks for.
func filters(q providers.Query) []types.Filter {
	var all []types.Filter
	for _, key := range sortedKeys(q.Tags) {
		all = append(all, types.Filter{Key: types.FilterNameStringTypeTagKey, Values: []string{key}},
			types.Filter{Key: types.FilterNameStringTypeTagValue, Values: []string{q.Tags[key]}})
	}
	if q.Path != nil {
		all = append(all, types.Filter{Key: types.FilterNameStringTypeName, Values: []string{*q.Path}})
	}
	return all
}

// list returns the names that match.
func (s *secretsManager) list(ctx context.Context, q providers.Query, c *collection) ([]string, error) {
	var names []string
	in := &secretsmanager.ListSecretsInput{Filters: filters(q), MaxResults: aws.Int32(secretsInPage)}
	seen := pages{}
	for {
		out, err := s.client.ListSecrets(ctx, in)
		switch {
		case err != nil:
			return nil, s.unlisted(err, awsidentity.Operation{Action: "secretsmanager:ListSecrets", On: "the secrets that find looks for", Cure: "find.path and find.tags"})
		case out.SecretList == nil:
			return nil, s.api.Strange()
		}
		for _, entry := range out.SecretList {
			if !isName(entry.Name) {
				return nil, s.api.Strange()
			}
			if q.Matches(*entry.Name) {
				names = append(names, *entry.Name)
			}
		}
		if err := c.fits(len(names)); err != nil {
			return nil, err
		}
		if in.NextToken, err = s.following(seen, out.NextToken); err != nil || in.NextToken == nil {
			return names, err
		}
	}
}
