package azure

import (
	"context"
	"errors"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/sealbridge/sealbridge/providers"
)

// probeName is a secret that is asked for to see what the vault says. It need not exist.
const probeName = "sealbridge-check"

// Check implements providers.Checker: the vault accepts the token. An identity without rights to all secrets may have them to
// those that are used, or to certificates and keys.
func (s *session) Check(ctx context.Context) error {
	o := object{kind: kindSecret, name: probeName}
	_, err := s.secrets.GetSecret(ctx, o.name, "", nil)
	if err == nil {
		return nil
	}
	var refused *azcore.ResponseError
	if errors.As(err, &refused) && refused.RawResponse != nil && answerOf(refused.RawResponse).lacksRight() {
		return s.errorf(providers.ErrUnverified, "key vault accepts the identity, which may not read every secret; whether it may read those that are used shows when they are read")
	}
	if err = s.of(err, o); errors.Is(err, providers.ErrNotFound) || errors.Is(err, providers.ErrInvalid) {
		return nil
	}
	return err
}
