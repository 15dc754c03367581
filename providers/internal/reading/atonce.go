package reading

import (
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// AtOnce calls do for each number below n, at most parallel of them at a time, and returns when all have returned. A panic of one is
// one of the caller, who alone can be protected from it: in a goroutine of its own it would end the process.
func AtOnce(n, parallel int, do func(i int)) {
	var first atomic.Pointer[panicked]
	var group errgroup.Group
	group.SetLimit(parallel)
	for i := range n {
		group.Go(func() error {
			defer func() {
				if p := recover(); p != nil {
					first.CompareAndSwap(nil, &panicked{stack: debug.Stack()})
				}
			}()
			do(i)
			return nil
		})
	}
	_ = group.Wait() // it has none
	if p := first.Load(); p != nil {
		panic(p)
	}
}

// panicked is what AtOnce panics with. What was panicked with at first may quote a value and is not in it.
type panicked struct{ stack []byte }

// Stack returns where it was.
func (p *panicked) Stack() []byte { return p.stack }

func (*panicked) Error() string { return "a read panicked" }
