package vault

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Late is an address of a Server at which logins are answered late: Vault has done what was asked, and nobody knows yet.
type Late struct {
	// Address is what clients use instead of that of the server.
	Address string
	// Answered has an element for each login that Vault has answered.
	Answered <-chan struct{}
	release  func()
}

// Late returns another address of the server, until the test ends.
func (s *Server) Late(t testing.TB) *Late {
	t.Helper()
	target, err := url.Parse(s.address)
	if err != nil {
		t.Fatal(err)
	}
	answered, released := make(chan struct{}, 100), make(chan struct{})
	proxy := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ModifyResponse: func(r *http.Response) error {
			if strings.HasPrefix(r.Request.URL.Path, "/v1/auth/") && strings.HasSuffix(r.Request.URL.Path, "/login") {
				answered <- struct{}{}
				<-released
			}
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	l := &Late{Address: server.URL, Answered: answered, release: sync.OnceFunc(func() { close(released) })}
	t.Cleanup(func() {
		l.release()
		server.CloseClientConnections()
		server.Close()
	})
	return l
}

// Release lets all answers go, also those of later logins.
func (l *Late) Release() { l.release() }
