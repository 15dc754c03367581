package moto

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"testing"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// shared is the server of this test binary.
//
//nolint:gochecknoglobals // one server per test binary is the point, and tests have no other place in common
var shared process.Shared[*Server]

// New returns the server of this test binary; the first call starts it. Tests share it and isolate by account. Without
// bin/moto the test is skipped, and fails when CI is "true".
func New(t testing.TB) *Server {
	t.Helper()
	return shared.Get(t, func(ctx context.Context) (*Server, error) { return Start(ctx, Options{}) })
}

// Run runs the tests of a package, then ends what New of this package and of the other harness packages started, and
// returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(moto.Run(m)) }
//
// Without it the server ends a moment after the test binary, by its lifeline.
func Run(m *testing.M) int { return process.RunTests(m) }

// Account returns an account for the test alone.
func (s *Server) Account(t testing.TB) *Account {
	t.Helper()
	id := fmt.Sprintf("%012d", 1e11+mathrand.Int64N(9e11-1)) //nolint:gosec // G404: an account's number is not a secret
	account, err := s.NewAccount(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return account
}

// requestToken returns what AWS wants as the id of a new version.
func requestToken() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // it never fails
	return hex.EncodeToString(raw[:])
}
