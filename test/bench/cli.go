package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sealbridge/sealbridge/crypto/keyring"
	"github.com/sealbridge/sealbridge/test/harness/process"
)

const (
	cliDocuments = 200
	cliKeys      = 3
)

// commandRun is what one run of a command took.
type commandRun struct{ wall, cpu time.Duration }

// commandLine seals with our command and with kubeseal, the same input to the same certificate, in turn.
func commandLine(ctx context.Context, w *world) (*Report, error) {
	ours, err := process.Binary("sealbridge")
	if err != nil {
		return nil, err
	}
	theirs, err := process.Binary("kubeseal")
	if err != nil {
		return nil, err
	}
	pair, err := keyring.Generate(keyring.Options{NotBefore: time.Now().Add(-time.Hour)})
	if err != nil {
		return nil, fmt.Errorf("make a sealing key: %w", err)
	}
	cert := filepath.Join(w.dir, "cert.pem")
	if err := os.WriteFile(cert, pair.CertificatePEM(), 0o600); err != nil {
		return nil, fmt.Errorf("write the certificate: %w", err)
	}
	r := &Report{}
	r.Add("keys of a Secret", cliKeys, "keys")
	for _, c := range []struct {
		documents, runs int
		// faster is how many times faster than kubeseal's ours must be.
		faster float64
	}{{1, 51, 1}, {cliDocuments, 25, 2.5}} {
		file := filepath.Join(w.dir, fmt.Sprintf("secrets-%d.yaml", c.documents))
		if err := os.WriteFile(file, plainSecrets(c.documents), 0o600); err != nil {
			return nil, fmt.Errorf("write Secrets: %w", err)
		}
		args := []string{"--cert", cert, "--secret-file", file, "--format", "yaml"}
		sides := []commandSide{{path: ours, args: append([]string{"seal"}, args...)}, {path: theirs, args: args}}
		for range c.runs {
			for i := range sides {
				if err := sides[i].run(ctx, c.documents); err != nil {
					return nil, err
				}
			}
		}
		for i := range sides {
			if err := sides[i].measurePeak(ctx); err != nil {
				return nil, err
			}
		}
		compare(r, fmt.Sprintf("%d documents, ", c.documents), sides[0], sides[1], c.faster)
	}
	return r, nil
}

// compare adds what our runs took beside those of kubeseal.
func compare(r *Report, name string, our, their commandSide, faster float64) {
	wall := func(c commandRun) float64 { return float64(c.wall.Microseconds()) / 1000 }
	cpu := func(c commandRun) float64 { return float64(c.cpu.Microseconds()) / 1000 }
	r.Add(name+"runs of each, in turn", float64(len(our.runs)), "runs")
	r.Add(name+"wall time, median", our.median(wall), "ms")
	r.Add(name+"that of kubeseal", their.median(wall), "ms")
	r.AtLeast(name+"kubeseal's as a multiple", their.median(wall)/our.median(wall), faster, "")
	r.Add(name+"CPU, median", our.median(cpu), "ms")
	r.Add(name+"that of kubeseal", their.median(cpu), "ms")
	r.AtLeast(name+"kubeseal's as a multiple", their.median(cpu)/our.median(cpu), 1, "")
	r.Add(name+"peak memory", float64(our.peak)/mib, "MiB")
	r.Add(name+"that of kubeseal", float64(their.peak)/mib, "MiB")
}

// commandSide is a command and what its runs took.
type commandSide struct {
	path string
	args []string
	runs []commandRun
	peak int64 // bytes
}

// run runs the command, which must write so many SealedSecrets.
func (c *commandSide) run(ctx context.Context, documents int) error {
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errs, []string{"HOME=/nonexistent"}
	start := time.Now()
	err := cmd.Run()
	took := commandRun{wall: time.Since(start)}
	if err != nil {
		return fmt.Errorf("run %s: %w: %s", c.path, err, errs.String())
	}
	if n := bytes.Count(out.Bytes(), []byte("\nkind: SealedSecret\n")); n != documents {
		return fmt.Errorf("run %s: %d SealedSecrets came out, not %d", c.path, n, documents)
	}
	took.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	c.runs = append(c.runs, took)
	return nil
}

// measurePeak runs the command once more and looks at its memory every millisecond; what the operating system says at the
// end of a process counts that of the process that started it.
func (c *commandSide) measurePeak(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Env = []string{"HOME=/nonexistent"}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", c.path, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("run %s: %w", c.path, err)
			}
			return nil
		case <-time.After(time.Millisecond):
			if kib, err := procField(cmd.Process.Pid, "status", "VmHWM:"); err == nil { // one that has ended has none
				c.peak = max(c.peak, kib<<10)
			}
		}
	}
}

func (c *commandSide) median(of func(commandRun) float64) float64 {
	all := make([]float64, 0, len(c.runs))
	for _, run := range c.runs {
		all = append(all, of(run))
	}
	return medianOf(all)
}

// plainSecrets returns Secrets as a stream of YAML documents.
func plainSecrets(n int) []byte {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: secret-%03d\n  namespace: bench\ntype: Opaque\ndata:\n", i)
		for k := range cliKeys {
			fmt.Fprintf(&out, "  key-%d: %s\n", k, base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "value-%d-of-secret-%03d", k, i)))
		}
	}
	return []byte(out.String())
}
