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

	mu      sync.Mutex
	err     error
	until   time.Time
	probing bool
}

// enter returns why Vault is not asked now; nil when the caller may ask it, and has to tell leave how that went.
func (g *gate) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		return nil
	}
	if g.probing || g.now().Before(g.until) {
		return g.err
	}
	g.probing = true
	return nil
}

// leave notes how a request went: err is nil for an answer, whatever it says of the value.
func (g *gate) leave(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err, g.until, g.probing = err, g.now().Add(rest), false
}
