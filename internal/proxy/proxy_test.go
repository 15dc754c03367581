package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/forwardproxy"
)

const canary = "canary-7f3e91c4"

func TestMetadataAddressesAreAskedThroughNoProxy(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"169.254.169.254": true, "169.254.170.2": true, "169.254.170.23": true, "fd00:ec2::254": true, "fe80::1%eth0": true, "::ffff:169.254.169.254": true,
		"168.63.129.16": true, "100.100.100.200": true, "metadata.google.internal": true, "Metadata.Google.Internal.": true, "metadata.goog": true,
		// What a proxy may take for one of them.
		"2852039166": true, "0xa9fea9fe": true, "0xa9.254.43518": true, "169.254.43518": true, "169.254.169.254.": true, "a.169.254.0xa9fe": true,
		// What Go makes one of them.
		"metadata\u3002google\u3002internal": true, "\uff4detadata.goog": true, "\uff12852039166": true, "169\uff0e254\uff0e169\uff0e254": true,
		"vault.example.com": false, "vault": false, "4you.example": false, "169.254.169.254.nip.io": false, "10.0.0.1": false, "fd00::1": false, "": false, ".": false,
		"xn--p1ai": false, "b\u00fccher.example": false, "a_b.example": false, "a.b.": false,
	} {
		if got := direct(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// through makes a request through a proxy that answers as says, and returns what is wrong with the proxy, and with the request.
func through(t *testing.T, via *url.URL, target string) (fault string, err error) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	Use(transport)
	transport.Proxy = http.ProxyURL(via)
	w := Way{via, strings.ToUpper(target[:strings.Index(target, ":")]) + "_PROXY"}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return w.Fault(err), err
	}
	_ = answer.Body.Close()
	return w.Refused(answer), nil
}

func TestWhatAProxyRefusesIsSaidWithItsCureAndWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for what, tc := range map[string]struct {
		login  *url.Userinfo
		target string
		status int
		header []string
		want   string // after the proxy's address
	}{
		"a login":              {nil, "https://a.test", 407, []string{`Basic realm="x"`}, "wants a login (407 Proxy Authentication Required); put name and password into HTTPS_PROXY of the controller"},
		"a login, for http":    {nil, "http://a.test", 407, nil, "wants a login (407 Proxy Authentication Required); put name and password into HTTP_PROXY"},
		"another login":        {url.UserPassword("u", canary), "https://a.test", 407, []string{"Negotiate", "basic"}, "does not accept the name and password in HTTPS_PROXY of the controller"},
		"a login of Windows":   {url.UserPassword("u", canary), "https://a.test", 407, []string{"Negotiate", "NTLM"}, "wants another login than by name and password"},
		"a host":               {url.UserPassword(canary, canary), "https://a.test", 403, nil, "does not let requests through to it (403 Forbidden)"},
		"what has no name":     {nil, "https://a.test", 499, nil, "does not let requests through to it (499)"},
		"a redirect to a page": {nil, "https://a.test", 302, nil, "does not let requests through to it (302 Found)"},
		"no host":              {nil, "https://a.test", 502, nil, "does not reach it (502 Bad Gateway); look there, or name its host in NO_PROXY"},
		"no host in time":      {nil, "https://a.test", 504, nil, "does not reach it (504 Gateway Timeout)"},
		"nothing, for http":    {nil, "http://a.test", 502, nil, ""}, // it may be the answer of the server
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for _, way := range tc.header {
				w.Header().Add("Proxy-Authenticate", way)
			}
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, "<html>"+canary)
		}))
		via := &url.URL{Scheme: "http", User: tc.login, Host: server.Listener.Addr().String()}
		got, _ := through(t, via, tc.target)
		server.Close()
		if strings.Contains(got, canary) || tc.want == "" && got != "" || tc.want != "" && !strings.HasPrefix(got, "the proxy "+server.URL+" "+tc.want) {
			t.Errorf("%s: %q", what, got)
		}
	}
}

func TestAProxyThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	for address, want := range map[string]string{
		closed.URL:               "it refuses connections; check it, and HTTPS_PROXY of the controller",
		"http://nowhere.invalid": "its name cannot be resolved; check it",
		"socks5://" + closed.Listener.Addr().String(): "it refuses connections",
	} {
		via, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		via.User = url.UserPassword("u", canary)
		if got, _ := through(t, via, "https://a.test"); got != "the proxy "+address+": "+want && !strings.HasPrefix(got, "the proxy "+address+": "+want) || strings.Contains(got, canary) {
			t.Errorf("%s: %q", address, got)
		}
	}
	secured := httptest.NewTLSServer(nil)
	defer secured.Close()
	via, err := url.Parse(secured.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := through(t, via, "https://a.test"); !strings.Contains(got, "its certificate is signed by an unknown authority") {
		t.Errorf("a proxy with a certificate of its own: %q", got)
	}
}

// A SOCKS proxy that is there and makes no connection is not one that is not there.
func TestWhatASOCKSProxyRefusesIsNotAConnectionToItself(t *testing.T) {
	t.Parallel()
	const hello, noLogin, unreachable = "\x05\x00", "\x05\xff", "\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"
	for what, says := range map[string][]string{"it takes no login": {noLogin}, "it does not reach the host": {hello, unreachable}, "it hangs up": nil} {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			for _, answer := range says {
				_, _ = conn.Read(make([]byte, 256))
				_, _ = io.WriteString(conn, answer)
			}
		}()
		via := &url.URL{Scheme: "socks5", User: url.UserPassword("u", canary), Host: listener.Addr().String()}
		got, _ := through(t, via, "https://a.test")
		_ = listener.Close()
		if want := "the proxy socks5://" + via.Host + " makes no connection to it; look there"; !strings.HasPrefix(got, want) || strings.Contains(got, canary) {
			t.Errorf("%s: %q", what, got)
		}
	}
}

// What is no fault of the proxy is not said to be one.
func TestAServerBehindAProxyIsNotTheProxy(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	p := forwardproxy.New(t, url.UserPassword("u", canary))
	p.Lead("a.test", server.Listener.Addr().String())
	via, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := through(t, via, "https://a.test"); got != "" || err == nil {
		t.Errorf("a certificate of an unknown authority: %q, %v", got, err)
	}
	if got := p.Asked(); len(got) != 1 || got[0] != "a.test" {
		t.Errorf("it was asked for %v", got)
	}
	if got := (Way{}).Fault(&net.OpError{Op: "proxyconnect", Err: errors.New("x")}); got != "" {
		t.Errorf("without a proxy: %q", got)
	}
}
