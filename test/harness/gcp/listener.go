package gcp

import (
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// handedListener accepts connections that were accepted elsewhere.
type handedListener struct {
	address net.Addr
	conns   chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

func newHandedListener(address net.Addr) *handedListener {
	return &handedListener{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *handedListener) hand(conn net.Conn) {
	select {
	case l.conns <- conn:
	case <-l.closed:
		_ = conn.Close()
	}
}

// Accept implements net.Listener.
func (l *handedListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *handedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *handedListener) Addr() net.Addr { return l.address }

// discard is the log of servers that are broken on purpose.
func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// pass hands a connection that is to be made on to another proxy.
func pass(w http.ResponseWriter, r *http.Request, proxy string) {
	var dialer net.Dialer
	there, err := dialer.DialContext(r.Context(), "tcp", proxy)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	if _, err := io.WriteString(there, "CONNECT "+r.Host+" HTTP/1.1\r\nHost: "+r.Host+"\r\n\r\n"); err != nil {
		return
	}
	go func() { // what the other proxy answers goes back as it is
		defer here.Close()
		defer there.Close()
		_, _ = io.Copy(here, there)
	}()
	_, _ = io.Copy(there, buffered)
}
