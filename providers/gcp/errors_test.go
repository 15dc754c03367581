package gcp

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/sealbridge/sealbridge/internal/proxy"
	"github.com/sealbridge/sealbridge/providers"
)

// The library refuses what is too large with the code of a server that is asked too often.
func TestAnAnswerThatIsTooLargeIsNoReasonToAskLater(t *testing.T) {
	t.Parallel()
	s := &session{store: "SecretStore team-a/google"}
	throttled := new(providers.ThrottledError)
	for text, large := range map[string]bool{
		"grpc: received message larger than max (5242891 vs. 4194304)":            true,
		"grpc: received message after decompression larger than max 4194304":      true,
		"grpc: message after decompression larger than max (5242891 vs. 4194304)": true,
		"Quota exceeded for quota metric 'Access requests'":                       false,
		"Quota 'Access requests' is larger than max":                              false,
		"grpc: too many requests":                                                 false,
		"":                                                                        false,
	} {
		err := s.refused(status.Error(codes.ResourceExhausted, text), request{name: "projects/p/secrets/a"})
		if errors.Is(err, providers.ErrInvalid) != large || errors.As(err, &throttled) == large {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWhatGoogleRefusesHasTheClassOfItsCause(t *testing.T) {
	t.Parallel()
	s := &session{store: "SecretStore team-a/google", project: "p", who: "it"}
	for _, tc := range []struct {
		code  codes.Code
		text  string
		why   string // google.rpc.ErrorInfo, which is not the first detail
		class error
		want  string
	}{
		{codes.PermissionDenied, "x", "", providers.ErrDenied, "does not let the store read projects/p/secrets/a: grant x.get on it (roles/x) to it"},
		{codes.PermissionDenied, "Project p: x", "", providers.ErrDenied, "does not let the store read"},
		{codes.PermissionDenied, "x", "IAM_PERMISSION_DENIED", providers.ErrDenied, "does not let the store read"},
		{codes.PermissionDenied, "x", "SERVICE_DISABLED", providers.ErrDenied, "cannot be used in project p: enable it, with billing"},
		{codes.PermissionDenied, "x", "CONSUMER_INVALID", providers.ErrDenied, "cannot be used in project p"},
		{codes.PermissionDenied, "x", "BILLING_DISABLED", providers.ErrDenied, "cannot be used in project p"},
		{codes.PermissionDenied, "x", "CONSUMER_SUSPENDED", providers.ErrDenied, "cannot be used in project p"},
		{codes.NotFound, "Project not found", "", providers.ErrInvalid, "there is no project p; correct projectID"},
		{codes.NotFound, "Secret not found", "", providers.ErrNotFound, "has no projects/p/secrets/a, or no version of it"},
		{codes.Unauthenticated, "x", "", providers.ErrDenied, "refuses the access token of it"},
		{codes.FailedPrecondition, "version is in DISABLED state", "", providers.ErrDenied, "is disabled or destroyed; enable it"},
		{codes.FailedPrecondition, "version is in DESTROYED state", "", providers.ErrDenied, "is disabled or destroyed; enable it"},
		{codes.FailedPrecondition, "key is gone", "", providers.ErrDenied, "cannot read projects/p/secrets/a in its present state"},
		{codes.InvalidArgument, "no such DISABLED state", "", providers.ErrInvalid, "does not accept projects/p/secrets/a"},
		{codes.OutOfRange, "x", "", providers.ErrInvalid, "does not accept projects/p/secrets/a"},
		{codes.Canceled, "x", "", providers.ErrUnavailable, "did not answer in time"},
		{codes.DeadlineExceeded, "x", "", providers.ErrUnavailable, "did not answer in time"},
		{codes.PermissionDenied, "unexpected HTTP status code received from server: 403", "", providers.ErrUnavailable, "not one of Secret Manager's"},
		{codes.Unauthenticated, `received unexpected content-type "text/html"`, "", providers.ErrUnavailable, "not one of Secret Manager's"},
		{codes.Unavailable, "dial: lookup x: no such host", "", providers.ErrUnavailable, "its name cannot be resolved"},
		{codes.Unavailable, "name resolver error: produced zero addresses", "", providers.ErrUnavailable, "its name cannot be resolved"},
		{codes.Unavailable, "error while dialing: connection refused", "", providers.ErrUnavailable, "it refuses connections"},
		{codes.Unavailable, "error while dialing: x", "", providers.ErrUnavailable, ": no connection"},
		{codes.Unavailable, "handshake: certificate is not trusted", "", providers.ErrUnavailable, "its certificate is not trusted"},
		{codes.Internal, "x", "", providers.ErrUnavailable, "Secret Manager answered Internal"},
	} {
		st, err := status.New(tc.code, tc.text).WithDetails(&errdetails.RetryInfo{}, &errdetails.ErrorInfo{Reason: tc.why})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.refused(st.Err(), request{"projects/p/secrets/a", "read", "x.get", "roles/x"}); !errors.Is(err, tc.class) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s, %s, %s: %v", tc.code, tc.text, tc.why, err)
		}
	}
}

// The library names neither a proxy nor what it answered, except in texts that hold that as a whole.
func TestAProxyBeforeGoogleIsToldApartFromGoogle(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3e91c4"
	const dialing, at = "connection error: desc = \"transport: error while dialing: ", "cannot reach a: the proxy http://p:3128"
	proxied := proxy.Way{Via: &url.URL{Scheme: "http", Host: "p:3128", User: url.UserPassword("u", canary)}, Variable: "HTTPS_PROXY"}
	for _, tc := range []struct {
		way        proxy.Way
		text, want string
	}{
		{proxied, dialing + `failed to do connect handshake, response: "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n` + canary, at + " does not accept the name and password in HTTPS_PROXY"},
		{proxied, dialing + `failed to do connect handshake, response: "HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n` + canary, at + " wants another login than by name and password"},
		{proxied, dialing + "failed to do connect handshake, status code: 403 Forbidden", at + " does not let requests through to it (403 Forbidden)"},
		{proxied, dialing + "failed to do connect handshake, response: ", at + ": no connection to it is made"},
		{proxied, dialing + "dial tcp 127.0.0.1:3128: connect: connection refused", at + ": it refuses connections"},
		{proxied, "dns: A record lookup error: lookup p: no such host", at + ": its name cannot be resolved"},
		{proxied, "name resolver error: produced zero addresses", at + ": its name cannot be resolved"},
		{proxied, dialing + "reading server HTTP response: EOF", at + ": no connection to it is made"},
		{proxied, "authentication handshake failed: tls: failed to verify certificate", "cannot reach a through the proxy http://p:3128: its certificate is not trusted"},
		{proxied, "x", "Secret Manager answered Unavailable"},
		{proxy.Way{}, dialing + "dial tcp 10.0.0.1:443: connect: connection refused", "cannot reach a: it refuses connections"},
		{proxy.Way{}, "dns: A record lookup error: lookup a: no such host", "cannot reach a: its name cannot be resolved"},
		{proxy.Way{}, dialing + "x", "cannot reach a: no connection is made; check what is between"},
	} {
		if got := unanswered(status.Error(codes.Unavailable, tc.text), "a", tc.way); !strings.HasPrefix(got, tc.want) || strings.Contains(got, canary) {
			t.Errorf("%s: %s", tc.text, got)
		}
	}
}

func TestWhenToAskAgainIsWhatGoogleSays(t *testing.T) {
	t.Parallel()
	s := &session{store: "SecretStore team-a/google"}
	for want, details := range map[time.Duration][]protoadapt.MessageV1{
		7 * time.Second: {&errdetails.ErrorInfo{}, &errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)}},
		0:               {&errdetails.ErrorInfo{}, &errdetails.RetryInfo{RetryDelay: durationpb.New(-time.Second)}},
	} {
		st, err := status.New(codes.ResourceExhausted, "quota").WithDetails(details...)
		if err != nil {
			t.Fatal(err)
		}
		throttled := new(providers.ThrottledError)
		if !errors.As(s.refused(st.Err(), request{}), &throttled) || throttled.After != want {
			t.Errorf("it is asked again after %s, want %s", throttled.After, want)
		}
		if !errors.As(s.refused(status.Error(codes.ResourceExhausted, "quota"), request{}), &throttled) || throttled.After != 0 {
			t.Errorf("without a word it is asked again after %s", throttled.After)
		}
	}
}
