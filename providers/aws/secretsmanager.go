package aws

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// secretsManager reads secrets of AWS Secrets Manager.
type secretsManager struct {
	session
	client *secretsmanager.Client
}

var (
	_ providers.Checker = (*secretsManager)(nil)
	_ providers.Expirer = (*secretsManager)(nil)
	_ providers.Batcher = (*secretsManager)(nil)
)

const (
	currentStage = "AWSCURRENT"
	// versionID begins a version that is an id and not a stage.
	versionID = "uuid/"
	// secretsAtOnce is how many secrets BatchGetSecretValue reads.
	secretsAtOnce = 20
)

// Batch implements providers.Batcher.
func (s *secretsManager) Batch() int { return s.atOnce(secretsAtOnce) }

// Fetch implements providers.Session.
func (s *secretsManager) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	return s.fetch(ctx, s.whole(refs), s)
}

func (s *secretsManager) read(ctx context.Context, ref providers.Ref) (providers.Result, error) {
	if ref.Metadata {
		return s.readTags(ctx, ref.Key)
	}
	return s.readSecret(ctx, ref.Key, ref.Version)
}

// secretName is what messages call a secret.
func secretName(key, version string) string {
	if version == "" {
		return fmt.Sprintf("secret %q", key)
	}
	return fmt.Sprintf("secret %q in version %q", key, version)
}

// question asks for one version of a secret.
func question(key, version string) *secretsmanager.GetSecretValueInput {
	in := &secretsmanager.GetSecretValueInput{SecretId: aws.String(key)}
	switch id, isID := strings.CutPrefix(version, versionID); {
	case isID:
		in.VersionId = aws.String(id)
	default:
		in.VersionStage = aws.String(cmp.Or(version, currentStage))
	}
	return in
}

// readSecret reads one version of a secret.
func (s *secretsManager) readSecret(ctx context.Context, key, version string) (providers.Result, error) {
	out, err := s.client.GetSecretValue(ctx, question(key, version))
	if err != nil {
		return providers.Result{}, s.api.Explain(err, awsidentity.Operation{Action: "secretsmanager:GetSecretValue", On: secretName(key, version), Cure: cureKey})
	}
	return s.result(key, version, secret{
		name: out.Name, arn: out.ARN, version: out.VersionId, stages: out.VersionStages, text: out.SecretString, binary: out.SecretBinary,
	})
}

// secret is a secret as AWS answers it.
type secret struct {
	name, arn, version *string
	stages             []string
	text               *string
	binary             []byte
}

// named reports whether a secret can be the one of a key: its name, its ARN, or its ARN without the six characters that AWS adds.
// Copies in other regions have the same ARN but for the region.
func (s secret) named(key string) bool {
	want, got := withoutRegion(key), withoutRegion(*s.arn)
	return key == *s.name || want == got || want == partialARN(*s.name, got)
}

func withoutRegion(arn string) string {
	parts := strings.SplitN(arn, ":", 5)
	if len(parts) == 5 {
		parts[3] = ""
	}
	return strings.Join(parts, ":")
}

// crossed returns what a secret says of itself that contradicts what was asked for, else nothing.
func (s secret) crossed(asked *secretsmanager.GetSecretValueInput) string {
	switch {
	case !s.named(*asked.SecretId):
		return *s.arn
	case asked.VersionId != nil && s.version != nil && !strings.EqualFold(*s.version, *asked.VersionId):
		return *s.version
	case asked.VersionStage != nil && len(s.stages) > 0 && !slices.Contains(s.stages, *asked.VersionStage):
		return s.stages[0]
	default:
		return ""
	}
}

// result makes a document of a secret that was read under a key. AWS answers text or bytes. What imitates it may answer both, one of
// them empty; the text is read where neither is.
func (s *secretsManager) result(key, version string, from secret) (providers.Result, error) {
	content := from.binary
	if from.text != nil && (len(content) == 0 || *from.text != "") {
		content = []byte(*from.text)
	}
	if content == nil || from.name == nil || from.arn == nil {
		return providers.Result{}, s.api.Strange()
	}
	if other := from.crossed(question(key, version)); other != "" {
		return providers.Result{}, reading.Crossed(s.api.Store, secretName(key, cmp.Or(version, currentStage)), other)
	}
	return providers.Result{
		Document: document{name: s.api.Store + ": " + secretName(key, ""), content: content},
		Version:  aws.ToString(from.version),
	}, nil
}

// readTags reads the tags of a secret as a document.
func (s *secretsManager) readTags(ctx context.Context, key string) (providers.Result, error) {
	out, err := s.client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(key)})
	switch {
	case err != nil:
		return providers.Result{}, s.api.Explain(err, awsidentity.Operation{Action: "secretsmanager:DescribeSecret", On: secretName(key, ""), Cure: cureKey})
	case out.Name == nil || out.ARN == nil:
		return providers.Result{}, s.api.Strange()
	case !(secret{name: out.Name, arn: out.ARN}).named(key):
		return providers.Result{}, reading.Crossed(s.api.Store, "the tags of "+secretName(key, ""), *out.ARN)
	}
	tags := make(map[string]string, len(out.Tags))
	for _, tag := range out.Tags {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	doc, err := newTags(s.api.Store+": the tags of "+secretName(key, ""), tags)
	return providers.Result{Document: doc}, err
}

// readAll reads the current content of secrets by one request, and by more when AWS answers it in pages. What AWS does not
// answer under one of the names that were asked for is read alone.
func (s *secretsManager) readAll(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	ids := make([]string, len(refs))
	for i, ref := range refs {
		ids[i] = ref.Key
	}
	answered, err := s.batch(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]providers.Result, len(refs))
	for i, id := range ids {
		if found, ok := answered.find(id); ok {
			result, err := s.result(id, "", found)
			out[i] = providers.Result{Document: result.Document, Version: result.Version, Err: err}
			continue
		}
		if failure, ok := answered.failed[id]; ok {
			out[i].Err = s.api.Answered(aws.ToString(failure.ErrorCode), aws.ToString(failure.Message), awsidentity.Status{},
				awsidentity.Operation{Action: "secretsmanager:GetSecretValue", On: secretName(id, ""), Cure: cureKey})
			continue
		}
		out[i] = s.readOne(ctx, refs[i], s)
	}
	return out, nil
}

// answers are what BatchGetSecretValue answered.
type answers struct {
	secrets []secret
	failed  map[string]types.APIErrorType
}

// batch asks for secrets by their names or ARNs.
func (s *secretsManager) batch(ctx context.Context, ids []string) (answers, error) {
	all := answers{failed: map[string]types.APIErrorType{}}
	in := &secretsmanager.BatchGetSecretValueInput{SecretIdList: ids}
	seen := pages{}
	for {
		out, err := s.client.BatchGetSecretValue(ctx, in)
		switch {
		case err != nil:
			return all, s.api.Explain(err, awsidentity.Operation{Action: "secretsmanager:BatchGetSecretValue", On: "what the store is asked for together", Cure: cureKey})
		case out.SecretValues == nil && out.Errors == nil && out.NextToken == nil:
			return all, s.api.Strange()
		}
		for _, v := range out.SecretValues {
			all.secrets = append(all.secrets, secret{
				name: v.Name, arn: v.ARN, version: v.VersionId, stages: v.VersionStages, text: v.SecretString, binary: v.SecretBinary,
			})
		}
		for _, failure := range out.Errors {
			all.failed[aws.ToString(failure.SecretId)] = failure
		}
		if len(all.secrets) > len(ids) || len(all.failed) > len(ids) {
			return all, s.api.Strange() // it answers each once
		}
		if in.NextToken, err = s.following(seen, out.NextToken); err != nil || in.NextToken == nil {
			return all, err
		}
	}
}

// find returns the secret that an id names: its name, its ARN, or its ARN without the six characters that AWS adds.
func (a answers) find(id string) (secret, bool) {
	for _, form := range []func(name, arn string) string{
		func(_, arn string) string { return arn },
		func(name, _ string) string { return name },
		partialARN,
	} {
		for _, found := range a.secrets {
			if found.name != nil && found.arn != nil && form(*found.name, *found.arn) == id {
				return found, true
			}
		}
	}
	return secret{}, false
}

// suffix is how long the end is that AWS adds to the name in the ARN of a secret, its dash included.
const suffix = 7

// partialARN returns the ARN of a secret without what AWS added to its name; empty when arn is not its ARN.
func partialARN(name, arn string) string {
	if len(arn) < suffix || !strings.HasSuffix(arn[:len(arn)-suffix], ":secret:"+name) || arn[len(arn)-suffix] != '-' {
		return ""
	}
	return arn[:len(arn)-suffix]
}
