package faults_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sealbridge/sealbridge/test/harness/process"
)

// fleet are the replicas of the controller and what a platform does for them: whichever ends is started again.
type fleet struct {
	t          *testing.T
	binary     string
	kubeconfig string
	dir        string

	mu       sync.Mutex
	closed   bool
	started  int
	running  map[int]*replica // by slot
	logs     []string
	keepers  sync.WaitGroup
	complain []string
}

// replica is a process of the controller, with the ports of its metrics, profiles and sealing certificate.
type replica struct {
	*process.Process
	port   int
	paused bool
}

func newFleet(t *testing.T, kubeconfig string) *fleet {
	t.Helper()
	binary := *binaryFlag
	if binary == "" {
		binary = process.Require(t, "sealbridge-controller")
	}
	dir := *logsFlag
	if dir == "" {
		dir = t.TempDir()
	}
	f := &fleet{t: t, binary: binary, kubeconfig: kubeconfig, dir: dir, running: map[int]*replica{}}
	t.Cleanup(f.stop)
	return f
}

// keep runs a replica in a slot until stop.
func (f *fleet) keep(slot int) {
	f.keepers.Go(func() {
		for {
			r := f.start(slot)
			if r == nil {
				return
			}
			<-r.Done()
			time.Sleep(200 * time.Millisecond)
		}
	})
}

// start starts a replica, nil when the fleet was stopped.
func (f *fleet) start(slot int) *replica {
	ctx := context.WithoutCancel(f.t.Context())
	port, err := process.FreePorts(ctx, 3)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	var p *process.Process
	if err == nil {
		f.started++
		address := func(i int) string { return "127.0.0.1:" + strconv.Itoa(port+i) }
		p, err = process.Start(ctx, process.Spec{
			Name: fmt.Sprintf("controller-%d-%03d", slot, f.started), Path: f.binary, Dir: f.dir,
			Args: []string{
				"--kubeconfig=" + f.kubeconfig, "--namespace=" + system, "--controllers=*", "--key-size=2048",
				"--leader-elect", "--leader-election-lease-duration=3s", "--leader-election-renew-deadline=2s", "--leader-election-retry-period=300ms",
				"--metrics-bind-address=" + address(0), "--pprof-bind-address=" + address(1), "--listen-addr=" + address(2),
				"--health-probe-bind-address=0",
				// A storm may last longer than a heartbeat, which would be a write of its own.
				"--status-heartbeat=24h",
			},
		})
	}
	if err != nil {
		f.complain = append(f.complain, err.Error())
		return nil
	}
	r := &replica{Process: p, port: port}
	f.running[slot] = r
	f.logs = append(f.logs, p.Log())
	return r
}

// stop ends all replicas in order, and waits.
func (f *fleet) stop() {
	f.mu.Lock()
	f.closed = true
	all := f.replicasLocked()
	f.mu.Unlock()
	for _, r := range all {
		f.wake(r)
		r.Stop(30 * time.Second)
	}
	f.keepers.Wait()
}

// again lets replicas be started after stop.
func (f *fleet) again() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = false
	f.running = map[int]*replica{}
}

func (f *fleet) replicas() []*replica {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.replicasLocked()
}

func (f *fleet) replicasLocked() []*replica {
	var out []*replica
	for slot := range 2 {
		if r := f.running[slot]; r != nil {
			out = append(out, r)
		}
	}
	return out
}

// get asks an endpoint of a replica; empty when it does not answer.
func (r *replica) get(ctx context.Context, endpoint int, path string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", r.port+endpoint, path), http.NoBody)
	if err != nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

// The endpoints of a replica, by their distance from its first port.
const (
	endMetrics = iota
	endProfiles
	endSealing
)

// metric returns the sum of a metric over the series whose labels hold a text.
func metric(text, name, label string) float64 {
	var sum float64
	for line := range strings.Lines(text) {
		series, number, ok := strings.Cut(strings.TrimSpace(line), " ")
		if bare, _, _ := strings.Cut(series, "{"); !ok || bare != name || !strings.Contains(series, label) {
			continue
		}
		if v, err := strconv.ParseFloat(number, 64); err == nil {
			sum += v
		}
	}
	return sum
}

// leaders are the replicas that say that they lead.
func (f *fleet) leaders() []*replica {
	var out []*replica
	for _, r := range f.replicas() {
		if !f.isPaused(r) && metric(r.get(f.t.Context(), endMetrics, "/metrics"), "leader_election_master_status", "") == 1 {
			out = append(out, r)
		}
	}
	return out
}

// leader waits until a replica leads.
func (f *fleet) leader() *replica {
	f.t.Helper()
	var found []*replica
	eventually(f.t, "a replica leads", func() []string {
		if found = f.leaders(); len(found) == 0 {
			return []string{"none does"}
		}
		return nil
	})
	return found[0]
}

func (f *fleet) isPaused(r *replica) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return r.paused
}

// pause stops a replica's time; wake lets it go on.
func (f *fleet) pause(r *replica) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.paused = true
	_ = syscall.Kill(r.PID(), syscall.SIGSTOP)
}

func (f *fleet) wake(r *replica) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !r.paused {
		return
	}
	r.paused = false
	select {
	case <-r.Done(): // its number may be another's by now
	default:
		_ = syscall.Kill(r.PID(), syscall.SIGCONT)
	}
}

// sealing returns what a replica serves of the sealing keys.
func (f *fleet) sealing(path string) string {
	f.t.Helper()
	var text string
	eventually(f.t, "a replica serves "+path, func() []string {
		for _, r := range f.replicas() {
			if f.isPaused(r) {
				continue
			}
			if text = r.get(f.t.Context(), endSealing, path); text != "" {
				return nil
			}
		}
		return []string{"none does"}
	})
	return text
}

// check says what is wrong with the logs so far.
func (f *fleet) check() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	wrong := f.complain
	for _, name := range f.logs {
		text, err := os.ReadFile(filepath.Clean(name))
		if err != nil {
			wrong = append(wrong, err.Error())
			continue
		}
		for _, what := range revealing() {
			if bytes.Contains(text, []byte(what)) {
				wrong = append(wrong, filepath.Base(name)+" shows a value, a token or a key")
			}
		}
		for _, what := range []string{"panic", "fatal error:", "DATA RACE"} {
			if bytes.Contains(text, []byte(what)) {
				wrong = append(wrong, filepath.Base(name)+" shows a "+what)
			}
		}
	}
	return wrong
}
