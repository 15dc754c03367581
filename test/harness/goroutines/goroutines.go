// Package goroutines says which goroutines a test has left behind. It gives those that end the time to do so on a machine that is far
// too busy; goleak by itself waits for less than half a second.
package goroutines

import (
	"testing"

	"go.uber.org/goleak"
)

// tries are how often goleak waits, which makes ten seconds.
const tries = 25

// Left returns an error that shows the goroutines which are left and not among the exceptions, nil when there are none.
func Left(exceptions ...goleak.Option) (err error) {
	for range tries {
		if err = goleak.Find(exceptions...); err == nil {
			return nil
		}
	}
	return err
}

// None fails the test when goroutines are left that are not among the exceptions.
func None(t testing.TB, exceptions ...goleak.Option) {
	t.Helper()
	if err := Left(exceptions...); err != nil {
		t.Errorf("goroutines are left: %v", err)
	}
}
