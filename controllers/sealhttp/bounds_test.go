package sealhttp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/controllers/sealhttp"
	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/crypto/seal"
)

// pipe is a listener of one connection without any buffer, and says when the server closed it.
type pipe struct {
	net.Listener
	conn   net.Conn
	closed chan struct{}
	gone   time.Time
}

type watched struct {
	net.Conn
	p *pipe
}

func (w watched) Close() error {
	if w.p.gone.IsZero() {
		w.p.gone = time.Now()
		close(w.p.closed)
	}
	return w.Conn.Close()
}

func (p *pipe) Accept() (net.Conn, error) {
	if conn := p.conn; conn != nil {
		p.conn = nil
		return watched{conn, p}, nil
	}
	<-p.closed
	return nil, net.ErrClosed
}

func (*pipe) Addr() net.Addr { return &net.TCPAddr{} }
func (*pipe) Close() error   { return nil }

// In a bubble, so that a minute passes at once. Nobody has to say who he is, so that whoever is slow holds a connection no
// longer than these bounds.
func TestWhoeverIsSlowIsCutOff(t *testing.T) {
	t.Parallel()
	ring := keyring.New(generate(t, 0))
	const get, post = "GET /v1/cert.pem HTTP/1.1\r\nHost: x\r\n", "POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
	read := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, test := range map[string]struct {
		options sealhttp.Options
		sends   string
		then    func(net.Conn)
		after   time.Duration
	}{
		"half a header":                {sealhttp.Options{}, get, read, 10 * time.Second},
		"an answer that nobody reads":  {sealhttp.Options{}, get + "\r\n", nil, 10 * time.Second},
		"a body that does not come":    {sealhttp.Options{}, post, read, 15 * time.Second}, // with what it may wait for its turn
		"a verdict that nobody reads":  {sealhttp.Options{}, post + "not one!!", nil, 55 * time.Second},
		"nothing more, after one":      {sealhttp.Options{}, get + "\r\n", read, time.Minute},
		"half a header, as is set":     {sealhttp.Options{ReadTimeout: 3 * time.Second}, get, read, 3 * time.Second},
		"an unread answer, as is set":  {sealhttp.Options{WriteTimeout: 4 * time.Second}, get + "\r\n", nil, 4 * time.Second},
		"an unread verdict, as is set": {sealhttp.Options{ReadTimeout: 3 * time.Second, WriteTimeout: 4 * time.Second}, post + "not one!!", nil, 42 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				ours, theirs := net.Pipe()
				listener := &pipe{conn: theirs, closed: make(chan struct{})}
				ended := make(chan error, 1)
				started := time.Now()
				go func() { ended <- server(t, keys{ring}, test.options).Serve(ctx, listener) }()
				if _, err := io.WriteString(ours, test.sends); err != nil {
					t.Fatal(err)
				}
				if test.then != nil {
					go test.then(ours)
				}
				select {
				case <-listener.closed:
					if after := listener.gone.Sub(started).Round(time.Second); after != test.after {
						t.Errorf("cut off after %s, want %s", after, test.after)
					}
				case <-time.After(time.Hour):
					t.Error("not cut off within an hour")
				}
				cancel()
				ours.Close()
				<-ended
			})
		})
	}
}

// filler gives the same letter for ever, and counts.
type filler struct{ given int }

func (f *filler) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '#'
	}
	f.given += len(p)
	return len(p), nil
}

func TestNoMoreIsReadThanABodyMayHold(t *testing.T) {
	t.Parallel()
	const most = 10 << 20
	pair := generate(t, 0)
	ring := keyring.New(pair)
	good := document("name: db, namespace: ns", "  encryptedData: {k: "+sealed(t, pair, seal.Strict, "ns", "db")+"}\n")
	if w := post(t, ring, "/v1/verify", good+strings.Repeat("#", most-len(good))); w.Code != 200 {
		t.Errorf("10 MiB: %d %q", w.Code, w.Body.String())
	}
	if w := post(t, ring, "/v1/verify", good+strings.Repeat("#", most-len(good)+1)); w.Code != 413 {
		t.Errorf("a byte more: %d %q", w.Code, w.Body.String())
	}
	// What is small becomes large by its aliases.
	grown := good + "a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a, ", 10) + "]\n"
	if w := post(t, ring, "/v1/verify", grown); w.Code != 500 || w.Body.String() != notOne {
		t.Errorf("11 MiB with its aliases: %d %q", w.Code, w.Body.String())
	}
	body, w := &filler{}, httptest.NewRecorder()
	server(t, keys{ring}, sealhttp.Options{}).Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/rotate", body))
	if w.Code != 413 || body.given > 2*most {
		t.Errorf("a body without an end: %d, of which %d bytes were read", w.Code, body.given)
	}
}
