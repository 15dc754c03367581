package awsidentity

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
)

// Operation is one request, for messages.
type Operation struct {
	// Action is the IAM action that it needs.
	Action string
	// On is what it is about, as it was asked for; it is left out where everybody is told who uses the store.
	On string
	// Cure is what to correct when AWS does not accept the request.
	Cure string
}

// Explain reduces an error of the SDK, whose text may quote what AWS or a proxy wrote, to its class and what to do.
func (c Caller) Explain(err error, o Operation) error {
	var (
		unreachable *jsonhttp.UnreachableError
		answer      smithy.APIError
	)
	switch {
	case errors.As(err, &unreachable):
		return c.Errorf(providers.ErrUnavailable, "AWS: %w", unreachable)
	case errors.Is(err, jsonhttp.ErrTooLarge):
		return c.Errorf(providers.ErrInvalid, "%s: %w", o.On, jsonhttp.ErrTooLarge)
	case errors.Is(err, context.Canceled):
		return c.Errorf(providers.ErrUnavailable, "AWS: the request was canceled")
	case errors.Is(err, context.DeadlineExceeded):
		return c.Errorf(providers.ErrUnavailable, "AWS did not answer in time")
	case errors.As(err, &answer):
		return c.Answered(answer.ErrorCode(), answer.ErrorMessage(), statusOf(err), o)
	default:
		return c.Answered("", "", statusOf(err), o)
	}
}

// Status is what HTTP says about an answer; the zero value says nothing.
type Status struct {
	code int
	// after is how long it asks to wait; zero when it does not say.
	after time.Duration
}

// statusOf returns the status that an error of the SDK came with; zero without an answer.
func statusOf(err error) Status {
	var r *smithyhttp.ResponseError
	if !errors.As(err, &r) || r.Response == nil || r.Response.Response == nil {
		return Status{}
	}
	answer := jsonhttp.Answer{Header: r.Response.Header}
	return Status{code: r.Response.StatusCode, after: answer.RetryAfter()}
}

// Answered is the error for an error code of AWS. The message is matched against known phrases and never shown.
func (c Caller) Answered(code, message string, from Status, o Operation) error {
	switch {
	case isThrottle(code) || from.code == http.StatusTooManyRequests:
		return fmt.Errorf("%s: AWS: %w", c.Store, &providers.ThrottledError{After: from.after})
	case isOutage(code) || from.code >= http.StatusInternalServerError:
		if from.code >= http.StatusInternalServerError {
			return c.Errorf(providers.ErrUnavailable, "AWS answered %d %s", from.code, http.StatusText(from.code))
		}
		return c.Errorf(providers.ErrUnavailable, "AWS answered that it cannot answer now")
	case isSkewed(code, message):
		return unknown{c.Errorf(providers.ErrDenied, "AWS refuses the signature of requests because of its time; set the clock of the controller's node")}
	case isExpired(code):
		return unknown{c.Errorf(providers.ErrDenied, "the AWS credentials of %s have expired; renew them", c.Identity.Who)}
	case badCredentials(code):
		return unknown{c.Errorf(providers.ErrDenied,
			"AWS does not accept the credentials of %s: the key id or the key is wrong, inactive, or of another partition; correct or renew them", c.Identity.Who)}
	case isKeyTrouble(code, message):
		return c.Errorf(providers.ErrDenied,
			"%s: AWS KMS does not decrypt it for %s: grant kms:Decrypt on its key (in the key's policy, too), and check that the key is enabled", o.On, c.Identity.Who)
	case isDenied(code):
		return c.Errorf(providers.ErrDenied, "AWS refuses %s on %s to %s: grant it", o.Action, o.On, c.Identity.Who)
	case isMissing(code, message):
		return c.Errorf(providers.ErrNotFound, "AWS has no %s in region %s", o.On, c.Region)
	case code == "" || code == unknownCode:
		return c.Strange()
	case isUnknownOperation(code):
		return c.Errorf(providers.ErrUnavailable, "the endpoint does not know %s; check it", o.Action)
	default:
		return c.Errorf(providers.ErrInvalid, "AWS does not accept the request for %s (%s); correct %s", o.On, printable(code), o.Cure)
	}
}

// Strange is the error for an answer that is none of AWS's.
func (c Caller) Strange() error {
	return c.Errorf(providers.ErrUnavailable, "the answer is not one of AWS's; check the endpoint and what is between")
}

// unknownCode is what the SDK calls an error without a code: one that AWS did not write.
const unknownCode = "UnknownError"

func isThrottle(code string) bool {
	switch code {
	case "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException", "TooManyRequestsException",
		"RequestLimitExceeded", "ProvisionedThroughputExceededException", "BandwidthLimitExceeded", "PriorRequestNotComplete", "SlowDown":
		return true
	default:
		return false
	}
}

func isOutage(code string) bool {
	switch code {
	case "InternalServiceError", "InternalServerError", "InternalFailure", "InternalError", "ServiceUnavailable", "ServiceUnavailableException",
		"RequestTimeout", "RequestTimeoutException", "InternalServiceErrorException":
		return true
	default:
		return false
	}
}

func isExpired(code string) bool {
	return code == "ExpiredToken" || code == "ExpiredTokenException" || code == "TokenRefreshRequired"
}

func isSkewed(code, message string) bool {
	if code == "RequestExpired" || code == "RequestTimeTooSkewed" || code == "RequestInTheFuture" {
		return true
	}
	return (code == "InvalidSignatureException" || code == "SignatureDoesNotMatch") &&
		(strings.Contains(message, "Signature expired") || strings.Contains(message, "Signature not yet current"))
}

// badCredentials reports whether a code says that AWS does not know who asks.
func badCredentials(code string) bool {
	switch code {
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature",
		"IncompleteSignatureException", "MissingAuthenticationToken", "MissingAuthenticationTokenException", "AuthFailure", "InvalidAccessKeyId",
		"InvalidToken", "InvalidClientTokenIdException", "OptInRequired":
		return true
	default:
		return isExpired(code)
	}
}

func isKeyTrouble(code, message string) bool {
	switch code {
	case "DecryptionFailure", "DecryptionFailureException", "InvalidKeyId":
		return true
	default:
		return strings.HasPrefix(code, "KMS") ||
			code == "AccessDeniedException" && (strings.Contains(message, "Access to KMS") || strings.Contains(message, "to perform: kms:") || strings.Contains(message, "ciphertext refers to"))
	}
}

// isMissing reports whether AWS says that there is no such document or version. A secret that is marked for deletion has no
// content any more that could be read.
func isMissing(code, message string) bool {
	switch code {
	case "ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound", "InvalidResourceId":
		return true
	case "InvalidRequestException", "InvalidParameterException":
		return slices.ContainsFunc([]string{"marked for deletion", "scheduled for deletion", "marked deleted", "was deleted"}, func(phrase string) bool {
			return strings.Contains(message, phrase)
		})
	default:
		return false
	}
}

func isUnknownOperation(code string) bool {
	return code == "UnknownOperationException" || code == "InvalidAction" || code == "UnknownOperation"
}

// printable returns a code of AWS as it may be shown: codes are words, and what is none comes from something else.
func printable(code string) string {
	other := func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') }
	if len(code) > 64 || strings.ContainsFunc(code, other) {
		return "an error of another kind"
	}
	return code
}

// unknown is the error of an identity that AWS does not accept: the same for whatever it asks.
type unknown struct{ error }

// Unwrap returns what it says.
func (u unknown) Unwrap() error { return u.error }

// IsUnknown reports whether an error is about who asks and not about what was asked.
func IsUnknown(err error) bool {
	var u unknown
	return errors.As(err, &u)
}
