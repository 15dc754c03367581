//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// echoes says whether a terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// newTerminal returns the two sides of a terminal: that of who types, and that of a command.
func newTerminal(t *testing.T) (us, terminal *os.File) {
	t.Helper()
	us, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = us.Close() })
	if err := unix.IoctlSetPointerInt(int(us.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(us.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return us, terminal
}

// asking starts a command that asks for a value at a terminal, and returns when it does.
func asking(t *testing.T, terminal *os.File, said io.Writer, args ...string) *exec.Cmd {
	t.Helper()
	self, err := exec.LookPath("sealbridge") // what TestMain has put there
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for waited := time.Duration(0); echoes(t, terminal) && waited < time.Minute; waited += time.Millisecond {
		time.Sleep(time.Millisecond)
	}
	return cmd
}

func TestATerminalShowsAgainWhatIsTypedAfterCtrlC(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	path := sealedFile(t, s, t.TempDir(), "db.yaml")
	_, terminal := newTerminal(t)
	cmd := asking(t, terminal, io.Discard, "set", "--cert", s.cert, path, "k")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Errorf("it was not ended by the signal: %v", err)
	}
	if !echoes(t, terminal) {
		t.Error("what is typed stays unseen")
	}
}

// A private key is the value that is pasted most: its first line would be sealed, and the others run by the shell and kept in its history.
func TestALineIsTakenAtATerminalAndSeveralAreNot(t *testing.T) {
	t.Parallel()
	s := newSides(t)
	content := func(path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for typed, wrong := range map[string]bool{
		"typed-canary\n": false, "typed-canary\nsecond-canary\n": true, "typed-canary\nsecond-canary": true, "typed-canary\n\n": true,
	} {
		path := sealedFile(t, s, t.TempDir(), "db.yaml")
		before := content(path)
		us, terminal := newTerminal(t)
		var said bytes.Buffer
		cmd := asking(t, terminal, &said, "set", "--cert", s.cert, path, "k")
		if _, err := us.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); (err != nil) != wrong {
			t.Errorf("%q: %v: %s", typed, err, said.String())
		}
		if changed := !bytes.Equal(before, content(path)); changed == wrong {
			t.Errorf("%q: the file is changed: %t", typed, changed)
		}
		want := "value of k (not shown): \n"
		if wrong {
			want += "error: a value of several lines was pasted, and the prompt takes one: nothing is sealed\nhint: give it on standard input or with --from-file\n"
		}
		if said.String() != want {
			t.Errorf("%q: it says %q", typed, said.String())
		}
		if !echoes(t, terminal) {
			t.Errorf("%q: what is typed stays unseen", typed)
		}
		if _, err := us.WriteString("\n"); err != nil { // so that what the shell would read has ended
			t.Fatal(err)
		}
		rest := make([]byte, 100)
		if n, err := terminal.Read(rest); string(rest[:n]) != "\n" || err != nil {
			t.Errorf("%q: the shell reads %q, %v", typed, rest[:n], err)
		}
	}
}
