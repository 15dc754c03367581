package reading_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sealbridge/sealbridge/providers/internal/reading"
)

// explode is looked for in the stack.
func explode() { panic(canary) }

// Whoever calls a provider is protected from its panics, in the goroutine that calls.
func TestAPanicAmongManyIsOneOfTheirCaller(t *testing.T) {
	t.Parallel()
	var done atomic.Int32
	var caught any
	func() {
		defer func() { caught = recover() }()
		reading.AtOnce(20, 4, func(i int) {
			if i%7 == 3 {
				explode()
			}
			done.Add(1)
		})
		t.Error("it returned")
	}()
	where, ok := caught.(interface{ Stack() []byte })
	if !ok || !bytes.Contains(where.Stack(), []byte("reading_test.explode")) {
		t.Errorf("nothing says where it was: %v", caught)
	}
	if strings.Contains(fmt.Sprint(caught), canary) || ok && bytes.Contains(where.Stack(), []byte(canary)) {
		t.Error("what it panicked with is shown")
	}
	if done.Load() != 17 {
		t.Errorf("%d of the others were done", done.Load())
	}
}
