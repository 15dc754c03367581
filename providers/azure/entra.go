package azure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
	"github.com/sealbridge/sealbridge/providers"
)

// recorder remembers how the last request of a login ended, because the SDK's errors say it only as text. A login makes one
// request at a time.
type recorder struct {
	err    error
	status int
	after  time.Duration
	oauth  oauthError
}

// oauthError is what Entra ID says of a login that it refuses (RFC 6749 section 5.2, with numbers of its own).
type oauthError struct {
	Code    string `json:"error"`
	Numbers []int  `json:"error_codes"`
}

// errNoObject says that an answer is not what a login is answered with. The library panics at null.
var errNoObject = errors.New("no JSON object")

// Do implements policy.Policy.
func (r *recorder) Do(req *policy.Request) (*http.Response, error) {
	*r = recorder{}
	resp, err := req.Next()
	if r.err = err; err != nil {
		return nil, err
	}
	r.status, r.after = resp.StatusCode, (&jsonhttp.Answer{Header: resp.Header}).RetryAfter()
	body, err := runtime.Payload(resp)
	if err != nil || json.Unmarshal(body, &r.oauth) != nil {
		r.oauth = oauthError{}
	}
	if resp.StatusCode < http.StatusMultipleChoices && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		return nil, errNoObject
	}
	return resp, nil
}

// refused is the error of a login at Entra ID that gave no token.
func (l login) refused(last *recorder) error {
	var unreachable *jsonhttp.UnreachableError
	switch {
	case errors.As(last.err, &unreachable):
		return providers.Errorf(providers.ErrUnavailable, "%s: entra id: %w", l.store, unreachable)
	case last.err == nil && last.status == 0 || errors.Is(last.err, context.Canceled) || errors.Is(last.err, context.DeadlineExceeded):
		return providers.Errorf(providers.ErrUnavailable, "%s: entra id did not answer in time", l.store)
	case last.status == http.StatusTooManyRequests:
		return fmt.Errorf("%s: entra id: %w", l.store, &providers.ThrottledError{After: last.after})
	case last.status >= http.StatusInternalServerError:
		return providers.Errorf(providers.ErrUnavailable, "%s: entra id answered %d %s", l.store, last.status, http.StatusText(last.status))
	case last.err == nil && last.status >= http.StatusBadRequest && last.oauth.Code != "":
		cure, class := judgeLogin(last.oauth)
		return providers.Errorf(class, "%s: entra id refuses the login: %s", l.store, cure)
	case last.status == 0:
		return providers.Errorf(providers.ErrUnavailable, "%s: what answers the login is not entra id's: it leads to an address without https, or says what is too long or no text; "+
			"check the cloud of the store and what is between", l.store)
	default:
		return providers.Errorf(providers.ErrUnavailable, "%s: the answer to the login (status %d) is not one of entra id's; check the cloud of the store and what is between",
			l.store, last.status)
	}
}

// judgeLogin is the table of what Entra ID says most (Microsoft Entra authentication and authorization error codes).
func judgeLogin(e oauthError) (cure string, class error) {
	for _, known := range []struct {
		numbers []int
		class   error
		cure    string
	}{
		{[]int{90002, 900021, 900023}, providers.ErrInvalid, "there is no such tenant; correct tenantId and environmentType"},
		{[]int{500011}, providers.ErrInvalid, "the tenant does not know the vault's audience; correct vaultUrl and environmentType"},
		{[]int{700016}, providers.ErrDenied, "the tenant has no application with this client id"},
		{[]int{7000215}, providers.ErrDenied, "the client secret is wrong; it is the secret's value that is needed, not its id"},
		{[]int{7000222}, providers.ErrDenied, "the client secret has expired; make a new one"},
		{[]int{7000112}, providers.ErrDenied, "the application is disabled"},
		{[]int{700027}, providers.ErrDenied, "the client certificate is not registered with the application, or has expired"},
		{[]int{70021, 700211, 700212, 700213}, providers.ErrDenied,
			"no federated credential of the application is for this ServiceAccount; it must name the cluster's issuer, the account and the audience"},
		{[]int{50146, 700024, 50027}, providers.ErrDenied, "it does not accept the assertion; check the clocks and the federated credential"},
	} {
		for _, number := range e.Numbers {
			if slices.Contains(known.numbers, number) {
				return known.cure + " (AADSTS" + strconv.Itoa(number) + ")", known.class
			}
		}
	}
	if len(e.Numbers) > 0 {
		return "AADSTS" + strconv.Itoa(e.Numbers[0]), providers.ErrDenied
	}
	return "check the credentials of the store", providers.ErrDenied
}
