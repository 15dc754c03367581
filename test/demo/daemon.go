package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// home is the demo's folder below the root of the checkout.
const home = ".demo"

// stopTimeout is how long the demo gets to end its parts.
const stopTimeout = 30 * time.Second

func demoDir() (string, error) {
	root, err := process.ModuleRoot()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, home), nil
}

// up starts a background process that owns all parts and walks through the demo, shows what it prints, and returns when
// the walk has ended. The process stays when the walk went well.
func up(ctx context.Context) error {
	dir, err := demoDir()
	if err != nil {
		return err
	}
	if pid, running := runningPID(dir); running {
		return fmt.Errorf("a demo is already running (process %d); end it with: make demo-down", pid)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clean %s: %w", home, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", home, err)
	}
	verdictRead, verdictWrite, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	defer verdictRead.Close()
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find myself: %w", err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self, "serve")
	cmd.Dir = filepath.Dir(dir)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{verdictWrite}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	_ = verdictWrite.Close()
	// An interrupt ends the background process, and with it the wait for its verdict.
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	verdict, err := io.ReadAll(verdictRead)
	if err != nil {
		return fmt.Errorf("wait for the walk: %w", err)
	}
	if string(verdict) == verdictGood {
		return nil
	}
	_ = cmd.Wait()
	if len(verdict) == 0 {
		return fmt.Errorf("the demo was ended before it was through; the logs are in %s", home)
	}
	return errors.New(string(verdict))
}

// verdictGood is what the background process writes to its parent when the walk went well; anything else is the error.
const verdictGood = "ok"

// verdictFD is where the parent listens: the first of exec.Cmd's extra files.
const verdictFD = 3

// serve is the background process.
func serve(ctx context.Context) error {
	dir, err := demoDir()
	if err != nil {
		return err
	}
	// The parts must not inherit it: the parent reads it to its end.
	syscall.CloseOnExec(verdictFD)
	verdict := os.NewFile(verdictFD, "verdict")
	if err := os.WriteFile(pidFile(dir), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return fmt.Errorf("write process id: %w", err)
	}
	defer func() { _ = os.Remove(pidFile(dir)) }()
	parts, err := startParts(ctx, dir, os.Stdout)
	if err == nil {
		defer parts.stop()
		err = walk(ctx, &story{parts: parts})
	}
	if err != nil {
		_, _ = verdict.WriteString(err.Error() + "\nthe logs are in " + home)
		_ = verdict.Close()
		return nil // the parent prints the error
	}
	if err := letGo(); err != nil {
		return err
	}
	_, _ = verdict.WriteString(verdictGood)
	_ = verdict.Close()
	<-ctx.Done()
	return nil
}

// letGo gives back the terminal, or the pipe that somebody may read to its end.
func letGo() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer null.Close()
	for _, fd := range []int{syscall.Stdin, syscall.Stdout, syscall.Stderr} {
		if err := syscall.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("leave the terminal: %w", err)
		}
	}
	return nil
}

func pidFile(dir string) string { return filepath.Join(dir, "pid") }

// runningPID returns the process that serves the demo, and whether there is one: a process id that another program got
// since then does not count.
func runningPID(dir string) (int, bool) {
	b, err := os.ReadFile(pidFile(dir))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, false
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return pid, err == nil && bytes.HasSuffix(cmdline, []byte("\x00serve\x00"))
}

// down ends the background process, and it ends its parts.
func down(ctx context.Context) error {
	dir, err := demoDir()
	if err != nil {
		return err
	}
	pid, running := runningPID(dir)
	if running {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			return fmt.Errorf("end process %d: %w", pid, err)
		}
		if err := waitGone(ctx, dir); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove %s: %w", home, err)
	}
	if running {
		fmt.Fprintln(os.Stdout, "the demo has ended and", home, "is removed")
	} else {
		fmt.Fprintln(os.Stdout, "no demo was running")
	}
	return nil
}

func waitGone(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		pid, running := runningPID(dir)
		if !running {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d did not end in %s", pid, stopTimeout)
		case <-tick.C:
		}
	}
}
