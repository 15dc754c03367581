package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/acm"

	"github.com/sealbridge/sealbridge/providers"
)

// certificateManager reads certificates of AWS Certificate Manager.
type certificateManager struct {
	session
	client *acm.Client
}

// Fetch implements providers.Session.
func (s *certificateManager) Fetch(context.Context, []providers.Ref) ([]providers.Result, error) {
	return nil, s.api.errorf(providers.ErrInvalid, "service CertificateManager is not supported by this version")
}
