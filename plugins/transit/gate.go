package transit

import (
	"sync"
	"time"
)

// rest is how long Vault is not asked after it did not answer, or refused: everybody who comes in between is told the same.
const rest = 5 * time.Second

// gate lets one request through from time to time while requests fail, so that any number of values costs a Vault that is
// down one request each rest, and costs whoever waits for it nothing.
type gate struct {
	now func() time.Time

	mu    sync.Mutex
	err   error
	until time.Time
	// entered counts the requests. heard is the last of them of which it is known how it went, and probe the one that was let through while
	// requests fail, 0 for none.
	entered, heard, probe int
}

// enter returns why Vault is not asked now; nil when the caller may ask it. It has to tell leave or giveUp then, with the order of its
// request.
func (g *gate) enter() (order int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err != nil && (g.probe != 0 || g.now().Before(g.until)) {
		return 0, g.err
	}
	g.entered++
	if g.err != nil {
		g.probe = g.entered
	}
	return g.entered, nil
}

// leave notes how a request went: err is nil for an answer, whatever it says of the value. What a later request has shown counts before
// it: one that waited in vain since before Vault was back says nothing of now.
func (g *gate) leave(order int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passed(order)
	if order > g.heard {
		g.heard, g.err, g.until = order, err, g.now().Add(rest)
	}
}

// giveUp is leave for a request whose caller waits no more, which says nothing of Vault.
func (g *gate) giveUp(order int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passed(order)
}

func (g *gate) passed(order int) {
	if g.probe == order {
		g.probe = 0
	}
}
