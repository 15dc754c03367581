package aws

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go/logging"

	"github.com/sealbridge/sealbridge/api/stores"
	"github.com/sealbridge/sealbridge/providers/internal/awsidentity"
)

// endpointOf returns the configured address of a store's service; empty for AWS's own.
func endpointOf(service stores.AWSService, e Endpoints) string {
	switch service {
	case stores.AWSParameterStore:
		return e.ParameterStore
	case stores.AWSCertificateManager:
		return e.CertificateManager
	default:
		return e.SecretsManager
	}
}

// api asks the services of AWS.
type api struct{ awsidentity.Caller }

// cureKey is what to correct about the request for one document.
const cureKey = "the key, its version or the store's region"

func (a api) secretsManager() *secretsmanager.Client {
	o := secretsmanager.Options{Region: a.Region, Credentials: a.Credentials(), HTTPClient: a.Transport(), Retryer: aws.NopRetryer{}, Logger: logging.Nop{}}
	o.BaseEndpoint, o.EndpointOptions.UseFIPSEndpoint, o.EndpointOptions.UseDualStackEndpoint = a.Endpoint(a.Environment.Endpoints.SecretsManager)
	return secretsmanager.New(o)
}

func (a api) parameterStore() *ssm.Client {
	o := ssm.Options{Region: a.Region, Credentials: a.Credentials(), HTTPClient: a.Transport(), Retryer: aws.NopRetryer{}, Logger: logging.Nop{}}
	o.BaseEndpoint, o.EndpointOptions.UseFIPSEndpoint, o.EndpointOptions.UseDualStackEndpoint = a.Endpoint(a.Environment.Endpoints.ParameterStore)
	return ssm.New(o)
}

func (a api) certificateManager() *acm.Client {
	o := acm.Options{Region: a.Region, Credentials: a.Credentials(), HTTPClient: a.Transport(), Retryer: aws.NopRetryer{}, Logger: logging.Nop{}}
	o.BaseEndpoint, o.EndpointOptions.UseFIPSEndpoint, o.EndpointOptions.UseDualStackEndpoint = a.Endpoint(a.Environment.Endpoints.CertificateManager)
	return acm.New(o)
}
