package flow_test

import (
	"math"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/controllers/flow"
)

func TestNothingIsLookedAtMoreOftenThanEachSecond(t *testing.T) {
	t.Parallel()
	for asked, want := range map[time.Duration]time.Duration{
		math.MinInt64: 0, -1: 0, 0: 0, 1: time.Second, time.Millisecond: time.Second, time.Second: time.Second,
		time.Second + 1: time.Second + 1, time.Hour: time.Hour, math.MaxInt64: math.MaxInt64,
	} {
		if got := flow.Interval(asked); got != want {
			t.Errorf("asked for %s: %s, want %s", asked, got, want)
		}
	}
}
