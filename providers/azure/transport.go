package azure

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
)

var (
	// errForeign says that the SDK was led to another host than the one that it was opened for.
	errForeign = errors.New("another host")
	// errGarbled says that an answer is not text. The decoder would put other characters in the place of what is none.
	errGarbled = errors.New("not UTF-8")
)

// transport carries the SDK's requests. Answers are complete and bounded when the SDK sees them.
type transport struct {
	http *jsonhttp.Client
	// host is the only one that requests may go to, as hostOf spells it; empty means any that speaks https.
	host string
}

// newTransport returns a transport that trusts the authorities of the system.
func newTransport(host string) transport {
	return transport{host: host, http: jsonhttp.New(jsonhttp.Options{RootsHint: "make the authority known to the controller (SSL_CERT_FILE)"})}
}

// hostOf returns the host of an address in one spelling: in small letters, and without the usual port, which Key Vault names in
// the addresses of further pages.
func hostOf(u *url.URL) string { return strings.TrimSuffix(strings.ToLower(u.Host), ":443") }

// Do implements policy.Transporter.
func (t transport) Do(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" || t.host != "" && hostOf(req.URL) != t.host {
		return nil, errForeign
	}
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, errForeign // the SDK's own buffers do not fail
		}
	}
	answer, err := t.http.Do(req.Context(), jsonhttp.Request{
		Method: req.Method, URL: req.URL, Peer: "https://" + req.URL.Host, Header: req.Header, Raw: body,
	})
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(answer.Body) {
		return nil, errGarbled
	}
	if answer.Status == http.StatusUnauthorized {
		tidyChallenge(answer.Header)
	}
	return &http.Response{
		StatusCode: answer.Status, Status: http.StatusText(answer.Status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: answer.Header, Body: io.NopCloser(bytes.NewReader(answer.Body)), ContentLength: int64(len(answer.Body)), Request: req,
	}, nil
}

const headerChallenge = "WWW-Authenticate"

// tidyChallenge leaves of a vault's challenge what the SDK needs, in the form that it expects, and nothing of one that is
// malformed: the SDK's parser panics at some of these.
func tidyChallenge(header http.Header) {
	authority, resource, ok := parseChallenge(header.Get(headerChallenge))
	header.Del(headerChallenge)
	if ok {
		header.Set(headerChallenge, `Bearer authorization="`+authority+`", resource="`+resource+`"`)
	}
}

// parseChallenge returns where a vault says that tokens come from and what they must be for.
func parseChallenge(challenge string) (authority, resource string, ok bool) {
	scheme, rest, _ := strings.Cut(challenge, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", "", false
	}
	params := map[string]string{}
	for _, part := range strings.FieldsFunc(rest, func(c rune) bool { return c == ',' || c == ' ' }) {
		name, value, _ := strings.Cut(part, "=")
		params[strings.ToLower(name)] = strings.Trim(value, `"`)
	}
	authority, resource = params["authorization"], params["resource"]
	if resource == "" {
		resource = params["scope"]
	}
	at, err := url.Parse(authority)
	if err != nil || at.Host == "" || strings.Trim(at.Path, "/") == "" || strings.ContainsAny(authority, `"=`) {
		return "", "", false
	}
	of, err := url.Parse(resource)
	if err != nil || of.Scheme != "https" || of.Host == "" || strings.ContainsAny(resource, `"=`) {
		return "", "", false
	}
	return authority, resource, true
}
