package large_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbridge/sealbridge/internal/large"
)

func TestOneOfManyHasItsTurnAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := large.NewTurns()
		var now, most, done atomic.Int32
		var work sync.WaitGroup
		for range 20 {
			work.Go(func() {
				ctx, end := turns.Hold(t.Context())
				defer end()
				for range 3 { // each part of the work asks, and some at once
					var parts sync.WaitGroup
					for range 2 {
						parts.Go(func() {
							if err := large.Take(ctx); err != nil {
								t.Error(err)
							}
						})
					}
					parts.Wait()
				}
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(100 * time.Millisecond)
				now.Add(-1)
				done.Add(1)
			})
		}
		work.Wait()
		if most.Load() != 1 || done.Load() != 20 {
			t.Errorf("%d had their turn at once, %d were done", most.Load(), done.Load())
		}
	})
}

// having begins a piece of work that has its turn.
func having(t *testing.T, turns *large.Turns) (work context.Context, end func()) {
	t.Helper()
	work, end = turns.Hold(t.Context())
	if err := large.Take(work); err != nil {
		t.Fatal(err)
	}
	return work, end
}

func TestATurnThatDoesNotComeIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := large.NewTurns()
		_, endFirst := having(t, turns)
		second, endSecond := turns.Hold(t.Context())
		began := time.Now()
		if err := large.Take(second); !errors.Is(err, large.ErrBusy) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		short, cancel := context.WithTimeout(second, time.Second)
		defer cancel()
		if err := large.Take(short); !errors.Is(err, large.ErrBusy) {
			t.Errorf("whose time was over: %v", err)
		}
		endFirst()
		endFirst() // twice is once
		if err := large.Take(second); err != nil {
			t.Errorf("after the first has ended: %v", err)
		}
		third, endThird := turns.Hold(t.Context())
		if err := large.Take(third); !errors.Is(err, large.ErrBusy) {
			t.Errorf("a third beside the second: %v", err)
		}
		endSecond()
		endThird()
		for name, work := range map[string]context.Context{"that has had its turn": second, "that has not": third} {
			if err := large.Take(work); !errors.Is(err, large.ErrBusy) {
				t.Errorf("work that has ended, %s: %v", name, err)
			}
		}
		fourth, endFourth := turns.Hold(t.Context())
		defer endFourth()
		if err := large.Take(fourth); err != nil {
			t.Errorf("a fourth, after all: %v", err)
		}
	})
}

func TestATurnThatComesWhenItsWorkHasEndedIsTheNexts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := large.NewTurns()
		_, endFirst := having(t, turns)
		second, endSecond := turns.Hold(t.Context())
		waited := make(chan error)
		go func() { waited <- large.Take(second) }()
		synctest.Wait()
		endSecond()
		endFirst()
		if err := <-waited; !errors.Is(err, large.ErrBusy) {
			t.Errorf("whose work has ended while it waited: %v", err)
		}
		third, endThird := turns.Hold(t.Context())
		defer endThird()
		if err := large.Take(third); err != nil {
			t.Errorf("the next: %v", err)
		}
		began := time.Now()
		if err := large.Take(second); !errors.Is(err, large.ErrBusy) || time.Since(began) > 0 {
			t.Errorf("work that has ended waits for %s: %v", time.Since(began), err)
		}
	})
}

func TestWorkThatIsPartOfOtherWorkHasItsTurn(t *testing.T) {
	t.Parallel()
	turns := large.NewTurns()
	all, end := having(t, turns)
	defer end()
	part, endPart := turns.Hold(all)
	if err := large.Take(part); err != nil {
		t.Errorf("the part beside its whole: %v", err)
	}
	endPart()
	other, endOther := turns.Hold(t.Context())
	defer endOther()
	hasty, cancel := context.WithTimeout(other, 10*time.Millisecond)
	defer cancel()
	if err := large.Take(hasty); !errors.Is(err, large.ErrBusy) {
		t.Errorf("another, when the part has ended and the whole has not: %v", err)
	}
	if err := large.Take(t.Context()); err != nil {
		t.Errorf("who belongs to nobody's work: %v", err)
	}
}
