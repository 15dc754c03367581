package providertest

import (
	"context"
	"testing"
	"time"
)

// endsSoon runs what must have ended a second after ctx, and says so of what has not. The second passes in many steps, each of
// which comes as late as the machine is: on one that is far too busy to do in time what ends in time, the second is longer.
func endsSoon(ctx context.Context, t *testing.T, what string, do func()) {
	t.Helper()
	const steps = 50
	ended, judged := make(chan struct{}), make(chan bool, 1)
	go func() {
		select {
		case <-ctx.Done():
		case <-ended:
		}
		for range steps {
			select {
			case <-ended:
				judged <- true
				return
			case <-time.After(time.Second / steps):
			}
		}
		judged <- false
	}()
	do()
	close(ended)
	if !<-judged {
		t.Errorf("%s had not returned a second after its context ended", what)
	}
}
