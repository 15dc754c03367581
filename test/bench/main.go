// Command bench measures SealBridge on real parts and prints a table for each scenario.
//
// It starts a control plane and a counting store (or a Vault) on loopback, fills the cluster, starts the controller binary
// and takes the figures from outside of it: its requests from the API server's audit log, the store's from the store, CPU,
// memory and bytes read from the operating system. Each table is also written as JSON to bin/bench/<scenario>.json.
// With -beside the scenarios that have a sense for External Secrets Operator or Sealed Secrets run with these too, right after
// ours and in a cluster of their own, and a table compares them.
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
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// scenario is one measurement in a world that the scenarios before it in the chain have left.
type scenario struct {
	name  string
	about string
	// takes is about how long it takes on two quiet cores.
	takes time.Duration
	run   func(ctx context.Context, w *world) (*Report, error)
	// ours is set for a scenario that has no sense with another tool.
	ours bool
	// sealed is set for a scenario about SealedSecrets.
	sealed bool
	// alone is set for a scenario that needs no cluster.
	alone bool
}

// chains are the scenarios; those of one chain share a cluster, in this order.
func chains() [][]scenario {
	return append([][]scenario{
		{
			{name: "first-sync-1000", about: "1000 ExternalSecrets over 20 namespaces, each reads 2 of 10 shared keys, exist before the start", takes: 20 * time.Second, run: firstSync(1000, 8)},
			{name: "steady-state", about: "the same 1000 objects with refreshInterval 10s, nothing changes, a window of 60 s", takes: 95 * time.Second, run: steadyState},
			{name: "rotate", about: "one key that 300 further objects (refreshInterval 1h) read changes; one of them is synced by force", takes: 15 * time.Second, run: rotate, ours: true},
		},
		{
			{name: "first-sync-5000", about: "5000 ExternalSecrets over 20 namespaces, each reads 2 of 10 shared keys, exist before the start", takes: 60 * time.Second, run: firstSync(5000, 30)},
			{name: "restart-5000", about: "the controller starts again with the 5000 in sync; then once more with a new object beside them", takes: 35 * time.Second, run: restart},
		},
		{
			{name: "spread", about: "5000 objects with a key of their own each and refreshInterval 60s, synced at once: the requests of the next 60 s", takes: 130 * time.Second, run: spread},
			{name: "slow-store", about: "a start with all 5000 due, 50 workers, and the store takes 100 ms for an answer", takes: 80 * time.Second, run: slowStore, ours: true},
			{name: "new-while-busy", about: "all 5000 are due at once and the store takes 100 ms for an answer; 20 new objects, one after the other", takes: 40 * time.Second, run: newWhileBusy, ours: true},
		},
		{
			{name: "store-down", about: "2000 objects with a key of their own each and refreshInterval 10s; the store answers 503 for 30 s", takes: 85 * time.Second, run: storeDown},
		},
		{
			{name: "memory", about: "20000 Secrets of 10 KB that are nobody's, and 2000 ExternalSecrets", takes: 110 * time.Second, run: memory},
		},
		{
			{name: "fan-out", about: "2000 ExternalSecrets, each in one of 800 namespaces, share 10 keys", takes: 45 * time.Second, run: fanOut},
		},
		{
			{name: "large", about: "10000 objects with five keys of their own each and refreshInterval 1h: a minute in which nothing changes", takes: 230 * time.Second, run: large},
		},
		{
			{name: "aws", about: "1000 objects with five keys of their own each in AWS Secrets Manager, read by the role of a ServiceAccount, refreshInterval 4m: one whole interval in which nothing changes", takes: 300 * time.Second, run: awsSteady},
		},
		{
			{name: "google", about: "1000 ExternalSecrets, each reads a secret of its own in Google Cloud Secret Manager, which takes 100 ms for an answer; 50 at once", takes: 25 * time.Second, run: googleSync(1000)},
		},
		{
			{name: "cli", about: "sealbridge seal and kubeseal, in turn: a Secret of 3 keys, and 200 of them in one run", takes: 15 * time.Second, run: commandLine, ours: true, alone: true},
			{name: "refusals", about: "values that do not open, each for another reason, in turn: what refusing them costs", takes: 20 * time.Second, run: refusals, ours: true, alone: true},
		},
		{
			{name: "two-writes", about: "5000 Secrets and as many statuses of a kind without schema are written by nobody's controller: the least that any costs", takes: 35 * time.Second, run: twoWrites, ours: true, alone: true},
		},
		{
			{name: "one-path", about: "a real Vault with Kubernetes login: one object reads 20 properties of one path", takes: 15 * time.Second, run: onePath, ours: true},
		},
	}, sealedChains()...)
}

// settings are what the command line says.
type settings struct {
	only, dir, beside, instead, eso, esoCRDs string
	profile, strict                          bool
	sealed                                   sizes
}

func main() {
	ctrllog.SetLogger(logr.Discard()) // the clients have nothing to say here
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	var set settings
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(log)
	fs.StringVar(&set.only, "scenario", "", "comma-separated names; default all ("+strings.Join(names(), ", ")+")")
	fs.StringVar(&set.dir, "out", "bin/bench", "folder for the JSON files and profiles")
	fs.BoolVar(&set.profile, "profile", false, "also keep CPU and heap profiles of the controller")
	fs.BoolVar(&set.strict, "strict", false, "fail when a bound is missed")
	fs.StringVar(&set.beside, "beside", "", "comma-separated other tools to measure too: sealbridge-v1 (ours without v1beta1), eso (its defaults), eso-tuned, sealed-secrets (its defaults), sealed-secrets-tuned")
	fs.StringVar(&set.instead, "instead", "", "other tools to measure without ours")
	fs.StringVar(&set.eso, "eso", "bin/external-secrets", "binary of External Secrets Operator for -beside and -instead")
	fs.StringVar(&set.esoCRDs, "eso-crds", "bin/external-secrets-crds.yaml", "its CustomResourceDefinitions")
	fs.IntVar(&set.sealed.objects, "sealed-objects", 0, "SealedSecrets of each sealed scenario; 0 for its own number")
	fs.IntVar(&set.sealed.keys, "sealed-keys", 0, "sealing keys of sealed-12-keys, sealed-native and sealed-poison; 0 for 12, 24 and 60")
	fs.IntVar(&set.sealed.foreign, "sealed-foreign", 0, "Secrets of sealed-memory that are nobody's; 0 for 30000")
	fs.DurationVar(&set.sealed.timeout, "sealed-timeout", syncTimeout, "how long a sealed scenario waits for its objects before it reports how far it came")
	if err := fs.Parse(args); err != nil {
		return err
	}
	subjects, err := subjectsOf(set)
	if err != nil {
		return err
	}
	if err := known(set.only); err != nil {
		return err
	}
	missed, err := runAll(ctx, subjects, set, out, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d bounds missed\n", missed)
	if set.strict && missed > 0 {
		return fmt.Errorf("%d bounds missed", missed)
	}
	return nil
}

// runAll runs each chain with each subject, and compares them. It returns how many bounds were missed. What another tool does
// not come to an end with is said and ends nothing.
func runAll(ctx context.Context, subjects []subject, set settings, out, log io.Writer) (missed int, err error) {
	var reports []*Report
	for _, chain := range chains() {
		first := len(reports)
		for _, s := range subjects {
			more, err := runChain(ctx, chain, s, set, reports, log)
			for _, report := range more {
				missed += report.Print(out, !s.other)
				if err := report.Write(set.dir); err != nil {
					return missed, err
				}
			}
			if err != nil && (!s.other || ctx.Err() != nil) {
				return missed, err
			}
			if err != nil {
				fmt.Fprintf(out, "\n%s: %v\n", s.name, err)
			}
			reports = append(reports, more...)
		}
		printSideBySide(out, reports[first:])
	}
	return missed, nil
}

// runChain runs a chain up to the last scenario that was chosen, in a world of its own, and reports the chosen ones. Earlier are
// the reports of the run before it.
func runChain(ctx context.Context, chain []scenario, subject subject, set settings, earlier []*Report, log io.Writer) (reports []*Report, err error) {
	chosen := func(s scenario) bool {
		if subject.other && (s.ours || s.sealed != subject.sealed) {
			return false
		}
		return set.only == "" || slices.Contains(strings.Split(set.only, ","), s.name)
	}
	last := -1
	for i, s := range chain {
		if chosen(s) {
			last = i
		}
	}
	if last < 0 {
		return nil, nil
	}
	start := newWorld
	if chain[0].alone {
		start = emptyWorld
	}
	w, err := start(ctx, subject, set, log)
	if err != nil {
		return nil, err
	}
	defer w.stop()
	w.earlier = earlier
	for _, s := range chain[:last+1] {
		fmt.Fprintf(log, "scenario %s with %s (ours takes about %s on two quiet cores): %s\n", s.name, subject.name, s.takes, s.about)
		w.scenario = s.name
		report, err := s.run(ctx, w)
		if err != nil {
			return reports, fmt.Errorf("scenario %s: %w%s", s.name, err, w.logOf())
		}
		if !chosen(s) {
			continue
		}
		report.Scenario, report.About, report.Machine, report.Subject = s.name, s.about, machine(), subject.name
		reports = append(reports, report)
	}
	return reports, nil
}

func names() []string {
	var all []string
	for _, chain := range chains() {
		for _, s := range chain {
			all = append(all, s.name)
		}
	}
	return all
}

func known(only string) error {
	if only == "" {
		return nil
	}
	for name := range strings.SplitSeq(only, ",") {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("no scenario %q; there are: %s", name, strings.Join(names(), ", "))
		}
	}
	return nil
}
