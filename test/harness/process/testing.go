package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
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

// Starter runs this test binary again with the environment variable ("NAME=value"), where its TestMain starts something, prints a
// line about it and waits. It returns that line, without its end, and what kills the process.
func Starter(t testing.TB, variable string) (line string, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // G204, G702: it is this test binary
	cmd.Env = append(os.Environ(), variable)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("starter printed %q, %v", line, err)
	}
	return strings.TrimSpace(line), func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
}

// LeavesNothing runs a Starter with the environment variable set, which prints the ids of the processes and the folder. It kills that
// and fails the test unless all of them are gone soon.
func LeavesNothing(t testing.TB, variable string, processes int) {
	t.Helper()
	line, kill := Starter(t, variable+"=1")
	fields := strings.Fields(line)
	if len(fields) != processes+1 {
		t.Fatalf("starter printed %q", line)
	}
	kill()
	remains := func() []string {
		left := slices.DeleteFunc(slices.Clone(fields[:processes]), func(pid string) bool { return !Runs(pid) })
		if _, err := os.Stat(fields[processes]); !errors.Is(err, os.ErrNotExist) {
			left = append(left, fields[processes])
		}
		return left
	}
	for deadline := time.After(30 * time.Second); len(remains()) > 0; {
		select {
		case <-deadline:
			t.Fatalf("not gone after 30 s: %s", remains())
		case <-time.After(20 * time.Millisecond):
		}
	}
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
