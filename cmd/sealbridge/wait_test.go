package main

import (
	"net/http"
	"testing"
	"time"
)

func TestAControllerIsLeftAloneForASecondUnlessItSaysAndForAMinuteAtMost(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{
		"": time.Second, "soon": time.Second, "0": 0, "7": 7 * time.Second, "61": time.Minute,
		"Sun, 01 Mar 2026 12:00:07 GMT": 7 * time.Second, "Sun, 01 Mar 2026 13:00:00 GMT": time.Minute, "Sun, 01 Mar 2026 11:00:00 GMT": 0,
	} {
		if got := waitFor(http.Header{"Retry-After": {value}, "Date": {"Sun, 01 Mar 2026 12:00:00 GMT"}}); got != want {
			t.Errorf("%q: %s", value, got)
		}
	}
}
