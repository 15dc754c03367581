// Package proxy knows through which proxy of the environment a request goes, and says what is wrong with that proxy.
//
// It reads HTTPS_PROXY, HTTP_PROXY and NO_PROXY as Go's own HTTP client does, once in a process. It takes a request, and the error that
// it failed with, and gives back the proxy, and a text that names it and never its user or password. What is asked of the metadata
// addresses of clouds goes through no proxy: one would answer with the credentials of its own node.
package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/net/idna"

	"github.com/sealbridge/sealbridge/internal/cloudmetadata"
)

// Of returns the proxy that a request goes through; nil when it goes directly. A variable that holds no address counts as empty.
func Of(r *http.Request) (*url.URL, error) {
	if direct(r.URL.Hostname()) {
		return nil, nil //nolint:nilnil // as http.Transport wants it
	}
	return http.ProxyFromEnvironment(r)
}

// direct reports whether a host is asked through no proxy: one of a cloud's metadata service, and what may be the address of one. A
// text whose last part begins with a digit is no name, and Go takes "2852039166" for no address, but what a proxy is written in may.
// A host in other characters is what net/http makes of it where it asks a proxy for a connection.
func direct(host string) bool {
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return cloudmetadata.Has(addr)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && last[0] >= '0' && last[0] <= '9' || host == "metadata.google.internal" || host == "metadata.goog"
}

// Use has a transport send its requests through the proxies of the environment.
func Use(t *http.Transport) {
	t.Proxy = Of
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
		if answer.StatusCode == http.StatusOK {
			return nil
		}
		return &refusal{status: answer.StatusCode, basic: takesBasic(answer.Header)}
	}
}

// Way is how a request gets to where it goes.
type Way struct {
	// Via is the proxy in between; nil for none.
	Via *url.URL
	// Variable is what names it in the environment.
	Variable string
}

// To returns the way to an address.
func To(u *url.URL) Way {
	via, _ := Of(&http.Request{URL: u}) // it fails in CGI alone
	if u.Scheme == "http" {
		return Way{via, "HTTP_PROXY"}
	}
	return Way{via, "HTTPS_PROXY"}
}

// Through is what texts put behind the name of who did not answer; empty without a proxy.
func (w Way) Through() string {
	if w.Via == nil {
		return ""
	}
	return " through " + w.proxy()
}

func (w Way) proxy() string { return "the proxy " + w.Via.Scheme + "://" + w.Via.Host }

// refusal is the answer of a proxy that opens no tunnel.
type refusal struct {
	status int
	// basic is whether it takes a name and a password.
	basic bool
}

func (*refusal) Error() string { return "the proxy opens no tunnel" }

// takesBasic reports whether a proxy takes a name and a password, or does not say what it takes.
func takesBasic(h http.Header) bool {
	ways := h.Values("Proxy-Authenticate")
	return len(ways) == 0 || slices.ContainsFunc(ways, func(way string) bool { return strings.HasPrefix(strings.ToLower(way), "basic") })
}

// Refused returns what is wrong when the answer to a request for http:// is that of a proxy; else empty. Only what wants a login is
// known to be one's.
func (w Way) Refused(answer *http.Response) string {
	if w.Via == nil || w.Variable != "HTTP_PROXY" || answer.StatusCode != http.StatusProxyAuthRequired {
		return ""
	}
	return w.Says(answer.StatusCode, takesBasic(answer.Header))
}

// Says returns what is wrong when a proxy opens no tunnel and answers with a status. basic is whether it takes a name and a password.
func (w Way) Says(status int, basic bool) string {
	known := fmt.Sprintf("%d %s", status, http.StatusText(status))
	switch {
	case status == http.StatusProxyAuthRequired && !basic:
		return fmt.Sprintf("%s wants another login than by name and password (%s); let the controller through without", w.proxy(), known)
	case status == http.StatusProxyAuthRequired && w.Via.User == nil:
		return fmt.Sprintf("%s wants a login (%s); put name and password into %s of the controller: http://name:password@host:port", w.proxy(), known, w.Variable)
	case status == http.StatusProxyAuthRequired:
		return fmt.Sprintf("%s does not accept the name and password in %s of the controller (%s); correct them", w.proxy(), w.Variable, known)
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return fmt.Sprintf("%s does not reach it (%s); look there, or name its host in NO_PROXY of the controller", w.proxy(), known)
	default:
		return fmt.Sprintf("%s does not let requests through to it (%s); allow them there, or name its host in NO_PROXY of the controller", w.proxy(), strings.TrimSpace(known))
	}
}

// Fault returns what is wrong with the proxy when a request failed with an error of a transport for which Use was called; empty when it
// is not the proxy.
func (w Way) Fault(err error) string {
	var (
		refused *refusal
		op      *net.OpError
	)
	switch {
	case w.Via == nil:
		return ""
	case errors.As(err, &refused):
		return w.Says(refused.status, refused.basic)
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return w.Unreached(reason(op.Err))
	case errors.As(err, &op) && strings.HasPrefix(op.Op, "socks"): // there is a connection to the proxy, and its answer is a text of the library
		return fmt.Sprintf("%s makes no connection to it; look there, correct name and password in %s of the controller, or name its host in NO_PROXY", w.proxy(), w.Variable)
	default:
		return ""
	}
}

// Unreached returns what is wrong when there is no connection to the proxy; why says more, or is empty.
func (w Way) Unreached(why string) string {
	if why == "" {
		why = "no connection to it is made"
	}
	return fmt.Sprintf("%s: %s; check it, and %s of the controller", w.proxy(), why, w.Variable)
}

func reason(err error) string {
	var (
		dns     *net.DNSError
		unknown x509.UnknownAuthorityError
		network net.Error
	)
	switch {
	case errors.As(err, &dns):
		return "its name cannot be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refuses connections"
	case errors.As(err, &unknown):
		return "its certificate is signed by an unknown authority"
	case errors.As(err, &network) && network.Timeout():
		return "it did not answer in time"
	default:
		return ""
	}
}
