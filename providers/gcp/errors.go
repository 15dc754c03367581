package gcp

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	iampb "cloud.google.com/go/iam/apiv1/iampb"

	"github.com/sealbridge/sealbridge/internal/proxy"
	"github.com/sealbridge/sealbridge/providers"
)

// request is what was asked for, in messages.
type request struct {
	// name is the resource, did what was to be done with it, and permission and role what allows it.
	name, did, permission, role string
}

func code(err error) codes.Code { return status.Code(err) }

func testPermissions(resource string) *iampb.TestIamPermissionsRequest {
	return &iampb.TestIamPermissionsRequest{Resource: resource, Permissions: []string{"secretmanager.versions.access"}}
}

// unreadable reports that a version is disabled or destroyed. There is no other sign of it than the text.
func unreadable(err error) bool {
	st, _ := status.FromError(err)
	return st.Code() == codes.FailedPrecondition && (strings.Contains(st.Message(), "DISABLED state") || strings.Contains(st.Message(), "DESTROYED state"))
}

// reason is why Google refuses, in its own words for programs (google.rpc.ErrorInfo); empty when it does not say.
func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// aboutProject reports that the refusal is about the project and not about a secret.
func aboutProject(err error) bool {
	switch reason(err) {
	case "SERVICE_DISABLED", "CONSUMER_INVALID", "BILLING_DISABLED", "CONSUMER_SUSPENDED":
		return true
	default:
		return false
	}
}

// wait is how long Google asks to wait (google.rpc.RetryInfo); zero when it does not say.
func wait(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return max(0, retry.GetRetryDelay().AsDuration())
		}
	}
	return 0
}

// noProject reports that the project does not exist, which is said with the code of a secret that does not.
func noProject(err error) bool {
	return code(err) == codes.NotFound && strings.HasPrefix(status.Convert(err).Message(), "Project")
}

// tooLarge reports that the library refused an answer for its size, before or after decompression, which it says with a code of
// the server's.
func tooLarge(err error) bool {
	text := status.Convert(err).Message()
	return strings.HasPrefix(text, "grpc: ") && strings.Contains(text, "larger than max")
}

// foreign reports that something answered that speaks no gRPC, as proxies do. The library gives it the code that goes with its HTTP
// status, as if Secret Manager had refused.
func foreign(err error) bool {
	text := status.Convert(err).Message()
	return strings.Contains(text, "unexpected HTTP status code") || strings.Contains(text, "unexpected content-type")
}

// refused turns an error of gRPC into one of a class. What is about Secret Manager and not about what was asked names nothing that
// was asked for: everybody who uses the store is told.
func (s *session) refused(err error, r request) error {
	switch c := code(err); {
	case foreign(err), errors.Is(err, errRepeats):
		return s.foreign()
	case errors.Is(err, errEndless):
		return s.errorf(providers.ErrInvalid, "it takes more than %d pages to %s %s; have less of it, or check what is between", maxPages, r.did, r.name)
	case tooLarge(err):
		return s.errorf(providers.ErrInvalid, "%s: the answer is larger than 4 MiB; a Kubernetes Secret holds at most 1 MiB", r.name)
	case c == codes.ResourceExhausted:
		return fmt.Errorf("%s: Secret Manager: %w", s.store, &providers.ThrottledError{After: wait(err)})
	case aboutProject(err):
		return s.errorf(providers.ErrDenied, "the Secret Manager API cannot be used in project %s: enable it, with billing, or correct projectID", s.project)
	case noProject(err):
		return s.errorf(providers.ErrInvalid, "there is no project %s; correct projectID", s.project)
	case c == codes.NotFound:
		return s.errorf(providers.ErrNotFound, "Secret Manager has no %s, or no version of it", r.name)
	case c == codes.PermissionDenied:
		return s.errorf(providers.ErrDenied, "Secret Manager does not let the store %s %s: grant %s on it (%s) to %s", r.did, r.name, r.permission, r.role, s.who)
	case c == codes.Unauthenticated:
		return s.errorf(providers.ErrDenied, "Secret Manager refuses the access token of %s; check that it still exists and is enabled", s.who)
	case unreadable(err):
		return s.errorf(providers.ErrDenied, "%s is disabled or destroyed; enable it, add a version, or set secretVersionSelectionPolicy: LatestOrFetch", r.name)
	case c == codes.FailedPrecondition:
		return s.errorf(providers.ErrDenied, "Secret Manager cannot %s %s in its present state; look at its versions and its encryption key", r.did, r.name)
	case c == codes.InvalidArgument || c == codes.OutOfRange:
		return s.errorf(providers.ErrInvalid, "Secret Manager does not accept %s; correct the key, the version, projectID or location", r.name)
	case c == codes.Canceled || c == codes.DeadlineExceeded:
		return s.errorf(providers.ErrUnavailable, "Secret Manager did not answer in time")
	default:
		return s.errorf(providers.ErrUnavailable, "%s", s.away(err))
	}
}

// foreign is the error for an answer that Secret Manager does not give.
func (s *session) foreign() error {
	return s.errorf(providers.ErrUnavailable, "the answer is not one of Secret Manager's; check what is between")
}

// away says why Secret Manager did not answer. The texts of the library name sockets and are matched alone.
func (s *session) away(err error) string {
	at := host(s.location)
	return unanswered(err, at, proxy.To(&url.URL{Scheme: "https", Host: at}))
}

// unanswered says why a host did not answer that is reached on a way.
func unanswered(err error, at string, way proxy.Way) string {
	text := status.Convert(err).Message()
	if fault := ofProxy(way, text); fault != "" {
		return "cannot reach " + at + ": " + fault
	}
	at += way.Through()
	switch {
	case strings.Contains(text, "certificate"):
		return "cannot reach " + at + ": its certificate is not trusted; the controller must trust what is between (SSL_CERT_FILE)"
	case strings.Contains(text, "no such host") || strings.Contains(text, "produced zero addresses"):
		return "cannot reach " + at + ": its name cannot be resolved"
	case strings.Contains(text, "connection refused"):
		return "cannot reach " + at + ": it refuses connections"
	case strings.Contains(text, "while dialing"):
		return "cannot reach " + at + ": no connection is made; check what is between"
	default:
		return "Secret Manager answered " + code(err).String()
	}
}

// ofProxy returns what is wrong with the proxy on the way, if it is that; else nothing. All that is dialled then is the proxy.
func ofProxy(way proxy.Way, text string) string {
	if way.Via == nil {
		return ""
	}
	_, answer, answered := strings.Cut(strings.ToLower(text), "failed to do connect handshake, ")
	switch words := strings.Fields(answer); {
	case answered && len(words) > 2: // response: "http/1.1 407 ..., or: status code: 407 ...
		code, _ := strconv.Atoi(words[2])
		return way.Says(code, !strings.Contains(answer, "proxy-authenticate: ") || strings.Contains(answer, "proxy-authenticate: basic"))
	case strings.Contains(text, "no such host") || strings.Contains(text, "produced zero addresses"):
		return way.Unreached("its name cannot be resolved")
	case strings.Contains(text, "connection refused"):
		return way.Unreached("it refuses connections")
	case strings.Contains(text, "while dialing"):
		return way.Unreached("")
	default:
		return ""
	}
}

func (s *session) errorf(class error, format string, args ...any) error {
	return providers.Errorf(class, "%s: "+format, append([]any{s.store}, args...)...)
}
