package vault

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// shared is the server of this test binary.
//
//nolint:gochecknoglobals // one server per test binary is the point, and tests have no other place in common
var shared process.Shared[*Server]

// New returns the Vault of this test binary; the first call starts it. Tests share it and isolate by mount. Without
// bin/vault the test is skipped, and fails when CI is "true".
func New(t testing.TB) *Server {
	t.Helper()
	return shared.Get(t, func(ctx context.Context) (*Server, error) { return Start(ctx, Options{}) })
}

// Run runs the tests of a package, then ends what New of this package and of the other harness packages started, and
// returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(vault.Run(m)) }
//
// Without it the server ends a moment after the test binary, by its lifeline.
func Run(m *testing.M) int { return process.RunTests(m) }

// Transit mounts a transit engine for the test alone and returns its mount path; it is unmounted when the test ends.
func (s *Server) Transit(t testing.TB) string {
	t.Helper()
	mount := "transit-" + strings.ToLower(rand.Text()[:10])
	if err := s.client.Sys().MountWithContext(t.Context(), mount, &api.MountInput{Type: "transit"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A server that a test has stopped answers nobody.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
		defer cancel()
		if err := s.client.Sys().UnmountWithContext(ctx, mount); err != nil {
			t.Logf("unmount %s: %v", mount, err)
		}
	})
	return mount
}

// KV mounts a KV engine of version 1 or 2 for the test alone and returns its mount path; it is unmounted when the
// test ends.
func (s *Server) KV(t testing.TB, version int) string {
	t.Helper()
	mount := "kv-" + strings.ToLower(rand.Text()[:10])
	if err := s.EnableKV(t.Context(), mount, version); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.client.Sys().UnmountWithContext(context.WithoutCancel(t.Context()), mount); err != nil {
			t.Logf("unmount %s: %v", mount, err)
		}
	})
	return mount
}
