package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Spec says what to start.
type Spec struct {
	// Name names the process in errors; its output goes to Dir/Name.log.
	Name string
	// Path is the program, Args its arguments without the program's name.
	Path string
	Args []string
	// Env is added to the environment of the starter.
	Env []string
	// Dir is the folder for the log, and the working directory.
	Dir string
	// Remove is a folder that the child deletes when its starter is gone; empty when it should stay.
	Remove string
	// Root is the child's whole file system, as a container's: there is Path, and in it the child is User and has Env alone.
	// Only root may start such a child, on Linux.
	Root string
	User uint32
}

// Process is a running child.
type Process struct {
	name     string
	cmd      *exec.Cmd
	lifeline *os.File // write end of the child's standard input; the child ends when it closes
	log      string
	done     chan struct{}
}

// Start starts a child. The context's cancellation does not end it: Stop does, or the end of this process.
func Start(ctx context.Context, spec Spec) (*Process, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer read.Close()
	p := &Process{name: spec.Name, lifeline: write, log: filepath.Join(spec.Dir, spec.Name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer out.Close()

	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), spec.Path, spec.Args...)
	p.cmd.Dir = spec.Dir
	p.cmd.Env = append(os.Environ(), spec.Env...)
	p.cmd.Env = append(p.cmd.Env, "SEALBRIDGE_LIFELINE=stdin", "SEALBRIDGE_LIFELINE_REMOVE="+spec.Remove)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = read, out, out
	p.cmd.SysProcAttr = attributes(spec)
	if spec.Root != "" {
		p.cmd.Dir, p.cmd.Env = "/", spec.Env
	}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return p, nil
}

// run starts the child and waits for it on one thread of the operating system: the kernel sends the death signal when
// the thread that started the child ends, not when the process does.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	defer close(p.done)
	_ = p.cmd.Wait() // how it ended is in its log; that it ended is what callers ask
	_ = p.lifeline.Close()
}

// Name returns the name that the process was started under.
func (p *Process) Name() string { return p.name }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log returns the path of the file that holds the child's output.
func (p *Process) Log() string { return p.log }

// Done returns a channel that is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the child at once and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop asks the child to end, waits up to grace, then kills it. It returns when the child is gone.
func (p *Process) Stop(grace time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(grace):
		p.Kill()
	}
}

// ErrEnded is the class of Ready's error when the child ended by itself, as it does when it lost its port to another.
var ErrEnded = errors.New("ended before it was ready")

// Ready calls probe every 50 ms until it returns nil. It fails when the context ends or the child does, with the
// probe's last error and the end of the child's log; also when probe found somebody else on the child's port.
func (p *Process) Ready(ctx context.Context, probe func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		select {
		case <-p.done:
			return fmt.Errorf("%s %w; its log ends with:\n%s", p.name, ErrEnded, p.Tail(shown))
		default:
		}
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready in time: %w; its log ends with:\n%s", p.name, err, p.Tail(shown))
		case <-tick.C:
		}
	}
}

// Answers is a probe for Ready: it fails while a URL is not answered with 200.
func Answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is answered with %s", url, resp.Status)
	}
	return nil
}

// shown is how many lines of a log an error has.
const shown = 15

// Tail returns the last lines of the child's output, which tests show of one that failed them.
func (p *Process) Tail(lines int) string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Runs tells whether the process with the id exists and is more than a zombie that nobody has reaped. It reads /proc.
func Runs(pid string) bool {
	raw, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return false
	}
	_, rest, found := strings.Cut(string(raw), ") ")
	return found && !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// The range that ports are drawn from: below the ephemeral ports of Linux, which the kernel hands to outgoing
// connections and would otherwise take between our look and the server's bind.
const (
	portMin = 20000
	portMax = 32000
)

// FreePorts returns n consecutive loopback TCP ports on which nothing listens now, the first of them. On Linux no other call gets them,
// in whichever process of this machine, until this one ends; only a program that does not ask here can still take one, see OnFreePorts.
func FreePorts(ctx context.Context, n int) (int, error) {
	const tries = 200
	for range tries {
		first := portMin + rand.IntN(portMax-portMin-n) //nolint:gosec // G404: a port is not a secret
		free, err := allFree(ctx, first, n)
		if err != nil {
			return 0, err
		}
		if free {
			return first, nil
		}
	}
	return 0, fmt.Errorf("find %d free loopback ports between %d and %d: none in %d tries", n, portMin, portMax, tries)
}

// OnFreePorts starts a server that takes what FreePorts gives it, again when it has ended because another program was faster.
func OnFreePorts[T any](start func() (T, error)) (part T, err error) {
	const tries = 3
	for range tries {
		if part, err = start(); !errors.Is(err, ErrEnded) {
			break
		}
	}
	return part, err
}

// allFree reserves ports and tells whether all of them can be listened on; those of a try that fails stay reserved.
func allFree(ctx context.Context, first, n int) (bool, error) {
	for port := first; port < first+n; port++ {
		if reserved, err := reserve(port); err != nil || !reserved {
			return false, err
		}
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false, nil //nolint:nilerr // the next ones may be free
		}
		_ = l.Close()
	}
	return true, nil
}
