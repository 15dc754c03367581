package gcp

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

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
		{codes.Unavailable, "error while dialing: x", "", providers.ErrUnavailable, "no connection is made"},
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
