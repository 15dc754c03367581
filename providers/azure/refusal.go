package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/internal/large"
	"github.com/sealbridge/sealbridge/providers"
)

// refusals make errors of a class of what the SDK returns, whose texts hold request ids and what the vault said.
type refusals struct {
	// store names the store in messages, and vault is its address.
	store, vault string
}

// answer is what is known of an answer that refuses a request.
type answer struct {
	status int
	// code and inner are those of Azure's error; empty when the answer holds none.
	code, inner string
	after       time.Duration
}

func answerOf(r *http.Response) answer {
	a := answer{status: r.StatusCode, after: (&jsonhttp.Answer{Header: r.Header}).RetryAfter()}
	body, err := runtime.Payload(r)
	var envelope struct {
		Error struct {
			Code       string `json:"code"`
			InnerError struct {
				Code string `json:"code"`
			} `json:"innererror"`
		} `json:"error"`
	}
	if err == nil && json.Unmarshal(body, &envelope) == nil {
		a.code, a.inner = envelope.Error.Code, envelope.Error.InnerError.Code
	}
	return a
}

// of returns the error for a request about an object that failed.
func (r refusals) of(err error, o object) error {
	var refused *azcore.ResponseError
	switch {
	case errors.Is(err, jsonhttp.ErrTooLarge):
		return r.errorf(providers.ErrInvalid, "%s: %w", o, jsonhttp.ErrTooLarge)
	case errors.As(err, &refused) && refused.RawResponse != nil:
		return r.judge(answerOf(refused.RawResponse), o)
	case errors.Is(err, errOtherAudience):
		return r.errorf(providers.ErrDenied, "key vault asks for a token of another audience than at the login; it is asked again")
	default:
		return r.silence(err)
	}
}

// silence is the error for no answer, or for one that the SDK cannot read. It names nothing that was asked for: whoever uses
// the store is told.
func (r refusals) silence(err error) error {
	var unreachable *jsonhttp.UnreachableError
	switch {
	case errors.As(err, &unreachable):
		return r.errorf(providers.ErrUnavailable, "key vault: %w", unreachable)
	case errors.Is(err, large.ErrBusy):
		return r.errorf(providers.ErrUnavailable, "key vault: %w", large.ErrBusy)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return r.errorf(providers.ErrUnavailable, "key vault: cannot reach %s: it did not answer in time", r.vault)
	default:
		return r.unexpected(http.StatusOK)
	}
}

// closed is the error of a vault that does not say, when it is asked without a token, which ones it takes.
func (r refusals) closed(err error) error {
	var refused *azcore.ResponseError
	switch {
	case errors.As(err, &refused) && refused.RawResponse != nil:
		if a := answerOf(refused.RawResponse); a.status != http.StatusUnauthorized {
			return r.judge(a, object{kind: kindSecret, name: probeName})
		}
		return r.unexpected(http.StatusUnauthorized)
	case err != nil && !known(err):
		return r.errorf(providers.ErrInvalid, "vaultUrl: the vault asks for tokens of another domain than its own, which could be used elsewhere; correct the address")
	default:
		return r.of(err, object{kind: kindSecret, name: probeName})
	}
}

// known reports whether an error is one of ours, or of a request that got no answer.
func known(err error) bool {
	var unreachable *jsonhttp.UnreachableError
	if errors.As(err, &unreachable) {
		return true
	}
	for _, one := range []error{jsonhttp.ErrTooLarge, large.ErrBusy, errForeign, errGarbled, errOtherAudience, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

// judge is the one table from answers to errors.
func (r refusals) judge(a answer, o object) error {
	switch {
	case a.status == http.StatusTooManyRequests:
		return fmt.Errorf("%s: key vault: %w", r.store, &providers.ThrottledError{After: a.after})
	case a.status >= http.StatusInternalServerError || a.code == "":
		return r.unexpected(a.status)
	case a.status == http.StatusUnauthorized:
		return r.errorf(providers.ErrDenied, "key vault does not accept the token; the identity must be of the tenant that the vault belongs to")
	case a.status == http.StatusForbidden:
		return r.forbidden(a, o)
	case a.missing() && o.version != "":
		return r.errorf(providers.ErrNotFound, "key vault has no version %q of %s", o.version, o.plain())
	case a.missing():
		return r.errorf(providers.ErrNotFound, "key vault has no %s", o)
	case a.status == http.StatusBadRequest:
		return r.errorf(providers.ErrInvalid, "key vault cannot read %s (status %d); correct the key or the version", o, a.status)
	default:
		return r.unexpected(a.status)
	}
}

// forbidden tells an identity that lacks a right from an object that nobody may read now.
func (r refusals) forbidden(a answer, o object) error {
	switch {
	case a.ofObject("Disabled"):
		return r.errorf(providers.ErrInvalid, "%s is disabled; enable it or reference another version", o)
	case a.ofObject("Expired"):
		return r.errorf(providers.ErrInvalid, "%s has expired; write a new version or change its expiry date", o)
	case a.ofObject("NotYetValid"):
		return r.errorf(providers.ErrInvalid, "%s is not valid yet; reference another version or change its activation date", o)
	case a.ofNetwork():
		return r.errorf(providers.ErrDenied, "the network rules of %s do not let the controller in; allow its address or give it a private endpoint", r.vault)
	default:
		return r.errorf(providers.ErrDenied, "key vault refuses to %s: the identity needs %s", o.asked(), o.right())
	}
}

// missing reports whether a vault says of an object itself that it does not exist. A vault that is gone has no objects either,
// and that is another answer: deletion policies act on this one.
func (a answer) missing() bool {
	return a.status == http.StatusNotFound && slices.Contains([]string{"SecretNotFound", "CertificateNotFound", "KeyNotFound"}, a.code)
}

// ofObject reports whether an answer says that an object itself is in a state.
func (a answer) ofObject(state string) bool {
	return slices.Contains([]string{"Secret" + state, "Certificate" + state, "Key" + state}, a.inner)
}

// ofNetwork reports whether an answer is about where the request comes from.
func (a answer) ofNetwork() bool {
	return a.inner == "ForbiddenByFirewall" || a.inner == "ForbiddenByConnection"
}

// lacksRight reports whether an answer refuses what the identity may not do.
func (a answer) lacksRight() bool {
	return a.status == http.StatusForbidden && a.code != "" && !a.ofNetwork() && !a.ofObject("Disabled") && !a.ofObject("Expired") && !a.ofObject("NotYetValid")
}

// unexpected is the error for an answer that says nothing about what was asked.
func (r refusals) unexpected(status int) error {
	if status >= http.StatusInternalServerError {
		return r.errorf(providers.ErrUnavailable, "key vault answered %d %s", status, http.StatusText(status))
	}
	return r.errorf(providers.ErrUnavailable, "the answer (status %d) is not one of key vault's; check vaultUrl and what is between", status)
}

// errorf makes an error of a class that begins with the store.
func (r refusals) errorf(class error, format string, args ...any) error {
	return providers.Errorf(class, "%s: "+format, append([]any{r.store}, args...)...)
}
