//go:build !linux

package effort

import "time"

// Of runs do, and returns how long it took: no other measure is to be had here.
func Of(do func()) time.Duration {
	started := time.Now()
	do()
	return time.Since(started)
}
