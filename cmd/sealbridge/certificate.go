package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
	"github.com/sealbridge/sealbridge/internal/sealing"
)

// timeout bounds every request of a run; a cluster's proxy that does not answer must not hold a pipeline.
const timeout = 30 * time.Second

// connection is how a command gets at the certificate and the controller.
type connection struct {
	at   *clusterFlags
	host host
}

// certificate returns the certificate to seal to in PEM: the one that --cert names, else that of the cluster for a namespace.
func (c *connection) certificate(ctx context.Context, reached *cluster, namespace string) ([]byte, error) {
	text, err := c.fetchCertificate(ctx, reached, namespace)
	if err != nil {
		return nil, err
	}
	// An expired certificate may be fetched and looked at, but what is no certificate at all (a login page) is not handed on.
	if _, err := keyring.ParseRecipient(text, time.Time{}); err != nil {
		return nil, certificateError(err, c.at.cert)
	}
	return text, nil
}

func (c *connection) fetchCertificate(ctx context.Context, reached *cluster, namespace string) ([]byte, error) {
	if c.at.cert == "" {
		return reached.certificate(ctx, namespace)
	}
	return read(ctx, "--cert", c.at.cert)
}

// read returns the text that a flag names: of a file, or a file:, http: or https: URL.
func read(ctx context.Context, flag, from string) ([]byte, error) {
	text, err := readRaw(ctx, flag, from)
	return withoutMarks(text), err
}

func readRaw(ctx context.Context, flag, from string) ([]byte, error) {
	scheme, _, _ := strings.Cut(from, ":")
	switch scheme = strings.ToLower(scheme); {
	case strings.HasPrefix(from[len(scheme):], "://") && (scheme == "http" || scheme == "https"):
		return download(ctx, flag, from)
	case scheme == "file" && len(from) > len(scheme):
		u, err := url.Parse(from)
		if err != nil || u.Path == "" || (u.Host != "" && u.Host != "localhost") {
			return nil, usage("write file:///absolute/path, or the path alone", "%s is no file URL", flag)
		}
		return readFile(u.Path)
	case strings.HasPrefix(from[len(scheme):], "://"):
		return nil, usage("give a path, or a file:, http: or https: URL", "%s is no URL that can be read", flag)
	default:
		return readFile(from)
	}
}

// download gets what a flag names from a web server, through the proxy that the environment names.
func download(ctx context.Context, flag, from string) ([]byte, error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, usage("check its spelling", "%s is no URL", flag)
	}
	shown := u.Scheme + "://" + u.Host + u.Path // without user, password and query, which may be credentials
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, usage("check its spelling", "%s is no URL", flag)
	}
	response, err := (&http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}).Do(request)
	if err != nil {
		return nil, &sealing.Error{Problem: fmt.Sprintf("cannot fetch %q: %s", shown, transportError(err)), Hint: "check the URL and the network, or give " + flag + " a file", Cause: err}
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, &sealing.Error{Problem: fmt.Sprintf("cannot fetch %q: %s", shown, response.Status), Hint: "check the URL, or give " + flag + " a file"}
	}
	text, err := readBounded(response.Body, shown)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, &sealing.Error{Problem: fmt.Sprintf("cannot fetch %q: the answer has over %d bytes", shown, maxFile), Hint: "check the URL, or give " + flag + " a file", Cause: err}
	case err != nil:
		return nil, &sealing.Error{Problem: fmt.Sprintf("cannot fetch %q: %s", shown, transportError(err)), Hint: "check the URL and the network, or give " + flag + " a file", Cause: err}
	}
	return text, nil
}

// transportError returns what went wrong on the way, without the URL.
func transportError(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the connection was closed in the middle of the answer")
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the connection was closed without an answer")
	}
	return err
}

// certificateError is about what --cert names, or about what the controller has answered when that is empty.
func certificateError(err error, named string) error {
	hint, expires := useFlags, "it is of the controller's newest key: have it make another one (kill -USR1, or a shorter --key-renew-period)"
	if named != "" {
		hint, expires = "give --cert a file that --fetch-cert wrote, or leave it out to ask the controller", "get the current certificate with --fetch-cert"
	}
	var expired *keyring.ExpiredError
	switch {
	case errors.As(err, &expired):
		return &sealing.Error{Problem: err.Error(), Hint: expires, Cause: err}
	case errors.Is(err, keyring.ErrNotRSA):
		return &sealing.Error{Problem: "expected RSA public key: " + err.Error(), Hint: hint, Cause: err}
	default:
		return &sealing.Error{Problem: "cannot read the certificate: " + err.Error(), Hint: hint, Cause: err}
	}
}

// recipient asks for whom values of a namespace are sealed to: the cluster, where the flags do not say.
func (c *connection) recipient(ctx context.Context, reached *cluster, namespace string) (seal.Recipient, error) {
	if c.at.sealsNative() {
		return c.nativeRecipients(ctx, reached, namespace)
	}
	text, err := c.certificate(ctx, reached, namespace)
	if err != nil {
		return nil, err
	}
	key, err := keyring.ParseRecipient(text, time.Now())
	if err != nil {
		return nil, certificateError(err, c.at.cert)
	}
	return seal.Compat(key), nil
}

func (c *connection) note(text string) { _, _ = fmt.Fprintln(c.host.stderr, text) }
