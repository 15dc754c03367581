package reading

import (
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/sealbridge/sealbridge/providers"
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

// Distinct returns what refs ask for, each once and in the order of its first ref, and for each ref at which place that is. of says what
// makes two refs ask for the same.
func Distinct[K comparable](refs []providers.Ref, of func(providers.Ref) K) (distinct []K, at []int) {
	places, at := make(map[K]int, len(refs)), make([]int, len(refs))
	for i, ref := range refs {
		k := of(ref)
		if _, ok := places[k]; !ok {
			places[k] = len(distinct)
			distinct = append(distinct, k)
		}
		at[i] = places[k]
	}
	return distinct, at
}

// panicked is what AtOnce panics with. What was panicked with at first may quote a value and is not in it.
type panicked struct{ stack []byte }

// Stack returns where it was.
func (p *panicked) Stack() []byte { return p.stack }

func (*panicked) Error() string { return "a read panicked" }
