package gcp

import (
	"io"
	"log"
	"net"
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
