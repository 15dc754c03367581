package jsonhttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whoever may write a store chooses its URL.
func TestAddressesWhereCloudsKeepCredentialsAreNotDialled(t *testing.T) {
	t.Parallel()
	for peer, allowed := range map[string]bool{
		"169.254.169.254:80": false, "169.254.170.2:80": false, "[::ffff:169.254.169.254]:80": false, "[fe80::1%eth0]:80": false,
		"[fd00:ec2::254]:80": false, "[fd20:ce::254]:443": false, "100.100.100.200:80": false, "168.63.129.16:80": false,
		"192.0.0.192:80": false, "[::ffff:100.100.100.200]:80": false, "no address": false,
		"127.0.0.1:8200": true, "[::1]:8200": true, "10.0.0.1:8200": true, "192.168.0.1:443": true, "[fd00::1]:8200": true, "140.82.112.3:443": true,
	} {
		err := refuseMetadata(t.Context(), "tcp", peer, nil)
		if (err == nil) != allowed || err != nil && !errors.Is(err, errMetadata) {
			t.Errorf("%s: %v", peer, err)
		}
	}
	// The client itself asks: a name or an address in the URL makes no difference at this point.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c := New(Options{Base: &url.URL{Scheme: "http", Host: "100.100.100.200"}})
	defer c.Close()
	_, err := c.Do(ctx, Request{Method: "GET", Path: "latest/meta-data"})
	if err == nil || !strings.Contains(err.Error(), "metadata addresses are refused") {
		t.Errorf("got %v", err)
	}
	if err := c.Dial(ctx, &url.URL{Scheme: "http", Host: "100.100.100.200"}); err == nil || !strings.Contains(err.Error(), "metadata addresses are refused") {
		t.Errorf("to see whether somebody is there: %v", err)
	}
}

func TestWhyNoAnswerCameIsSaidWithoutWhatWasAsked(t *testing.T) {
	t.Parallel()
	const canary = "canary-3e6b"
	c := New(Options{RootsHint: "name its authority"})
	defer c.Close()
	for want, err := range map[string]error{
		"its name cannot be resolved": &net.DNSError{Err: canary, Name: canary, IsTimeout: true},
		"it refuses connections":      &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"its certificate is signed by an unknown authority; name its authority": &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"its certificate is for another host name":                              &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: canary}},
		"its certificate has expired or is not valid yet":                       &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired, Detail: canary}},
		"its certificate is not valid":                                          &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.TooManyIntermediates, Detail: canary}},
		"it refuses the TLS handshake; check the client certificate":            &net.OpError{Op: "remote error", Err: errors.New(canary)},
		"it speaks http, not https":                                             http.ErrSchemeMismatch,
		"it did not answer in time":                                             &net.OpError{Op: "dial", Err: context.DeadlineExceeded},
		"the connection broke":                                                  errors.New(canary),
	} {
		got := c.explain(t.Context(), route{peer: "https://a"}, &url.Error{Op: "Get", URL: "https://a?token=" + canary, Err: err})
		if got.Error() != "cannot reach https://a: "+want {
			t.Errorf("%v, want %s", got, want)
		}
	}
}

// A redirect that is not followed is no answer either, whatever its body says.
func TestEachRedirectIsRefused(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.Header().Set("Location", "/200")
		w.WriteHeader(status)
	}))
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Base: base})
	defer c.Close()
	for status, refused := range map[int]bool{200: false, 300: true, 301: true, 302: true, 303: true, 304: false, 305: true, 307: true, 308: true, 404: false} {
		answer, err := c.Do(t.Context(), Request{Method: http.MethodGet, Path: fmt.Sprint(status)})
		if (err != nil) != refused || !refused && answer.Status != status {
			t.Errorf("%d: %+v, %v", status, answer, err)
		}
	}
}
