package effort_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/effort"
)

func TestWorkCountsAndWaitingDoesNot(t *testing.T) {
	const waited = 300 * time.Millisecond
	if took := effort.Of(func() { time.Sleep(waited) }); took > waited/2 {
		t.Errorf("waiting for %s counts as %s", waited, took)
	}
	sum := []byte{}
	took := effort.Of(func() {
		for range 500_000 { // Linux knows how long a thread has worked at each tick of its clock, and these are many
			h := sha256.Sum256(sum)
			sum = h[:]
		}
	})
	if took < time.Millisecond {
		t.Errorf("work counts as %s", took)
	}
}
