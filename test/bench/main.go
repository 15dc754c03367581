// Command bench measures SealBridge on real parts and prints a table for each scenario.
//
// It starts a control plane and a Vault on loopback, fills the cluster, starts the controller binary and takes the
// figures from outside of it: requests from the API server's own counters and Vault's audit log, CPU and memory from
// the operating system. Each table is also written as JSON to bin/bench/<scenario>.json.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// scenario is one measurement: it sets up its world, runs the controller in it, and returns the figures.
type scenario struct {
	name  string
	about string
	run   func(ctx context.Context, log io.Writer) (*Report, error)
}

func scenarios() []scenario {
	return []scenario{
		{name: "first-sync", about: "1000 ExternalSecrets over 20 namespaces share 10 remote keys; all exist before the controller starts", run: firstSync},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(log)
	only := fs.String("scenario", "", "comma-separated names; default all")
	dir := fs.String("out", "bin/bench", "folder for the JSON files")
	if err := fs.Parse(args); err != nil {
		return err
	}
	all := scenarios()
	chosen, err := choose(all, *only)
	if err != nil {
		return err
	}
	for _, s := range chosen {
		fmt.Fprintf(log, "scenario %s: %s\n", s.name, s.about)
		report, err := s.run(ctx, log)
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.name, err)
		}
		report.Scenario, report.About = s.name, s.about
		report.Print(out)
		if err := report.Write(*dir); err != nil {
			return err
		}
	}
	return nil
}

func choose(all []scenario, only string) ([]scenario, error) {
	if only == "" {
		return all, nil
	}
	var chosen []scenario
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
		if i < 0 {
			var names []string
			for _, s := range all {
				names = append(names, s.name)
			}
			return nil, fmt.Errorf("no scenario %q; there are: %s", name, strings.Join(names, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
