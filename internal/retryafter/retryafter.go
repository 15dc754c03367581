// Package retryafter reads how long an answer over HTTP asks to be left alone (RFC 9110 section 10.2.3).
//
// It takes the header of the answer and the time now, and gives back a duration. Both forms count: a number of seconds, and a date,
// which is compared with the answer's own Date, because the clock of the server and ours may differ.
package retryafter

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Most is the longest time that In returns.
const Most = time.Hour

// In returns how long the answer with this header asks to wait, and whether it says so at all. A time that is over is none, and
// asks to wait for nothing.
func In(header http.Header, now time.Time) (wait time.Duration, says bool) {
	value := header.Get("Retry-After")
	seconds, err := strconv.ParseInt(value, 10, 64)
	switch {
	case (err == nil || errors.Is(err, strconv.ErrRange)) && seconds < 0: // of more digits than a number holds comes the largest, or the least
		return 0, false
	case err == nil || errors.Is(err, strconv.ErrRange):
		return time.Duration(min(seconds, int64(Most/time.Second))) * time.Second, true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if sent, err := http.ParseTime(header.Get("Date")); err == nil {
		now = sent
	}
	return min(max(date.Sub(now), 0), Most), true
}
