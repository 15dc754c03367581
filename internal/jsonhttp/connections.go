package jsonhttp

import (
	"context"
	"net"
	"sync"
)

// connections are the open ones of a client. A transport closes those that are idle and no others, and one of HTTP/2 is not
// idle until a moment after its last answer was read: it would stay open for as long as idle ones do.
type connections struct {
	dialer *net.Dialer

	mu   sync.Mutex
	open map[*connection]struct{}
	// users is how many requests are under way; the connections end with the last of them once the client is closed.
	users  int
	closed bool
}

// connection is known to its client until it is closed.
type connection struct {
	net.Conn
	of *connections
}

// Close implements net.Conn.
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

func (s *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := s.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed && s.users == 0 { // a transport goes on connecting for a request that has ended
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	if s.open == nil {
		s.open = map[*connection]struct{}{}
	}
	c := &connection{conn, s}
	s.open[c] = struct{}{}
	return c, nil
}

// use says that a request begins, and leave that it has ended.
func (s *connections) use() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
}

func (s *connections) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users--
	s.endLocked()
}

// end closes all connections, when no request is under way any more.
func (s *connections) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.endLocked()
}

func (s *connections) endLocked() {
	if !s.closed || s.users > 0 {
		return
	}
	for c := range s.open {
		_ = c.Conn.Close() // the transport, which may still wait for what comes, learns of it and closes its side
	}
	clear(s.open)
}
