package jsonhttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"github.com/sealbridge/sealbridge/internal/property"
	"github.com/sealbridge/sealbridge/internal/proxy"
)

// ErrTooLarge says that the answer was longer than MaxAnswer, or had more values than property.MaxParts.
var ErrTooLarge = fmt.Errorf("the answer is larger than 4 MiB, or has more than %d values; split it: a Kubernetes Secret holds at most 1 MiB", property.MaxParts)

var errMetadata = errors.New("link-local or metadata address")

// UnreachableError says that no answer came. Its text names the backend's configured address and why, and is the same for
// the same cause.
type UnreachableError struct {
	text  string
	cause error
}

func (e *UnreachableError) Error() string { return e.text }

// Unwrap returns the context's error when the context ended the request, else nil.
func (e *UnreachableError) Unwrap() error { return e.cause }

func unreachable(peer, why string, cause error) error {
	return &UnreachableError{text: "cannot reach " + peer + ": " + why, cause: cause}
}

// route is where a request goes, in messages, and how.
type route struct {
	peer string
	way  proxy.Way
}

// explain reduces an error of the transport, which names sockets and quotes the URL, to what an operator can act on.
func (c *Client) explain(ctx context.Context, to route, err error) error {
	peer := to.peer + to.way.Through()
	var (
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		op      *net.OpError
		network net.Error
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return unreachable(peer, "the request was canceled", context.Canceled)
	case ctx.Err() != nil:
		return unreachable(peer, "it did not answer in time", context.DeadlineExceeded)
	case to.way.Fault(err) != "":
		return unreachable(to.peer, to.way.Fault(err), nil)
	case errors.As(err, &dns):
		return unreachable(peer, "its name cannot be resolved", nil)
	case errors.Is(err, errMetadata):
		return unreachable(peer, "link-local and metadata addresses are refused, because clouds keep the credentials of nodes there", nil)
	case errors.Is(err, syscall.ECONNREFUSED):
		return unreachable(peer, "it refuses connections", nil)
	case errors.As(err, &unknown):
		return unreachable(peer, "its certificate is signed by an unknown authority; "+c.hint, nil)
	case errors.As(err, &host):
		return unreachable(peer, "its certificate is for another host name", nil)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return unreachable(peer, "its certificate has expired or is not valid yet", nil)
	case errors.As(err, &verify):
		return unreachable(peer, "its certificate is not valid", nil)
	case errors.As(err, &op) && op.Op == "remote error": // crypto/tls wraps the alerts of the other side like this
		return unreachable(peer, "it refuses the TLS handshake; check the client certificate", nil)
	case errors.Is(err, http.ErrSchemeMismatch):
		return unreachable(peer, "it speaks http, not https", nil)
	case errors.As(err, &network) && network.Timeout():
		return unreachable(peer, "it did not answer in time", nil)
	default:
		return unreachable(peer, "the connection broke", nil)
	}
}
