package main

import (
	"errors"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// The rest of a paste comes in pieces: it is over when none has come for so many milliseconds, or after so many pieces.
const (
	pasteQuiet  = 50
	pastePieces = 1000
)

// pasted says whether more than the line that was read has been typed at a terminal, and drops it: the shell would run it, and keep it
// in its history.
func pasted(terminal int) bool {
	before, err := term.MakeRaw(terminal) // else a line that has not ended yet does not count
	if err != nil {
		return false
	}
	defer func() { _ = term.Restore(terminal, before) }()
	more := false
	for range pastePieces {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(terminal), Events: unix.POLLIN}}, pasteQuiet) //nolint:gosec // a descriptor fits
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || ready == 0:
			return more
		}
		more = true
		if unix.IoctlSetInt(terminal, unix.TCFLSH, unix.TCIFLUSH) != nil {
			return more
		}
	}
	return more
}
