package awsidentity

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sealbridge/sealbridge/providers"
)

func TestWhatIsShownOfACodeIsAWord(t *testing.T) {
	t.Parallel()
	const none = "an error of another kind"
	long := strings.Repeat("x", 64)
	for code, want := range map[string]string{
		"ValidationException": "ValidationException", "AZaz09": "AZaz09", long: long,
		long + "x": none, "a b": none, "x-1": none, "x@": none, "x[": none, "x`": none, "x{": none, "x/": none, "x:": none, "ü": none,
	} {
		if got := printable(code); got != want {
			t.Errorf("%q: %q", code, got)
		}
	}
}

// asker is who asks in these tests, and operation what for.
func asker() Caller {
	return Caller{Store: "SecretStore a/b", Region: "eu-west-1", Identity: Identity{Who: "role x"}}
}

func operation() Operation { return Operation{Action: "s:Get", On: `secret "db"`, Cure: "the key"} }

// The codes are those of the services' API references, which they have in two spellings and in several protocols.
func TestACodeOfAWSIsOfOneClass(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		class   error
		unknown bool
		says    string
		codes   string
		// message and status are what comes with the code.
		message string
		status  int
	}{
		"an outage": {providers.ErrUnavailable, false, "cannot answer now", "InternalServiceError InternalServerError InternalFailure InternalError ServiceUnavailable " +
			"ServiceUnavailableException RequestTimeout RequestTimeoutException InternalServiceErrorException", "", 400},
		"a server that fails":       {providers.ErrUnavailable, false, "AWS answered 500 Internal Server Error", "InternalFailure ValidationException AccessDenied ResourceNotFoundException X", "", 500},
		"a status below":            {providers.ErrUnavailable, false, "not one of AWS's", "UnknownError", "", 499},
		"a clock":                   {providers.ErrDenied, true, "set the clock", "RequestExpired RequestTimeTooSkewed RequestInTheFuture", "", 400},
		"a signature of before":     {providers.ErrDenied, true, "set the clock", "InvalidSignatureException SignatureDoesNotMatch", "Signature expired: 1 is before 2", 403},
		"a signature of later":      {providers.ErrDenied, true, "set the clock", "InvalidSignatureException SignatureDoesNotMatch", "Signature not yet current: 2 is after 1", 403},
		"credentials that ended":    {providers.ErrDenied, true, "have expired", "ExpiredToken ExpiredTokenException TokenRefreshRequired", "", 400},
		"credentials of nobody":     {providers.ErrDenied, true, "does not accept the credentials of role x", "UnrecognizedClientException InvalidClientTokenId InvalidSignatureException SignatureDoesNotMatch IncompleteSignature IncompleteSignatureException MissingAuthenticationToken MissingAuthenticationTokenException AuthFailure InvalidAccessKeyId InvalidToken InvalidClientTokenIdException OptInRequired", "", 403},
		"a key that cannot be used": {providers.ErrDenied, false, "kms:Decrypt", "DecryptionFailure DecryptionFailureException InvalidKeyId KMSInvalidStateException KMSAccessDeniedException", "", 400},
		"a key that is not granted": {providers.ErrDenied, false, "kms:Decrypt", "AccessDeniedException", "Access to KMS is not allowed", 400},
		"a key that is denied":      {providers.ErrDenied, false, "kms:Decrypt", "AccessDeniedException", "x is not authorized to perform: kms:Decrypt on y", 400},
		"a key that is gone":        {providers.ErrDenied, false, "kms:Decrypt", "AccessDeniedException", "The ciphertext refers to a customer master key that does not exist", 400},
		"no right":                  {providers.ErrDenied, false, `AWS refuses s:Get on secret "db" to role x`, "AccessDeniedException AccessDenied UnauthorizedOperation NotAuthorized NotAuthorizedException", "", 403},
		"nothing there":             {providers.ErrNotFound, false, `AWS has no secret "db" in region eu-west-1`, "ResourceNotFoundException ParameterNotFound ParameterVersionNotFound InvalidResourceId", "", 400},
		"marked":                    {providers.ErrNotFound, false, "AWS has no", "InvalidRequestException InvalidParameterException", "the secret was marked for deletion", 400},
		"scheduled":                 {providers.ErrNotFound, false, "AWS has no", "InvalidRequestException InvalidParameterException", "it is scheduled for deletion", 400},
		"marked deleted":            {providers.ErrNotFound, false, "AWS has no", "InvalidRequestException InvalidParameterException", "currently marked deleted", 400},
		"deleted":                   {providers.ErrNotFound, false, "AWS has no", "InvalidRequestException InvalidParameterException", "because it was deleted", 400},
		"another operation":         {providers.ErrUnavailable, false, "the endpoint does not know s:Get", "UnknownOperationException InvalidAction UnknownOperation", "", 400},
		"nobody's":                  {providers.ErrUnavailable, false, "not one of AWS's", "UnknownError", "", 403},
		"a bad request":             {providers.ErrInvalid, false, "correct the key", "InvalidRequestException InvalidParameterException ValidationException ResourceInUse", "a secret that needs attention: deletion", 400},
		"a code that quotes":        {providers.ErrInvalid, false, "(an error of another kind)", "a{b", "", 400},
	} {
		for code := range strings.FieldsSeq(tc.codes) {
			err := asker().Answered(code, tc.message, Status{code: tc.status}, operation())
			if !errors.Is(err, tc.class) || IsUnknown(err) != tc.unknown || !strings.Contains(err.Error(), tc.says) || !strings.HasPrefix(err.Error(), "SecretStore a/b: ") {
				t.Errorf("%s: %s: %v, about who asks: %t", name, code, err, IsUnknown(err))
			}
		}
	}
	throttled := func(code string, status int) {
		t.Helper()
		var got *providers.ThrottledError
		if err := asker().Answered(code, "", Status{code: status, after: 7 * time.Second}, operation()); !errors.As(err, &got) || got.After != 7*time.Second {
			t.Errorf("%s with status %d asks to be left alone: %v", code, status, err)
		}
	}
	for code := range strings.FieldsSeq("Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException TooManyRequestsException " +
		"RequestLimitExceeded ProvisionedThroughputExceededException BandwidthLimitExceeded PriorRequestNotComplete SlowDown") {
		throttled(code, 400)
	}
	throttled("AccessDenied", 429)
}

func TestWhatIsNoAnswerOfAWSSaysSo(t *testing.T) {
	t.Parallel()
	for says, err := range map[string]error{
		"the request was canceled": &smithy.CanceledError{Err: context.Canceled},
		"did not answer in time":   &smithy.OperationError{Err: context.DeadlineExceeded},
		"not one of AWS's":         &smithyhttp.ResponseError{Err: errNotText},
		"the answer is not one of": &smithyhttp.ResponseError{Err: errNotText, Response: &smithyhttp.Response{}},
		"AWS answered 503":         &smithyhttp.ResponseError{Err: errNotText, Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusServiceUnavailable}}},
	} {
		if got := asker().Explain(err, operation()); !errors.Is(got, providers.ErrUnavailable) || !strings.Contains(got.Error(), says) {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestCredentialsThatLackAnythingAreNoAnswer(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*types.Credentials){
		"":               func(*types.Credentials) {},
		"the key's id":   func(c *types.Credentials) { c.AccessKeyId = nil },
		"the key":        func(c *types.Credentials) { c.SecretAccessKey = aws.String("") },
		"the token":      func(c *types.Credentials) { c.SessionToken = nil },
		"when they end":  func(c *types.Credentials) { c.Expiration = nil },
		"all but a word": func(c *types.Credentials) { *c = types.Credentials{SessionToken: c.SessionToken} },
	} {
		c := &types.Credentials{AccessKeyId: aws.String("a"), SecretAccessKey: aws.String("b"), SessionToken: aws.String("c"), Expiration: aws.Time(time.Unix(1, 0))}
		lose(c)
		id, err := Login{Caller: asker()}.assumed(c, "r")
		if (err != nil) != (name != "") || err != nil && !errors.Is(err, providers.ErrUnavailable) || id.Proven != (err == nil) {
			t.Errorf("without %s: %+v, %v", name, id.Proven, err)
		}
		if err == nil && (id.Who != "role r" || id.Expires() != time.Unix(1, 0)) {
			t.Errorf("%s ends at %s", id.Who, id.Expires())
		}
	}
	if !(Identity{Credentials: aws.Credentials{Expires: time.Unix(1, 0)}}).Expires().IsZero() {
		t.Error("what cannot expire ends")
	}
}
