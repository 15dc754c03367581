package aws

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// parameterStore reads parameters of AWS Systems Manager.
type parameterStore struct {
	session
	client *ssm.Client
}

var (
	_ providers.Checker = (*parameterStore)(nil)
	_ providers.Expirer = (*parameterStore)(nil)
	_ providers.Batcher = (*parameterStore)(nil)
)

// parametersAtOnce is how many parameters GetParameters reads.
const parametersAtOnce = 10

// Batch implements providers.Batcher.
func (s *parameterStore) Batch() int { return s.atOnce(parametersAtOnce) }

// Fetch implements providers.Session.
func (s *parameterStore) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	return s.fetch(ctx, s.whole(refs), s)
}

func (s *parameterStore) read(ctx context.Context, ref providers.Ref) (providers.Result, error) {
	if ref.Metadata {
		return s.readTags(ctx, ref.Key)
	}
	name := ref.Key
	if ref.Version != "" { // a number or a label
		name += ":" + ref.Version
	}
	out, err := s.client.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name), WithDecryption: aws.Bool(true)})
	switch {
	case err != nil:
		return providers.Result{}, s.api.Explain(err, awsidentity.Operation{Action: "ssm:GetParameter", On: parameterName(name), Cure: cureKey})
	case out.Parameter == nil:
		return providers.Result{}, s.api.Strange()
	}
	return s.result(name, *out.Parameter)
}

// parameterName is what messages call a parameter.
func parameterName(name string) string { return fmt.Sprintf("parameter %q", name) }

// result makes a document of a parameter that was read under a name.
func (s *parameterStore) result(name string, from types.Parameter) (providers.Result, error) {
	if from.Value == nil || from.Name == nil {
		return providers.Result{}, s.api.Strange()
	}
	if other := crossed(name, from); other != "" {
		return providers.Result{}, reading.Crossed(s.api.Store, parameterName(name), other)
	}
	return providers.Result{
		Document: document{name: s.api.Store + ": " + parameterName(name), content: []byte(*from.Value)},
		Version:  strconv.FormatInt(from.Version, 10),
	}, nil
}

// parameter is what a name of a parameter says: the beginning of its ARN, if it is one, what it is called, and the version or label.
type parameter struct{ place, name, selector string }

func parameterOf(name string) parameter {
	var p parameter
	if parts := strings.SplitN(name, ":", 6); len(parts) == 6 && parts[0] == "arn" {
		p.place, name = strings.Join(parts[:5], ":"), strings.TrimPrefix(parts[5], "parameter")
	}
	p.name, p.selector, _ = strings.Cut(strings.TrimPrefix(name, "/"), ":")
	return p
}

// crossed returns what a parameter says of itself that contradicts the name that was asked for, else nothing.
func crossed(asked string, from types.Parameter) string {
	want, got, version := parameterOf(asked), parameterOf(*from.Name), strconv.FormatInt(from.Version, 10)
	place, selector := parameterOf(aws.ToString(from.ARN)).place, strings.TrimPrefix(aws.ToString(from.Selector), ":")
	_, notNumber := strconv.ParseInt(want.selector, 10, 64)
	switch {
	case want.name != got.name:
		return *from.Name
	case want.place != "" && place != "" && want.place != place:
		return *from.ARN
	case notNumber == nil && from.Version != 0 && want.selector != version:
		return version
	case want.selector != "" && selector != "" && want.selector != selector:
		return selector
	default:
		return ""
	}
}

// readTags reads the tags of a parameter as a document; all its versions have the same.
func (s *parameterStore) readTags(ctx context.Context, name string) (providers.Result, error) {
	out, err := s.client.ListTagsForResource(ctx, &ssm.ListTagsForResourceInput{
		ResourceType: types.ResourceTypeForTaggingParameter, ResourceId: aws.String(name),
	})
	switch {
	case err != nil:
		return providers.Result{}, s.api.Explain(err, awsidentity.Operation{Action: "ssm:ListTagsForResource", On: parameterName(name), Cure: cureKey})
	case out.TagList == nil:
		return providers.Result{}, s.api.Strange()
	}
	tags := make(map[string]string, len(out.TagList))
	for _, tag := range out.TagList {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	doc, err := newTags(s.api.Store+": the tags of "+parameterName(name), tags)
	return providers.Result{Document: doc}, err
}

// readAll reads parameters by one request. What AWS does not answer under the name that was asked for is read alone: that says
// what is wrong with it.
func (s *parameterStore) readAll(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	names := make([]string, len(refs))
	for i, ref := range refs {
		names[i] = ref.Key
	}
	answered, err := s.client.GetParameters(ctx, &ssm.GetParametersInput{Names: names, WithDecryption: aws.Bool(true)})
	switch {
	case err != nil:
		return nil, s.api.Explain(err, awsidentity.Operation{Action: "ssm:GetParameters", On: "what the store is asked for together", Cure: cureKey})
	case answered.Parameters == nil && answered.InvalidParameters == nil:
		return nil, s.api.Strange()
	}
	byName := make(map[string]types.Parameter, 2*len(answered.Parameters))
	for _, p := range answered.Parameters {
		byName[aws.ToString(p.ARN)+aws.ToString(p.Selector)] = p
	}
	for _, p := range answered.Parameters {
		byName[aws.ToString(p.Name)+aws.ToString(p.Selector)] = p
	}
	out := make([]providers.Result, len(refs))
	var unanswered []int
	for i, name := range names {
		p, ok := byName[name]
		if !ok {
			unanswered = append(unanswered, i)
			continue
		}
		result, err := s.result(name, p)
		out[i] = providers.Result{Document: result.Document, Version: result.Version, Err: err}
	}
	rest := make([]providers.Ref, len(unanswered))
	for k, i := range unanswered {
		rest[k] = refs[i]
	}
	for k, result := range s.readEach(ctx, rest, s) {
		out[unanswered[k]] = result
	}
	return out, nil
}
