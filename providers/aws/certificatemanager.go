package aws

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/smithy-go"

	"github.com/sealbridge/sealbridge/providers"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
)

// certificateManager exports certificates of AWS Certificate Manager, with their private keys.
type certificateManager struct {
	session
	client *acm.Client
}

var (
	_ providers.Checker = (*certificateManager)(nil)
	_ providers.Expirer = (*certificateManager)(nil)
)

// Batch is one: each certificate is a request.
func (s *certificateManager) Batch() int { return 1 }

// Fetch implements providers.Session.
func (s *certificateManager) Fetch(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	return s.fetch(ctx, s.whole(refs), s)
}

func (s *certificateManager) readAll(ctx context.Context, refs []providers.Ref) ([]providers.Result, error) {
	return s.readEach(ctx, refs, s), nil
}

// read exports a certificate: leaf, chain and private key in PEM. Certificates have no versions, so Ref.Version has no meaning
// here, as in External Secrets Operator, and neither has Ref.Metadata: tags of certificates are not read.
func (s *certificateManager) read(ctx context.Context, ref providers.Ref) (providers.Result, error) {
	name := fmt.Sprintf("certificate %q", ref.Key)
	passphrase := rand.Text()
	out, err := s.client.ExportCertificate(ctx, &acm.ExportCertificateInput{CertificateArn: aws.String(ref.Key), Passphrase: []byte(passphrase)})
	if err != nil {
		return providers.Result{}, s.refused(err, name)
	}
	content, err := bundle(out, passphrase)
	if err != nil {
		return providers.Result{}, s.api.Strange()
	}
	return providers.Result{Document: certificate{name: s.api.Store + ": " + name, content: content}}, nil
}

// refused explains why AWS does not export a certificate.
func (s *certificateManager) refused(err error, name string) error {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		switch answer.ErrorCode() {
		case "RequestInProgressException":
			return s.api.Errorf(providers.ErrInvalid, "%s is not issued yet; complete its validation", name)
		case "InvalidStateException", "ValidationException":
			return s.api.Errorf(providers.ErrInvalid, "AWS does not export %s: the key must be the ARN of a certificate that is issued and for which export is enabled", name)
		}
	}
	return s.api.Explain(err, awsidentity.Operation{Action: "acm:ExportCertificate", On: name, Cure: cureKey})
}

// bundle is what External Secrets Operator makes of a certificate: the leaf, the chain and the private key, one below the other.
func bundle(out *acm.ExportCertificateOutput, passphrase string) ([]byte, error) {
	if out.Certificate == nil || out.PrivateKey == nil {
		return nil, errKey
	}
	key, err := decryptKey(*out.PrivateKey, passphrase)
	if err != nil {
		return nil, err
	}
	var parts []string
	for _, part := range []*string{out.Certificate, out.CertificateChain, aws.String(string(key))} {
		if part != nil {
			parts = append(parts, strings.TrimRight(*part, "\r\n"))
		}
	}
	return []byte(strings.Join(parts, "\n") + "\n"), nil
}

// certificate is a certificate with its chain and key in PEM. It has no parts: with External Secrets Operator a property
// changes nothing.
type certificate struct {
	name    string
	content []byte
}

// Value implements providers.Document.
func (c certificate) Value(string) (providers.Value, error) {
	return providers.NewValue(c.content), nil
}

// Fields implements providers.Document.
func (c certificate) Fields(string) (map[string]providers.Value, error) {
	return nil, providers.Errorf(providers.ErrInvalid, "%s has no fields to extract; name it with data", c.name)
}

// Size implements providers.Document.
func (c certificate) Size() int { return len(c.content) }
