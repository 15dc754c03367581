package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// uninterrupted holds back the signals that end a command until the returned function is called, which then lets the one that
// came end it: a file that is being replaced takes milliseconds, and Ctrl-C would leave the temporary one in the repository.
func uninterrupted() (release func()) {
	came := make(chan os.Signal, 1)
	notifyEnd(came)
	return func() {
		signal.Stop(came)
		select {
		case s := <-came:
			end(s)
		default:
		}
	}
}

// restoring lets a signal that ends the command while something is typed unseen give the terminal back as it was, until the
// returned function is called: whoever types on would not see it otherwise.
func restoring(terminal int) (release func()) {
	state, err := term.GetState(terminal)
	if err != nil {
		return func() {}
	}
	came, over := make(chan os.Signal, 1), make(chan struct{})
	notifyEnd(came)
	go func() {
		select {
		case s := <-came:
			_ = term.Restore(terminal, state)
			signal.Stop(came)
			end(s)
		case <-over:
		}
	}()
	return func() {
		signal.Stop(came)
		close(over)
	}
}

// notifyEnd sends the signals to a channel that would end the command, and not those that it ignores, as one in the background or
// under nohup may.
func notifyEnd(came chan<- os.Signal) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(came, s)
		}
	}
}

// end lets the process end as if the signal had come now.
func end(s os.Signal) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return
	}
	if err = self.Signal(s); err != nil {
		_ = self.Kill() // where a process cannot send itself the signal
	}
	select {}
}
