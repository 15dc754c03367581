package aws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
)

// api asks AWS in one region as one identity.
type api struct {
	store, region string
	http          *jsonhttp.Client
	environment   Environment
	identity      identity
}

// errorf makes an error of a class that begins with the store.
func (a api) errorf(class error, format string, args ...any) error {
	return providers.Errorf(class, "%s: "+format, append([]any{a.store}, args...)...)
}

// transport sends the SDK's requests through package jsonhttp.
type transport struct{ http *jsonhttp.Client }

// errNotText says that an answer is none of AWS's: the SDK would put other characters in the place of what is not UTF-8.
var errNotText = errors.New("the answer is not UTF-8")

// Do is what the SDK calls.
func (t transport) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, fmt.Errorf("read the request: %w", err)
		}
	}
	answer, err := t.http.Do(r.Context(), jsonhttp.Request{
		Method: r.Method, URL: r.URL, Peer: r.URL.Scheme + "://" + r.URL.Host, Header: r.Header, Raw: body,
	})
	switch {
	case err != nil:
		return nil, err
	case !utf8.Valid(answer.Body):
		return nil, errNotText
	}
	return &http.Response{
		StatusCode: answer.Status, Status: http.StatusText(answer.Status), Header: answer.Header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(answer.Body)), ContentLength: int64(len(answer.Body)),
	}, nil
}

// endpoint is where a service is: an address of the environment, else nil for AWS's own, which may be of a special kind.
func (a api) endpoint(address string) (base *string, fips aws.FIPSEndpointState, dual aws.DualStackEndpointState) {
	if address != "" {
		return aws.String(address), aws.FIPSEndpointStateDisabled, aws.DualStackEndpointStateDisabled
	}
	fips, dual = aws.FIPSEndpointStateDisabled, aws.DualStackEndpointStateDisabled
	if a.environment.FIPS {
		fips = aws.FIPSEndpointStateEnabled
	}
	if a.environment.DualStack {
		dual = aws.DualStackEndpointStateEnabled
	}
	return nil, fips, dual
}

func (a api) sts() *sts.Client {
	o := sts.Options{Region: a.region, Credentials: a.identity.provider(), HTTPClient: transport{a.http}, Retryer: aws.NopRetryer{}, Logger: logging.Nop{}}
	o.BaseEndpoint, o.EndpointOptions.UseFIPSEndpoint, o.EndpointOptions.UseDualStackEndpoint = a.endpoint(a.environment.Endpoints.STS)
	return sts.New(o)
}

func (a api) secretsManager() *secretsmanager.Client {
	o := secretsmanager.Options{Region: a.region, Credentials: a.identity.provider(), HTTPClient: transport{a.http}, Retryer: aws.NopRetryer{}, Logger: logging.Nop{}}
	o.BaseEndpoint, o.EndpointOptions.UseFIPSEndpoint, o.EndpointOptions.UseDualStackEndpoint = a.endpoint(a.environment.Endpoints.SecretsManager)
	return secretsmanager.New(o)
}

func (a api) parameterStore() *ssm.Client {
	o := ssm.Options{Region: a.region, Credentials: a.identity.provider(), HTTPClient: transport{a.http}, Retryer: aws.NopRetryer{}, Logger: logging.Nop{}}
	o.BaseEndpoint, o.EndpointOptions.UseFIPSEndpoint, o.EndpointOptions.UseDualStackEndpoint = a.endpoint(a.environment.Endpoints.ParameterStore)
	return ssm.New(o)
}

func (a api) certificateManager() *acm.Client {
	o := acm.Options{Region: a.region, Credentials: a.identity.provider(), HTTPClient: transport{a.http}, Retryer: aws.NopRetryer{}, Logger: logging.Nop{}}
	o.BaseEndpoint, o.EndpointOptions.UseFIPSEndpoint, o.EndpointOptions.UseDualStackEndpoint = a.endpoint(a.environment.Endpoints.CertificateManager)
	return acm.New(o)
}
