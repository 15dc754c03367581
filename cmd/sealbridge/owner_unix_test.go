//go:build unix

package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Whoever runs the command in a container is root there, and the repository somebody else's.
func TestAFileThatIsReplacedKeepsItsOwnerGroupAndMode(t *testing.T) {
	t.Parallel()
	s, file := newSides(t), filepath.Join(t.TempDir(), "sealed.yaml")
	const secret = "metadata: {name: db, namespace: ns}\nstringData: {k: v}\n"
	if _, stderr, ok := s.ours(t, secret, "--cert", s.cert, "-w", file); !ok {
		t.Fatal(stderr)
	}
	user, group := os.Getuid(), os.Getgid()
	if user == 0 { // nobody else gives files away
		user, group = 4711, 4712
	}
	if err := os.Chown(file, user, group); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, stderr, ok := s.ours(t, secret, "--cert", s.cert, "-w", file); !ok {
		t.Fatal(stderr)
	}
	got, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	owner := got.Sys().(*syscall.Stat_t)
	if int(owner.Uid) != user || int(owner.Gid) != group || got.Mode() != 0o666 {
		t.Errorf("%d:%d %v", owner.Uid, owner.Gid, got.Mode())
	}
}
