package effort

import (
	"runtime"
	"syscall"
	"time"
)

// Of runs do, and returns how long a processor has worked for it. What do leaves to other goroutines does not count.
func Of(do func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := worked()
	do()
	return worked() - before
}

// worked returns how long a processor has worked for this thread.
func worked() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		return time.Duration(time.Now().UnixNano()) // what has passed bounds it
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
