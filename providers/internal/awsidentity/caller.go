package awsidentity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
)

// Identity is what AWS is asked as.
type Identity struct {
	Credentials aws.Credentials
	// Who names it in messages.
	Who string
	// Proven is set when AWS itself has given these credentials for this login.
	Proven bool
}

// Expires returns when the credentials end; zero for never, or for what nobody knows.
func (i Identity) Expires() time.Time {
	if !i.Credentials.CanExpire {
		return time.Time{}
	}
	return i.Credentials.Expires
}

// Caller asks AWS in one region as one identity.
type Caller struct {
	// Store is what errors begin with.
	Store, Region string
	HTTP          *jsonhttp.Client
	Environment   Environment
	Identity      Identity
}

// Errorf makes an error of a class that begins with the store.
func (c Caller) Errorf(class error, format string, args ...any) error {
	return providers.Errorf(class, "%s: "+format, append([]any{c.Store}, args...)...)
}

// Credentials are the identity's, as clients of the SDK take them.
func (c Caller) Credentials() aws.CredentialsProvider {
	if c.Identity.Credentials.AccessKeyID == "" {
		return aws.AnonymousCredentials{}
	}
	return credentials.StaticCredentialsProvider{Value: c.Identity.Credentials}
}

// Endpoint is where a service is: an address of the environment, else nil for AWS's own, which may be of a special kind.
func (c Caller) Endpoint(address string) (base *string, fips aws.FIPSEndpointState, dual aws.DualStackEndpointState) {
	if address != "" {
		return aws.String(address), aws.FIPSEndpointStateDisabled, aws.DualStackEndpointStateDisabled
	}
	fips, dual = aws.FIPSEndpointStateDisabled, aws.DualStackEndpointStateDisabled
	if c.Environment.FIPS {
		fips = aws.FIPSEndpointStateEnabled
	}
	if c.Environment.DualStack {
		dual = aws.DualStackEndpointStateEnabled
	}
	return nil, fips, dual
}

// STS returns a client of AWS's Security Token Service.
func (c Caller) STS() *sts.Client {
	o := sts.Options{Region: c.Region, Credentials: c.Credentials(), HTTPClient: c.Transport(), Retryer: aws.NopRetryer{}, Logger: logging.Nop{}}
	o.BaseEndpoint, o.EndpointOptions.UseFIPSEndpoint, o.EndpointOptions.UseDualStackEndpoint = c.Endpoint(c.Environment.Endpoints.STS)
	return sts.New(o)
}

// Transport sends the SDK's requests through the client.
func (c Caller) Transport() aws.HTTPClient { return transport{c.HTTP} }

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
