package flow

import "time"

// shortestInterval is how often an object is looked at again at most. One that asks for less would keep a worker and its store busy
// all the time.
const shortestInterval = time.Second

// Interval returns how often an object is looked at again that asks for d: never where that is zero or less, which it returns as 0, and
// each second where it is less than a second.
func Interval(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return max(d, shortestInterval)
}
