package retryafter_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/internal/retryafter"
)

func TestAnAnswerAsksToWaitForSecondsOrUntilADate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(t time.Time) string { return t.Format(http.TimeFormat) }
	for _, tc := range []struct {
		value, date string
		wait        time.Duration
		says        bool
	}{
		{"", "", 0, false}, {"x", "", 0, false}, {"1.5", "", 0, false}, {"1h5", "", 0, false}, {"7 s", "", 0, false}, {"-1", "", 0, false},
		{"-99999999999999999999", "", 0, false}, {"0", "", 0, true}, {"7", "", 7 * time.Second, true}, {"3600", "", time.Hour, true}, {"3601", "", time.Hour, true},
		{"9223372036854775807", "", time.Hour, true}, {"99999999999999999999", "", time.Hour, true},

		{at(now.Add(90 * time.Second)), "", 90 * time.Second, true}, {at(now), "", 0, true}, {at(now.Add(-time.Minute)), "", 0, true},
		{at(now.Add(2 * time.Hour)), "", time.Hour, true}, {"Fri, 31 Dec 9999 23:59:59 GMT", "", time.Hour, true}, {"Mon, 01 Jan 0001 00:00:00 GMT", "", 0, true},
		{"Sunday, 01-Mar-26 12:00:30 GMT", "", 30 * time.Second, true}, {"Sun Mar  1 12:00:30 2026", "", 30 * time.Second, true},
		{"2026-03-01T12:00:30Z", "", 0, false}, {"Sun, 32 Mar 2026 12:00:30 GMT", "", 0, false},

		// The clock of the server is another one.
		{at(now.Add(time.Hour + time.Minute)), at(now.Add(time.Hour)), time.Minute, true}, {at(now.Add(time.Minute - time.Hour)), at(now.Add(-time.Hour)), time.Minute, true},
		{at(now.Add(time.Minute)), at(now.Add(2 * time.Minute)), 0, true}, {at(now.Add(time.Minute)), "yesterday", time.Minute, true}, {"7", at(now.Add(time.Hour)), 7 * time.Second, true},
	} {
		header := http.Header{}
		for name, value := range map[string]string{"Retry-After": tc.value, "Date": tc.date} {
			if value != "" {
				header.Set(name, value)
			}
		}
		if wait, says := retryafter.In(header, now); says != tc.says || wait != tc.wait {
			t.Errorf("Retry-After %q, Date %q: %s, %v; want %s, %v", tc.value, tc.date, wait, says, tc.wait, tc.says)
		}
	}
}
