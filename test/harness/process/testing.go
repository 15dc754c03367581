package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
)

// atEnd is what the tests of this binary started and share.
//
//nolint:gochecknoglobals // it mirrors the one thing that is global in a test binary: its end
var atEnd struct {
	sync.Mutex
	stops []func() error
}

// AtEnd makes RunTests call stop after the tests, in the reverse order of the calls.
func AtEnd(stop func() error) {
	atEnd.Lock()
	defer atEnd.Unlock()
	atEnd.stops = append(atEnd.stops, stop)
}

// RunTests runs the tests of a package, then ends what AtEnd was told of, and returns the exit code.
func RunTests(m *testing.M) int {
	code := m.Run()
	atEnd.Lock()
	defer atEnd.Unlock()
	var errs []error
	for _, stop := range slices.Backward(atEnd.stops) {
		errs = append(errs, stop())
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// Shared is a real part that all tests of a binary use. The zero value is one that nobody has started.
type Shared[T interface{ Stop() error }] struct {
	once sync.Once
	part T
	err  error
}

// Get returns the part, which the first call starts and RunTests stops. Without its program under bin/ the test is skipped, and fails
// when CI is "true".
func (s *Shared[T]) Get(t testing.TB, start func(context.Context) (T, error)) T {
	t.Helper()
	s.once.Do(func() {
		s.part, s.err = start(context.WithoutCancel(t.Context()))
		if s.err == nil {
			AtEnd(s.part.Stop)
		}
	})
	if s.err != nil {
		Missing(t, s.err)
	}
	return s.part
}

// Require returns the path of a program under bin/. When it is missing the test is skipped with the make target that
// builds it, and fails when the environment variable CI is "true": a skip there would hide what was not tested.
func Require(t testing.TB, name string) string {
	t.Helper()
	path, err := Binary(name)
	if err != nil {
		Missing(t, err)
	}
	return path
}

// Missing ends the test because a real part could not be had: it skips when err is of class ErrMissing and CI is not
// "true", and fails otherwise. It does not return.
func Missing(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED, NOT TESTED: %v", err)
	}
	t.Fatal(err)
}
