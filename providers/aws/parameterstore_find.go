package aws

import (
	"cmp"
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
)

var _ providers.Finder = (*parameterStore)(nil)

// described is how many parameters one page describes.
const described = 50

// Find implements providers.Finder: by name alone the parameters below the path are read, or, where that is denied, they are
// described and those whose names match are read, as they are when tags are asked for. The names that are found are whole:
// the prefix of the store has no meaning here, and they are read without it.
func (s *parameterStore) Find(ctx context.Context, q providers.Query) ([]providers.Found, error) {
	if err := s.checkQuery(q); err != nil {
		return nil, err
	}
	c := &collection{session: &s.session, noun: "parameters"}
	if len(q.Tags) > 0 {
		return s.findDescribed(ctx, q, c)
	}
	path := "/"
	if q.Path != nil {
		path = *q.Path
	}
	denied := s.readBelow(ctx, path, q, c)
	if denied == nil {
		return c.sorted(), nil
	}
	if !errors.Is(denied, providers.ErrDenied) {
		return nil, denied
	}
	q.Path = &path
	found, err := s.findDescribed(ctx, q, &collection{session: &s.session, noun: "parameters"})
	if isDescribing(err) {
		return nil, denied // this right is the smaller one
	}
	return found, err
}

// readBelow reads the parameters below a path whose names match.
func (s *parameterStore) readBelow(ctx context.Context, path string, q providers.Query, c *collection) error {
	in := &ssm.GetParametersByPathInput{Path: &path, Recursive: aws.Bool(true), WithDecryption: aws.Bool(true)}
	seen := pages{}
	for {
		out, err := s.client.GetParametersByPath(ctx, in)
		switch {
		case err != nil:
			return s.unlisted(err, awsidentity.Operation{Action: "ssm:GetParametersByPath", On: "the parameters below " + cmp.Or(path, "find.path"), Cure: "find.path and find.tags"})
		case out.Parameters == nil:
			return s.api.Strange()
		}
		for _, p := range out.Parameters {
			if !isName(p.Name) {
				return s.api.Strange()
			}
			name := *p.Name
			result, err := s.result(name, p)
			if err != nil {
				return err
			}
			if !q.Matches(name) {
				continue
			}
			if err := c.add(name, result); err != nil {
				return err
			}
		}
		if in.NextToken, err = s.following(seen, out.NextToken); err != nil || in.NextToken == nil {
			return err
		}
	}
}

// describing is the error of an identity that may not describe parameters.
type describing struct{ error }

// Unwrap returns what it says.
func (d describing) Unwrap() error { return d.error }

func isDescribing(err error) bool {
	var d describing
	return errors.As(err, &d)
}

// findDescribed describes parameters and reads those that match.
func (s *parameterStore) findDescribed(ctx context.Context, q providers.Query, c *collection) ([]providers.Found, error) {
	names, err := s.describe(ctx, q, c)
	if err != nil {
		return nil, err
	}
	if err := c.read(ctx, names, s); err != nil {
		return nil, err
	}
	return c.sorted(), nil
}

// describe returns the names of the parameters that match.
func (s *parameterStore) describe(ctx context.Context, q providers.Query, c *collection) ([]string, error) {
	var names []string
	in := &ssm.DescribeParametersInput{ParameterFilters: parameterFilters(q), MaxResults: aws.Int32(described)}
	seen := pages{}
	for {
		out, err := s.client.DescribeParameters(ctx, in)
		if err != nil {
			err = s.unlisted(err, awsidentity.Operation{Action: "ssm:DescribeParameters", On: "the parameters that find looks for", Cure: "find.path and find.tags"})
			if errors.Is(err, providers.ErrDenied) {
				return nil, describing{err}
			}
			return nil, err
		}
		if out.Parameters == nil {
			return nil, s.api.Strange()
		}
		for _, p := range out.Parameters {
			if !isName(p.Name) {
				return nil, s.api.Strange()
			}
			if q.Matches(*p.Name) {
				names = append(names, *p.Name)
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

// parameterFilters are what AWS looks for: tags with exactly these values, below the path.
func parameterFilters(q providers.Query) []types.ParameterStringFilter {
	var all []types.ParameterStringFilter
	for _, key := range sortedKeys(q.Tags) {
		all = append(all, types.ParameterStringFilter{Key: aws.String("tag:" + key), Option: aws.String("Equals"), Values: []string{q.Tags[key]}})
	}
	if q.Path != nil {
		all = append(all, types.ParameterStringFilter{Key: aws.String("Path"), Option: aws.String("Recursive"), Values: []string{*q.Path}})
	}
	return all
}
