package jsonhttp_test

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/internal/jsonhttp"
)

// peer is a server of HTTP/2 that knows its open connections.
type peer struct {
	*httptest.Server
	mu   sync.Mutex
	open map[net.Conn]bool
}

func newPeer(t *testing.T, handler http.HandlerFunc) *peer {
	t.Helper()
	p := &peer{Server: httptest.NewUnstartedServer(handler), open: map[net.Conn]bool{}}
	p.EnableHTTP2 = true
	p.Config.ConnState = func(c net.Conn, state http.ConnState) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.open[c] = true; state == http.StateClosed {
			delete(p.open, c)
		}
	}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

func (p *peer) client(t *testing.T) *jsonhttp.Client {
	t.Helper()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	return jsonhttp.New(jsonhttp.Options{Base: u, Roots: roots})
}

// abandoned waits until no connection is open, for less time than an idle one is kept.
func (p *peer) abandoned(t *testing.T) {
	t.Helper()
	var left int
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		left = len(p.open)
		p.mu.Unlock()
		if left == 0 {
			return
		}
	}
	t.Errorf("%d connections of clients that were closed are open", left)
}

func TestARequestThatIsUnderWayOutlivesTheEndOfItsClient(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	p := newPeer(t, func(http.ResponseWriter, *http.Request) {
		close(began)
		<-release
	})
	c := p.client(t)
	done := make(chan error, 1)
	go func() {
		_, err := c.Do(t.Context(), jsonhttp.Request{Method: http.MethodGet})
		done <- err
	}()
	<-began
	c.Close()
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	p.abandoned(t)
}
